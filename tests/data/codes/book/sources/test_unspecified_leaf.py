"""The code that stands for a disease of which no more is known."""

import pytest

from data.codes.book.sources.unspecified_leaf import UnspecifiedLeaves
from data.codes.notes.code_ranges import load_order
from data.ontology import load_ontology


@pytest.mark.parametrize(
    ("system", "code", "leaf"),
    [
        ("icd9cm", "250", "250.00"),
        ("icd9cm", "250.5", "250.50"),
        ("icd9cm", "493", "493.90"),
        ("icd9cm", "401", "401.9"),
        ("icd9cm", "410.9", "410.90"),
        ("icd9cm", "311", "311"),
        ("icd9cm", "299.0", "299.0"),  # current or residual: neither is the unspecified one
        ("icd10cm", "E11", "E11.9"),
        ("icd10cm", "J45", "J45.909"),
        ("icd10cm", "I50", "I50.9"),
        ("icd10cm", "S72.0", "S72.009A"),
    ],
)
def test_the_unspecified_leaf(system, code, leaf):
    assert UnspecifiedLeaves(load_ontology(system), load_order(system)).of(code) == leaf
