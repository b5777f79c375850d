"""Everything known of a code."""

import pytest
from book_files import icd9_zip, icd10_zip, table

from data.codes.book.add import add_to_book
from data.codes.book.display.code_facts import code_facts
from mera.system.errors import UserError


def nodes(named):
    return [each.node for each in named]


def test_without_a_book_there_is_what_the_packages_hold():
    facts = code_facts("e1121", "icd10cm", None)
    assert (facts.code.node, facts.replaced) == ("E11.21", None)
    assert nodes(facts.path) == ["E00-E89", "E08-E13", "E11", "E11.2"]
    assert facts.path[1].title == "Diabetes mellitus"
    assert nodes(facts.neighbours) == ["E11.22", "E11.29"]
    assert {term.kind for term in facts.terms} == {"inclusion"}
    excluded = [note for note in facts.inherited if note.kind == "excludes1"]
    assert "E11" in {note.node for note in excluded}
    assert ("E10-E10",) not in {note.targets for note in excluded}
    assert ("E10",) in {note.targets for note in excluded}
    by_system = {each.system: each for each in facts.counterparts}
    assert nodes(by_system["icd9cm"].nodes) == ["250.40"]
    assert nodes(by_system["icd10who"].nodes) == ["E11.2"]
    assert by_system["icd10who"].how == "the nearest code above it"


def test_a_category_has_codes_below_and_its_block_as_neighbours():
    facts = code_facts("I10", "icd10cm", None)
    assert nodes(facts.neighbours) == ["I11", "I12", "I13", "I15", "I16", "I1A"]
    assert facts.below == ()
    assert nodes(code_facts("E11.2", "icd10cm", None).below) == ["E11.21", "E11.22", "E11.29"]


def test_icd9():
    facts = code_facts("428.0", "icd9cm", None)
    assert nodes(facts.path) == ["390-459", "420-429", "428"]
    assert nodes(facts.neighbours) == ["428.1", "428.2", "428.3", "428.4", "428.9"]
    assert nodes(facts.counterparts[0].nodes) == ["I50.9"]
    assert facts.notes == facts.inherited == ()
    assert code_facts("428", "icd9cm", None).counterparts[0].nodes == ()


def test_the_whos_edition():
    facts = code_facts("E14.9", "icd10who", None)
    assert [(each.system, nodes(each.nodes)) for each in facts.counterparts] == [("icd10cm", [])]
    assert facts.counterparts[0].how == "it has no such category"


def test_a_book_adds_terms_and_notes(tmp_path):
    place = tmp_path / "book"
    add_to_book(icd10_zip(tmp_path / "a.zip"), place)
    book = add_to_book(table(tmp_path / "own.csv", "E11.9,diabetes azucarada,es"), place)
    facts = code_facts("E11.9", "icd10cm", book)
    assert {"index", "inclusion", "own"} == {term.kind for term in facts.terms}
    assert ("diabetes azucarada", "es") in {(term.term, term.language) for term in facts.terms}
    assert [(note.node, note.kind, note.targets) for note in facts.inherited] == [("E11", "excludes1", ("O24.4",))]
    assert facts.notes == ()


def test_notes_of_icd9_come_from_its_book(tmp_path):
    book = add_to_book(icd9_zip(tmp_path / "a.zip"), tmp_path / "book")
    assert "diabetic retinopathy" in {term.term for term in code_facts("362.01", "icd9cm", book).terms}


def test_a_retired_code_shows_what_is_left():
    facts = code_facts("Z22.50", "icd10cm", None)
    assert (facts.code.node, facts.replaced) == ("Z22", "Z22.50")


@pytest.mark.parametrize(
    ("raw", "system", "message"),
    [
        ("E11.7", "icd10cm", r"'E11.7' is not a code of ICD-10-CM .*; the nearest are E11.5 \(.*E11.9 .*; it is a co"),
        ("250.99", "icd9cm", r"nearest are .*250.93 \("),
        ("I50.9", "icd9cm", r"is not a code of ICD-9-CM .*; it is a code of icd10cm and icd10who \(--system icd10cm\)"),
        ("hello", "icd10cm", r"'hello' is not a code of ICD-10-CM April 2026 \(simple-icd-10-cm [\d.]+\)$"),
    ],
)
def test_unknown_codes_name_the_nearest(raw, system, message):
    with pytest.raises(UserError, match=message):
        code_facts(raw, system, None)
