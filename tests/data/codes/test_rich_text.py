"""RTF as pieces: what shows, where each character stands, and damage that a note may have."""

import pytest

from data.codes.rich_text import rich_text_pieces

HEAD = r"{\rtf1\ansi\ansicpg1252\uc1{\fonttbl{\f0 Arial;}}{\*\generator Riched20;}"


def shown(rtf, **how):
    return "".join(piece.text for piece in rich_text_pieces(rtf, **{"holds_bytes": False, **how}))


def test_every_character_stands_where_its_piece_says():
    rtf = HEAD + r"\pard Heart {\b failure}\par M\'e9ni\u232?re \{x\}}"
    for piece in rich_text_pieces(rtf, holds_bytes=False):
        if piece.is_written_out:
            assert rtf[piece.place : piece.place + len(piece.text)] == piece.text
    assert shown(rtf) == "Heart failureMénière {x}"


def test_what_was_read_as_text_is_no_byte_of_a_code_page():
    """`é` of a CSV in UTF-8 is é, whatever code page the RTF names; of a file it is the byte 233 of that page."""
    assert shown("{\\rtf1\\ansicpg1253 é}") == "é"
    assert shown("{\\rtf1\\ansicpg1253 é}", holds_bytes=True) == "ι"


def test_bytes_of_one_character_are_read_together():
    assert shown(r"{\rtf1\ansicpg932 \'94\'78\'89\'8a}") == "肺炎"


@pytest.mark.parametrize("rtf", [r"{\rtf1 a{\b b", r"{\rtf1 ab}}c", r"{\rtf1\ansicpg99999 a\'62}"])
def test_a_damaged_note_is_read_as_far_as_it_goes(rtf):
    assert shown(rtf) == "ab"


def test_characters_that_take_two_numbers_are_one():
    assert shown(r"{\rtf1 pain \u-10179?\u-8694? ok}") == "pain 😊 ok"
    assert shown(r"{\rtf1 a\u-10179?b \u-8694?c}") == "ab �c"


def test_what_stands_for_an_unknown_character_counts_in_bytes():
    assert shown(r"{\rtf1\ansicpg932 \uc2\u28450\'8a\'bfX\u23383\'8e\'9aYZ}") == "漢X字YZ"
