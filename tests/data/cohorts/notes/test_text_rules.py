"""Notes as papers' models read them: hand-made values, and loops that say the same in another way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cohorts.notes.text_rules import clean_text

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
