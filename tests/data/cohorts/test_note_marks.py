"""A note's own codes in its text, and marks of HTML and RTF: counted, said, and masked on demand."""

import pytest

from data.cohorts.cohort import Patient, Visit
from data.cohorts.notes.note_marks import (
    DIVIDED,
    MADE_PLAIN,
    MARKS,
    MASKED,
    MISREAD,
    OWN_CODE,
    advice,
    look_at_notes,
    own_codes,
    remains_in,
)
from data.ledger import Ledger


def patient(text, *codes):
    return Patient(patient_id="P1", sex=None, visits=(Visit(admission_id="1", codes=codes, text=text),))


@pytest.mark.parametrize(
    ("text", "codes", "found"),
    [
        ("Diagnoses: I50.9, e119", ("I50.9", "E11.9"), ["I50.9", "e119"]),
        ("I50I and XI509 and 1I50.9", ("I50.9",), []),
        ("Diagnoser: DI109, de119; D I10", ("I10", "E11.9"), ["DI109", "de119", "I10"]),
        ("Tanı: E11,9; J18,9 ve 18,9", ("E11.9", "J18.9"), ["E11,9", "J18,9"]),
        ("I50.13 G, I50.13G, I50.2", ("I50.1",), ["I50.13", "I50.13G"]),
        ("I50.13, N17.9. I50", ("I50", "N17"), ["I50.13", "N17.9", "I50"]),
        ("S72.001A, I50.Then I50", ("S72.00", "I50"), ["S72.001A", "I50", "I50"]),
        ("428.01 and 428.0; 486.1, 486", ("428.0", "486"), ["428.01", "428.0", "486.1"]),
        ("E849.0 E8490 M(1", ("E849.0", "M(1"), ["E849.0", "E8490", "M(1"]),
        ("428.0 and 4280 mg, V10.3", ("428.0", "V10.3"), ["428.0", "V10.3"]),
        ("486 of 900", ("486",), []),
        ("I10 I10", ("I10",), ["I10", "I10"]),
        ("Heart failure", ("I50.9",), []),
    ],
)
def test_own_codes_are_found_as_words(text, codes, found):
    assert sorted(text[start:end] for start, end in own_codes(text, codes)) == sorted(found)


def test_they_are_counted_and_masked_at_their_places():
    ledger, notes = Ledger(), [patient("Heart failure (I50.9).", "I50.9"), patient("Pain\\par and fever", "I10")]
    assert look_at_notes(notes, ledger, mask_codes=False) == notes
    assert ledger.record()["changed"] == {OWN_CODE: 1, MARKS: 1}
    ledger = Ledger()
    first, second = look_at_notes(notes, ledger, mask_codes=True)
    assert first.visits[0].text == "Heart failure (     )."
    assert second == notes[1]
    assert ledger.record()["changed"] == {MASKED: 1, MARKS: 1}


def test_notes_of_rtf_and_html_are_made_plain_and_counted():
    ledger, stored = Ledger(), ["<p>Heart failure<br>(I50.9)</p>", "{\\rtf1 Heart failure\\par (I50.9)}"]
    looked = look_at_notes([patient(text, "I50.9") for text in stored], ledger, mask_codes=True)
    for one in looked:
        assert one.visits[0].text.split() == ["Heart", "failure", "(", ")"]
    assert ledger.record()["changed"] == {MASKED: 2, MADE_PLAIN: 2}


@pytest.mark.parametrize(
    ("text", "remains"),
    [
        ("{\\rtf1\\ansi Sj\\'f6gren", [MARKS]),
        ("pain\\nfever", [MARKS]),
        ("SjÃ¶gren, NÃO", [MISREAD]),
        ("NÃO, AÇÃO (5 mg)", []),
        ("pneu-\nmonia and pneu-\r\n  monia", [DIVIDED]),
        ("- pain\n- fever; T-\n3", []),
        ("heart failure <5%", []),
    ],
)
def test_remains_of_how_notes_were_stored(text, remains):
    assert remains_in(text) == remains


def test_notes_are_made_plain_where_nothing_was_marked():
    ledger, stored = Ledger(), "Sjo\u0308gren, pneu\u00admonia, S&ouml;ren"
    marked = patient(stored, "M35.0")
    marked = marked._replace(visits=(marked.visits[0]._replace(evidence=(("M35.0", 0, 8),)),))
    first, second = look_at_notes([patient(stored, "M35.0"), marked], ledger, mask_codes=False)
    assert first.visits[0].text == "Sjögren, pneumonia, Sören"
    assert second == marked, "evidence counts characters"
    assert ledger.record()["changed"] == {MADE_PLAIN: 1}


def test_many_own_codes_are_said():
    assert advice({OWN_CODE: 2}, 100) is None
    assert advice({MASKED: 50}, 100) is None
    assert "3 of 100 notes hold one of their own codes" in advice({OWN_CODE: 3}, 100)
