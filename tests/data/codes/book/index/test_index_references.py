"""Where `see` leads."""

import pytest

from data.codes.book.index.index_references import DanglingReference, IndexTree
from data.codes.book.index.index_xml import IndexEntry, Title


def entry(path, *codes, see=(), cells=()):
    titles = tuple(Title(text) for text in path.split(" > "))
    return IndexEntry(path=titles, codes=codes, see=see, cells=cells)


TREE = IndexTree(
    [
        entry("Calculus, calculi", "N20.9"),
        entry("Calculus, calculi > bile duct", "K80.50"),
        entry("Calculus, calculi > bile duct > with", see=()),
        entry("Calculus, calculi > bile duct > with > cholecystitis", "K80.40"),
        entry("Stone", see=("Calculus, by site",)),
        entry("Bladder disease", see=("Stone, about",)),
        entry("Stone > about", see=("Bladder disease",)),
        entry("Disorder"),
        entry("Disorder > retinal", "H35.9"),
        entry("Disorder > blood", "D75.9"),
    ],
    [
        entry("Neoplasm, neoplastic", cells=((2, "C80.1"), (5, "D36.9"))),
        entry("Neoplasm, neoplastic > bone", cells=((2, "C41.9"), (5, "D16.9"))),
        entry("Neoplasm, neoplastic > rib", see=("Neoplasm, bone",)),
    ],
)


@pytest.mark.parametrize(
    ("reference", "codes"),
    [
        ("Calculus", ["N20.9"]),
        ("Calculus, bile duct, with, cholecystitis", ["K80.40"]),
        ("Calculus, bile duct, with cholecystitis", ["K80.40"]),
        ("Calculi (impacted), bile duct", ["K80.50"]),
        ("Calculus, cholecystitis", ["K80.40"]),
        ("Disorder, retina", ["H35.9"]),
        ("Stones", ["N20.9"]),
        ("Neoplasm, bone, benign", ["D16.9"]),
        ("Neoplasm, benign, by site", ["D36.9"]),
        ("Neoplasm,  malignant, bone", ["C41.9"]),
        ("E08-E10 with .22", ["E08.22", "E09.22", "E10.22"]),
        ("Disorder", ["H35.9", "D75.9"]),
    ],
)
def test_a_reference_leads_to_codes(reference, codes):
    assert [code for _, code in TREE.targets(reference)] == codes


def test_entries_below_a_target_without_a_code_add_their_titles():
    assert [titles for titles, _ in TREE.targets("Disorder")] == [(Title("retinal"),), (Title("blood"),)]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("condition", "reference to no entry"),
        ("Calculus, moon", "reference to an entry that is not there"),
        ("Bladder disease", "reference that leads in a circle"),
        ("Table of Drugs and Chemicals", "reference to the table of drugs as a whole"),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(reference, reason):
    with pytest.raises(DanglingReference, match=reason):
        TREE.targets(reference)


def test_a_table_follows_references_to_its_own_lines():
    assert TREE.cells("Neoplasm, rib") == ((2, "C41.9"), (5, "D16.9"))
