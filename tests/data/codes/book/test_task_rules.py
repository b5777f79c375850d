"""Rules on a task's candidates: by hand, against a loop, and what a prepared task keeps of them."""

import random

import polars as pl
import pytest
from prepare_case import run, write_csv

from data.codes.book.book import RELATION_COLUMNS
from data.codes.book.task_rules import edition_notes, task_rules
from data.codes.ccs import load_ccs
from data.codes.notes import patient_limits
from data.codes.notes.code_ranges import is_heading, load_order
from data.ontology import load_ontology
from data.task import load_task
from data.task_folder.book_parts import RULE_SCHEMA
from mera.evaluation import coding_rules

NO_NOTES = pl.DataFrame(schema=RELATION_COLUMNS)
CANDIDATES = [
    *("E10.9", "E11", "E11.9", "E11.22", "E13.9", "O24.4", "N18.3", "N18.30", "D63.1"),
    *("I10", "P29.2", "S72", "S72.001", "S72.001A", "S72.002D", "I50.9", "I11.0", "C61"),
    *("O80", "P22.0", "N40.0", "A41.9", "Z33.1", "C50.9", "G31.2"),
]


@pytest.fixture(scope="module")
def rules() -> pl.DataFrame:
    return task_rules(CANDIDATES, load_ontology("icd10cm"), edition_notes("icd10cm", None))


def sides(rules: pl.DataFrame, kind: str, node: str, words: str = "") -> list[tuple[list[str], list[str]]]:
    rows = rules.filter(
        pl.col("kind") == kind, pl.col("node") == node, pl.col("text").str.contains(words, literal=True)
    )
    return [(sorted(row["subjects"]), sorted(row["objects"])) for row in rows.rows(named=True)]


def test_rules_by_hand(rules):
    diabetes = ["E11", "E11.22", "E11.9"]
    assert sides(rules, "excludes1", "E11", "type 1") == [(diabetes, ["E10.9"])]
    assert sides(rules, "excludes1", "E11", "gestational") == [(diabetes, ["O24.4"])]
    assert sides(rules, "excludes1", "E11", "neonatal") == []  # P70.2 is no candidate
    assert sides(rules, "excludes1", "I10-I1A", "neonatal hypertension") == [(["I10", "I11.0"], ["P29.2"])]
    assert sides(rules, "code_first", "D63.1") == [(["D63.1"], ["N18.3", "N18.30"])]
    assert sides(rules, "code_first", "A41") == []  # a list of cases
    assert sides(rules, "use_additional", "E11.22") == [(["E11.22"], ["N18.3", "N18.30"])]
    assert sides(rules, "use_additional", "I11.0") == [(["I11.0"], ["I50.9"])]
    assert sides(rules, "use_additional", "A00-B99") == []  # a chapter's, if known
    assert sides(rules, "use_additional", "C50") == []  # a status, if known
    assert sides(rules, "female_only", "O00-O9A") == [(["O24.4", "O80"], [])]
    assert sides(rules, "maternity_age", "Z33-Z34") == [(["Z33.1"], [])]
    assert sides(rules, "male_only", "C60-C63") == [(["C61"], [])]
    assert sides(rules, "newborn_only", "P22") == [(["P22.0"], [])]
    assert sides(rules, "adult_only", "N40") == [(["N40.0"], [])]


def test_codes_that_need_further_characters(rules):
    incomplete = rules.filter(kind="seventh_character")
    assert set(incomplete["node"]) == {"E11", "S72", "S72.001", "C50.9", "O24.4"}
    assert sides(rules, "seventh_character", "S72") == [(["S72"], ["S72.001A", "S72.002D"])]
    assert sides(rules, "seventh_character", "S72", "A: initial encounter")  # the note of the category
    assert sides(rules, "seventh_character", "S72.001", "A: initial encounter") == [(["S72.001"], ["S72.001A"])]
    assert sides(rules, "seventh_character", "E11", "further characters are to follow") == [
        (["E11"], ["E11.22", "E11.9"])
    ]


def test_a_code_that_was_complete_once_is_not_called_incomplete():
    rules = task_rules(["R51", "M54.5", "R51.9", "S72"], load_ontology("icd10cm"), NO_NOTES)
    assert rules.filter(kind="seventh_character")["node"].to_list() == ["S72"]


def test_no_code_is_on_both_sides_and_none_is_strange(rules):
    assert rules.schema == RULE_SCHEMA
    for row in rules.rows(named=True):
        assert row["subjects"]
        assert set(row["subjects"]).isdisjoint(row["objects"])
        assert {*row["subjects"], *row["objects"]} <= set(CANDIDATES)
    assert rules.filter(pl.col("kind") == "excludes1", pl.col("objects").list.len() == 0).is_empty()


def test_a_code_excluded_from_its_own_range_is_no_object():
    notes = pl.DataFrame(
        [("E11.2", "excludes1", "E08", "E13", "any diabetes (E08-E13)", "x")], schema=RELATION_COLUMNS, orient="row"
    )
    rules = task_rules(["E11.22", "E11.9", "E13.9"], load_ontology("icd10cm"), notes).filter(kind="excludes1")
    assert rules.select("subjects", "objects").rows() == [(["E11.22"], ["E11.9", "E13.9"])]


