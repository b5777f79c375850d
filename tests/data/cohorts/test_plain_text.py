"""Notes as a person reads them, with the places of the original."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cohorts.notes.plain_text import plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("heart failure", "heart failure"),
        ("Sjögren", "Sjögren"),
        ("Sjo\u0308gren", "Sjögren"),
        ("pneu\u00admo\u200bnia", "pneumonia"),
        ("Sj&ouml;gren&nbsp;&lt; 5&#37;", "Sjögren\u00a0< 5%"),
        ("R&D; AT&T &unknown; & more", "R&D; AT&T &unknown; & more"),
        ("\u1111\u1168\u1105\u1167\u11b7", "폐렴"),
        ("\u0301 alone", "\u0301 alone"),
    ],
)
def test_what_is_read(text, plain):
    assert plain_text(text).text == plain
    assert plain_text(plain).text == plain


def test_places_are_those_of_the_original():
    text = "a Sjo\u0308gren&nbsp;pneu\u00admonia"
    plain = plain_text(text)
    for word, written in (("Sjögren", "Sjo\u0308gren"), ("pneumonia", "pneu\u00admonia"), ("\u00a0", "&nbsp;")):
        start = plain.text.index(word)
        first, end = plain.original(start, start + len(word))
        assert text[first:end] == written


@given(st.text(alphabet="<>/pbrn\\'e9u1{}* \n&;", max_size=40), st.sampled_from(["", "{\\rtf1 ", "</p>", "\\n"]))
def test_whatever_marks_there_are_nothing_fails(text, before):
    plain = plain_text(before + text)
    assert len(plain.places) == len(plain.text) + 1
    assert list(plain.places) == sorted(plain.places)


@given(st.text(alphabet="aeo \u0301\u0308ö\u00ad\u200b&;ouml#3x\u1111\u1168", max_size=30))
def test_every_character_has_a_place(text):
    plain = plain_text(text)
    assert len(plain.places) == len(plain.text) + 1
    assert list(plain.places) == sorted(plain.places)
    assert plain.places[-1] == len(text)
    assert unicodedata.is_normalized("NFC", plain.text)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("<p>Heart <b>failure</b></p><br/>CRP &lt;5", "\nHeart failure\n\nCRP <5"),
        ("<html><head><style>p {x}</style></head><body>Pain<!-- <p> -->, fever</body></html>", "Pain, fever"),
        ("<table><tr><td>K</td><td>3.5</td></tr></table>", "\n\n K  3.5 \n\n"),
        ("CRP <5, Hb >12, p<0.05, <b 12", "CRP <5, Hb >12, p<0.05, <b 12"),
        ("a line\\nand another\\r\\nand one", "a line\nand another\nand one"),
        ("C:\\new\nline", "C:\\new\nline"),
        (
            "{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}Sj\\'f6gren{\\b  syndrome}\\par DM}",
            "Sjögren syndrome\nDM",
        ),
        (" {\\rtf1 pneu\\u173?monia}", " pneumonia"),
    ],
)
def test_marks_of_how_notes_are_stored_are_taken_out(stored, read):
    plain = plain_text(stored)
    assert plain.text == read
    assert list(plain.places) == sorted(plain.places)
    assert len(plain.places) == len(read) + 1
    start = plain.text.find("Heart")
    if start >= 0:
        assert stored[slice(*plain.original(start, start + 5))] == "Heart"


def test_evidence_points_into_the_rtf():
    stored = "{\\rtf1\\ansi Patient with {\\i heart} failure{\\b .}\\par Fever.}"
    plain = plain_text(stored)
    for word in ("heart", "failure", "Fever"):
        start = plain.text.index(word)
        assert stored[slice(*plain.original(start, start + len(word)))] == word
    assert plain.original(3, 3) == (plain.places[3],) * 2


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("{\\rtf1 stable.\\par}\n\nDiabetes\nHypertension", "stable.\n\n\nDiabetes\nHypertension"),
        ("Admission\n\n{\\rtf1 Heart failure}\n\n{\\rtf1 DM}", "Admission\n\nHeart failure\n\nDM"),
        ("\ufeff{\\rtf1 DM}", "DM"),
        ("A\\nB\n\nC\\nD\n", "A\nB\n\nC\nD\n"),
        ("Scan in \\\\nas01\\notes\\new, seen", "Scan in \\\\nas01\\notes\\new, seen"),
        ("<p>BP <b and c> d, CRP <5, age >60</p>", "\nBP <b and c> d, CRP <5, age >60\n"),
        ("<br/>Hb <th 8 and Plt> 50 <p.smith@nhs.uk>", "\nHb <th 8 and Plt> 50 <p.smith@nhs.uk>"),
        ('<p class="a b">DM</p>', "\nDM\n"),
        ("{\\rtf1 text {\\fonttbl{\\f0 Arial;} Heart failure", "{\\rtf1 text {\\fonttbl{\\f0 Arial;} Heart failure"),
    ],
)
def test_a_visits_notes_are_each_read_as_they_are_stored(stored, read):
    assert plain_text(stored).text == read


def test_marks_that_nothing_closes_take_no_time():
    for text in ("<p>x</p>" + "<!--" * 50_000, "</p>" + "<head>" * 50_000, "{\\rtf1 " + "{\\b " * 50_000):
        assert len(plain_text(text).text) <= len(text)
