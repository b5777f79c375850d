"""Digits that nations write behind the WHO's codes."""

import pytest

from data.editions.edition import UnknownCode
from data.ontology import load_ontology


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("S72080", "S72.0"),  # Canada
        ("S72.080", "S72.0"),
        ("J96.1+0", "J96.1"),  # France
        ("N390+0", "N39.0"),
        ("F03+10", "F03"),
        ("E66.00+1", "E66.0"),
    ],
)
def test_national_digits_behind_the_whos_codes_come_off_and_are_counted(raw, code):
    assert load_ontology("icd10who").resolve(raw) == (code, False)


@pytest.mark.parametrize("raw", ["J96.1+", "J96.1+A", "J96.1+123", "S720801", "Z999999"])
def test_what_is_no_national_digit_is_not_taken_for_one(raw):
    ontology = load_ontology("icd10who")
    assert not ontology.knows(raw) or ontology.resolve(raw) == ("J96.1", True)


@pytest.mark.parametrize("raw", ["S72.001", "I25.110"])
def test_codes_of_the_united_states_are_none_of_canada(raw):
    with pytest.raises(UnknownCode):
        load_ontology("icd10who").resolve(raw)