def test_excludes_of_random_candidates_against_a_loop():
    notes, order = edition_notes("icd10cm", None), load_order("icd10cm")
    candidates = random.Random(5).sample([code for code in order.names if not is_heading(code)], 400)

    def lies_in(code: str, first: str, last: str) -> bool:
        is_below = code.replace(".", "").startswith(last.replace(".", ""))
        return order.place[first] <= order.place[code] and (order.place[code] <= order.place[last] or is_below)

    expected: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for node, kind, first, last, text, _ in notes.rows():
        if kind == "excludes1" and first is not None:
            ends = (node.split("-")[0], node.split("-")[-1])
            subjects = {code for code in candidates if lies_in(code, *ends)}
            objects = {code for code in candidates if subjects and lies_in(code, first, last)} - subjects
            if objects:
                both = expected.setdefault((node, text), (set(), set()))
                both[0].update(subjects)
                both[1].update(objects)
    rules = task_rules(candidates, load_ontology("icd10cm"), notes).filter(kind="excludes1")
    assert {(row[1], row[2]): (set(row[3]), set(row[4])) for row in rules.rows()} == expected
    assert len(expected) > 20


def test_a_task_of_categories_has_the_rules_of_whole_categories():
    categories = ["E10", "E11", "I10", "I11", "P29", "N18", "D63", "O24", "S72", "C61", "B37"]
    rules = task_rules(categories, load_ontology("icd10cm"), edition_notes("icd10cm", None), "category")
    assert sides(rules, "excludes1", "E11", "type 1") == [(["E11"], ["E10"])]
    assert sides(rules, "excludes1", "E11", "gestational") == []  # O24.4 is less than O24
    assert sides(rules, "male_only", "C60-C63") == [(["C61"], [])]
    assert sides(rules, "female_only", "B37.3") == []
    assert set(rules["kind"]) <= {"excludes1", "male_only", "female_only", "maternity_age"}


def test_groups_of_the_ccs_have_no_rules():
    assert task_rules(["CIR019"], load_ccs("icd10cm"), edition_notes("icd10cm", None), "ccs").is_empty()


def test_icd9_knows_sex_age_and_incomplete_codes():
    rules = task_rules(["250", "250.00", "185", "634.00", "V30.00", "233.1"], load_ontology("icd9cm"), NO_NOTES)
    assert sides(rules, "male_only", "185-187") == [(["185"], [])]
    assert sides(rules, "female_only", "233.1-233.3") == [(["233.1"], [])]
    assert sides(rules, "maternity_age", "630-679") == [(["634.00"], [])]
    assert sides(rules, "newborn_only", "V30-V39") == [(["V30.00"], [])]
    assert sides(rules, "seventh_character", "250") == [(["250"], ["250.00"])]


def test_a_source_that_cuts_its_codes_is_not_told_so_of_each():
    cut, complete = ["250", "414", "428"], ["185", "250.00"]
    of_few = task_rules([*cut, *complete, "486"], load_ontology("icd9cm"), NO_NOTES)
    assert set(of_few.filter(kind="seventh_character")["node"]) == set(cut), "half of them"
    of_most = task_rules([*cut, *complete], load_ontology("icd9cm"), NO_NOTES)
    assert set(of_most["kind"]) == {"male_only"}


def test_kinds_are_those_that_the_check_knows(rules):
    assert set(rules["kind"]) <= set(coding_rules.KINDS)
    limits = {patient_limits.FEMALE, patient_limits.MALE, patient_limits.NEWBORN, patient_limits.PEDIATRIC}
    limits |= {patient_limits.MATERNITY, patient_limits.ADULT}
    assert limits == {*coding_rules.SEX_LIMITS, *coding_rules.AGE_LIMITS}
    assert set(patient_limits.ICD9) == set(patient_limits.ICD10) == limits


@pytest.mark.parametrize("system", ["icd9cm", "icd10cm"])
def test_every_range_of_the_limits_is_of_the_edition(system):
    order = load_order(system)
    limits = patient_limits.ICD9 if system == "icd9cm" else patient_limits.ICD10
    for ranges, _ in limits.values():
        for codes in ranges.split():
            first, _, last = codes.partition("-")
            assert first in order.place, codes
            assert (last or first) in order.place, codes


def test_a_prepared_task_keeps_its_rules(tmp_path):
    codes = ["E11.9", "E10.9", "I10", "S72"]
    rows = [(p, v, f"2020-0{v + 1}-01", code) for p in range(20) for v in range(2) for code in codes]
    table = write_csv(tmp_path / "table.csv", [("pid", "vid", "t", "icd"), *rows])
    columns = ["--patient", "pid", "--visit", "vid", "--time", "t", "--code", "icd", "--code-system", "icd10"]
    for granularity, kinds in (("full", ["excludes1", "seventh_character"]), ("category", ["excludes1"]), ("ccs", [])):
        run("table", "--input", table, *columns, "--output", tmp_path / granularity, "--granularity", granularity)
        assert sorted(set(load_task(tmp_path / granularity).rules["kind"])) == kinds
