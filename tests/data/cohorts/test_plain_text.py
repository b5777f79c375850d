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


@given(st.text(alphabet="aeo \u0301\u0308ö\u00ad\u200b&;ouml#3x\u1111\u1168", max_size=30))
def test_every_character_has_a_place(text):
    plain = plain_text(text)
    assert len(plain.places) == len(plain.text) + 1
    assert list(plain.places) == sorted(plain.places)
    assert plain.places[-1] == len(text)
    assert unicodedata.is_normalized("NFC", plain.text)
