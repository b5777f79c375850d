"""Paragraphs of RTF: indents, code pages, pieces that are no text, damage."""

import pytest

from data.codes.book.icd9cm.rtf_paragraphs import Paragraph, read_paragraphs
from mera.system.errors import UserError

HEAD = rb"{\rtf1\ansi\ansicpg1252\uc1{\fonttbl{\f0 Arial;}}{\*\generator Riched20;}{\stylesheet{\s1 heading;}}"


def paragraphs(body, head=HEAD):
    return list(read_paragraphs(head + body + b"}", "x.rtf"))


def test_the_indent_is_that_of_the_first_line():
    body = rb"\pard\fi-1080\li1080 Asthma 493.9\par \pard\fi-720\li1080 acute 493.92\par \pard plain\par "
    assert paragraphs(body) == [Paragraph("Asthma 493.9", 0), Paragraph("acute 493.92", 360), Paragraph("plain", 0)]


def test_a_group_ends_what_was_set_in_it():
    body = rb"\pard\li720 {\li1440{\i inner}\par }outer\par "
    assert paragraphs(body) == [Paragraph("inner", 1440), Paragraph("outer", 720)]


def test_a_new_paragraph_keeps_the_indent_until_pard():
    assert [each.indent for each in paragraphs(rb"\pard\li360 a\par b\par \pard c\par ")] == [360, 360, 0]


def test_characters():
    body = rb"M\'e9ni\'e8re\rquote s disease\~\emdash  \u233?\par 100\\ \{x\}\tab y\par "
    assert [each.text for each in paragraphs(body)] == ["Ménière's disease - é", r"100\ {x} y"]


def test_what_stands_for_an_unknown_character_is_skipped():
    body = rb"\uc2 a\u8211--b \uc0\u233 c\par "
    assert [each.text for each in paragraphs(body)] == ["a–b éc"]


def test_another_code_page():
    assert paragraphs(rb"\'c6\par ", rb"{\rtf1\ansi\ansicpg1250 ")[0].text == "Ć"


def test_footnotes_headers_and_unknown_pieces_are_no_text():
    body = rb"{\header page}Asthma{\footnote a remark}{\*\bkmkstart x} 493.9{\pict 00ff}\par "
    assert paragraphs(body) == [Paragraph("Asthma 493.9", 0)]


def test_words_marks_between_letters_are_no_spaces():
    body = rb"\hich\af1\dbch\af31505\loch\f1 Abarog\hich\af1\dbch\af31505\loch\f1 nosis" + b"\r\n" + rb" 781.99\par "
    assert paragraphs(body)[0].text == "Abarognosis 781.99"


def test_a_last_paragraph_without_its_end_counts():
    assert paragraphs(rb"a\par b") == [Paragraph("a", 0), Paragraph("b", 0)]


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"<html>", "x.rtf is no RTF file"),
        (HEAD + rb"Asthma\par ", "x.rtf is cut off: its outermost group never ends"),
        (HEAD + rb"{\li360 Asthma", "x.rtf is cut off"),
    ],
)
def test_bad_files(stored, message):
    with pytest.raises(UserError, match=message):
        list(read_paragraphs(stored, "x.rtf"))
