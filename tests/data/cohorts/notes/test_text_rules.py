"""Notes as papers' models read them: hand-made values, and loops that say the same in another way."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cohorts.notes.plain_text import plain_text
from data.cohorts.notes.text_rules import clean_note, clean_text

NOTE = "Admission Date:  [**2130-1-10**]\n\nPt. is a 67 y/o\tMAN; BP 120/80 (x3), Na+ 135.  D/C'd 1/2\n"
ASCII = st.text(st.characters(max_codepoint=126), max_size=60)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (None, NOTE),
        ("edin", "admission date pt is a y o man bp x3 na d c d"),
        ("mullenbach", "admission date pt is a y o man bp x3 na d c d"),
    ],
)
def test_hand_made(rules, text):
    assert clean_text(NOTE, rules) == text


def edin_by_loop(text):
    """A number goes that stands between two spaces; in a row of them all go; the text's first and last word stay unless
    a space is outside of them."""
    words = "".join(c.lower() if c.isalnum() else " " for c in text)
    parts = words.split()
    opens, closes = words[:1] == " ", words[-1:] == " "
    kept = []
    for place, word in enumerate(parts):
        at_start, at_end = place == 0 and not opens, place == len(parts) - 1 and not closes
        if not word.isdigit() or at_start or at_end:
            kept.append(word)
    return " ".join(kept)


@given(ASCII)
def test_edin_is_the_loop(text):
    assert clean_text(text, "edin") == edin_by_loop(text)


@given(ASCII)
def test_mullenbach_is_the_loop(text):
    spaced = "".join(c if c.isalnum() or c == "_" else " " for c in text)
    words = [word for word in spaced.split() if not all(c.isnumeric() for c in word)]
    assert clean_text(text, "mullenbach") == " ".join(words).lower()


@pytest.mark.parametrize("rules", [None, "edin", "mullenbach"])
def test_a_cleaned_note_knows_where_its_words_stood(rules):
    stored = NOTE.replace("MAN", "M&auml;N")
    note = clean_note(plain_text(stored), rules)
    assert note.text == clean_text(plain_text(stored).text, rules)
    assert len(note.places) == len(note.text) + 1
    for word, original in {"Admission": "Admission", "BP": "BP", "x3": "x3", "D": "D"}.items():
        read = word if rules is None else word.lower()
        start = re.search(rf"\b{read}\b", note.text).start()
        first, last = note.original(start, start + len(read))
        assert stored[first:last] == original


@given(ASCII, st.sampled_from(["edin", "mullenbach"]))
def test_places_of_a_cleaned_note_ascend_and_hold_its_letters(text, rules):
    note = clean_note(plain_text(text), rules)
    places = list(note.places)
    assert places == sorted(places)
    assert len(places) == len(note.text) + 1
    for letter, place in zip(note.text, places, strict=False):
        if letter != " ":
            assert plain_text(text).stored[place].lower() == letter or plain_text(text).text != text


def test_a_letter_that_is_two_in_lower_case_moves_no_other_word():
    note = clean_note(plain_text("İzmir: hip fracture, stage i disease"), "edin")
    assert note.text == clean_text("İzmir: hip fracture, stage i disease", "edin")
    for word in ("fracture", "disease"):
        start = note.text.index(word)
        first, last = note.original(start, start + len(word))
        assert note.stored[first:last] == word
