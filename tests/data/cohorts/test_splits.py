"""Protocols and options: who is in which split, and what becomes of codes, visits and targets."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from prepare_case import EVEN, WORDS, assert_adds_up, dropped, every_row, example_of, run, split_of, write_csv
from shared_data import shared_data

from data.codes.ccs import load_ccs
from data.cohorts.cohort import Patient, Visit
from data.cohorts.splits import divide_training, given_split, kfold_split, only_later, temporal_split
from data.ledger import Ledger
from data.task import LEVELS, SPLITS

NAMES = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--position", "rank")


def write_table(path, patients=20, visits=3):
    rows = [["pid", "vid", "day", "rank", "dx"]]
    for patient in range(patients):
        for visit in range(visits):
            codes = ["I10", "E11.9", "I50.9"] if visit != 1 else ["Z99", "N17.9", "J18.9"]
            if patient == 0 and visit == 2:
                codes = ["nonsense", "I10"]
            if patient == 1:
                codes = [*codes, "M54.5"]
            rows += [
                [f"p{patient:02d}", visit, f"20{10 + visit}-01-{1 + patient:02d}", rank, code]
                for rank, code in enumerate(codes)
            ]
    return write_csv(path, rows)


def prepare_table(tmp_path, name, *options, **size):
    source = write_table(tmp_path / f"{name}.csv", **size)
    return run(
        "table", "--input", source, *NAMES, "--code-system", "icd10", "--output", tmp_path / name, *EVEN, *options
    )


def person(name, *periods):
    visits = tuple(Visit(admission_id=str(number), codes=("I10",), period=when) for number, when in enumerate(periods))
    return Patient(patient_id=name, sex=None, visits=visits)


@given(st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=4), min_size=30, max_size=60), st.randoms())
@settings(max_examples=50, deadline=None)
def test_temporal_trains_before_and_tests_after(histories, shuffler):
    patients = [person(f"p{number}", *sorted(periods)) for number, periods in enumerate(histories)]
    try:
        split = temporal_split(patients, (0.6, 0.2, 0.2))
    except ValueError:
        assume(False)
    shuffler.shuffle(patients)
    assert temporal_split(patients, (0.6, 0.2, 0.2)) == split
    assert len(split) == len(patients)
    every = {name: [patient for patient in patients if split[patient.patient_id] == name] for name in SPLITS}
    assert all(every.values())
    last_trained = max(visit.period for patient in every["train"] for visit in patient.visits)
    targets = {name: [patient.visits[-1].period for patient in every[name]] for name in SPLITS}
    assert last_trained < min(targets["validation"])
    assert max(targets["validation"]) < min(targets["test"])


def test_where_every_visit_is_a_target_earlier_ones_are_left_out_of_later_splits():
    patients = [person("a", 2005, 2010), person("b", 2001, 2011), person("c", 2000, 2011, 2012)]
    ledger = Ledger()
    left = only_later(patients, {"a": "train", "b": "validation", "c": "test"}, ledger)
    assert [[visit.period for visit in patient.visits] for patient in left] == [[2005, 2010], [2011], [2012]]
    reason = "not after the visits of the splits before"
    assert ledger.record()["accounting"]["visits"]["dropped"] == {reason: 3}


def test_temporal_coding_tests_after_what_it_trains_on(tmp_path):
    rows = [["pid", "vid", "day", "dx", "note"]]
    for number in range(24):
        for visit, year in enumerate((2000 + number % 5, 2010 + number)):
            rows.append(
                [
                    f"p{number:02}",
                    f"{number}-{visit}",
                    f"{year}-01-01",
                    "I10",
                    " ".join(WORDS[10 * number + 260 * visit :][:10]),
                ]
            )
    source = write_csv(tmp_path / "notes.csv", rows)
    columns = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--text", "note")
    options = ("--kind", "coding", "--code-system", "icd10", "--protocol", "temporal", *EVEN)
    (task,) = run("table", "--input", source, *columns, *options, "--output", tmp_path / "t")
    assert_adds_up(task)
    visits = {name: [int(row["example_id"].split("-")[1]) for row in task.splits[name]] for name in SPLITS}
    assert {*visits["train"]} == {0, 1}
    assert {*visits["validation"], *visits["test"]} == {1}, "what was written when training was is no test"


def test_temporal_needs_time_that_patients_share(tmp_path):
    (task,) = prepare_table(tmp_path, "dated", "--protocol", "temporal")
    assert [name for name, split in sorted(split_of(task).items()) if split == "test"] == [
        f"p{number:02d}" for number in range(15, 20)
    ]
    source = shared_data("diabetes130/diabetic_data.csv.gz")
    with pytest.raises(ValueError, match="needs dates that patients share; 14,268 of 14,268 patients have none"):
        run("diabetes130", "--input", source, "--protocol", "temporal", "--output", tmp_path / "x")
    with pytest.raises(ValueError, match="found 1 different times of last visits"):
        temporal_split([person(f"p{number}", 1, 2) for number in range(9)], (0.6, 0.2, 0.2))


def test_temporal_on_mimic4_uses_the_years_the_anchor_groups_tell(tmp_path):
    options = ("--code-system", "to-icd10", "--protocol", "temporal")
    (task,) = run("mimic4", "--input", shared_data("mimic4demo"), *options, "--output", tmp_path / "t")
    assert {name: len(task.splits[name]) for name in SPLITS} == {"train": 35, "validation": 4, "test": 9}
    with pytest.raises(ValueError, match="each patient's shifted apart"):
        run("mimic3", "--input", shared_data("mimic3demo"), "--protocol", "temporal", "--output", tmp_path / "u")


@given(st.integers(2, 6), st.integers(8, 40), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_the_folds_together_test_everyone_once(folds, patients, seed):
    people = [person(f"p{number}", 1, 2) for number in range(patients)]
    splits = [kfold_split(people, folds, fold, (0.75, 0.1, 0.15), seed) for fold in range(folds)]
    tested = [name for split in splits for name, part in split.items() if part == "test"]
    assert sorted(tested) == sorted(patient.patient_id for patient in people)
    for split in splits:
        assert set(split) == set(tested)
        assert set(split.values()) == set(SPLITS)


def test_both_sides_of_a_division_have_someone():
    for share in (0.001, 0.5, 0.999):
        parts = divide_training([f"p{number}" for number in range(9)], (1 - share, share), seed=0)
        assert {*parts.values()} == {"train", "validation"}, share


def test_kfold_writes_a_task_for_each_fold_and_with_all_the_same_candidates(tmp_path):
    tasks = prepare_table(tmp_path, "cv", "--protocol", "kfold", "--folds", 4, "--candidates", "all")
    assert [task.path.name for task in tasks] == ["cv-fold0", "cv-fold1", "cv-fold2", "cv-fold3"]
    assert len({tuple(task.codes) for task in tasks}) == 1
    assert len({task.info["protocol"]["cohort"] for task in tasks}) == 1
    assert len({task.fingerprint for task in tasks}) == 4
    tested = [row["patient_id"] for task in tasks for row in task.splits["test"]]
    assert sorted(tested) == [f"p{number:02d}" for number in range(20)]
    for task in tasks:
        assert_adds_up(task)
    (one,) = prepare_table(tmp_path, "one", "--protocol", "kfold", "--folds", 4, "--fold", 2, "--candidates", "all")
    assert (one.path.name, one.fingerprint) == ("one", tasks[2].fingerprint)
    (tmp_path / "busy-fold3").mkdir()
    with pytest.raises(ValueError, match="busy-fold3 already exists"):
        prepare_table(tmp_path, "busy", "--protocol", "kfold", "--folds", 4)
    assert not (tmp_path / "busy-fold0").exists()


def test_kfold_on_the_mimic3_demo(tmp_path):
    folder = shared_data("mimic3demo")
    tasks = run("mimic3", "--input", folder, "--protocol", "kfold", "--folds", 7, "--output", tmp_path / "m3")
    assert sorted(len(task.splits["test"]) for task in tasks) == [2] * 7
    assert len({row["patient_id"] for task in tasks for row in task.splits["test"]}) == 14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "kfold", "--folds", 1), "--folds must be at least 2"),
        (("--protocol", "kfold", "--folds", 4, "--fold", 4), "--fold from 0 to folds - 1, got 4 and 4"),
        (("--protocol", "kfold", "--folds", 19), "20 patients are too few for 19 folds"),
        (("--fold", 1), "--fold goes with --protocol kfold"),
        (("--protocol", "given"), "needs a source that comes with its own splits"),
        (("--max-history", 0), "--max-history must be at least 1"),
        (("--min-code-count", 0), "--min-code-count must be at least 1"),
        (("--min-code-count", 99), "no patient of table has 2 visits with a usable code"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        prepare_table(tmp_path, "t", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_given_splits_draw_validation_from_training():
    people = [person(f"p{number}", 1) for number in range(20)]
    lists = {f"p{number}": "train" if number < 17 else "test" for number in range(19)}
    split = given_split(people, lists, (0.75, 0.10, 0.15), 0)
    assert set(split) == set(lists)
    assert [sum(part == name for part in split.values()) for name in SPLITS] == [15, 2, 2]
    assert {name for name, part in split.items() if part == "test"} == {"p17", "p18"}


def test_rare_codes_go_and_are_counted(tmp_path):
    (task,) = prepare_table(tmp_path, "t", "--min-code-count", 4)
    assert "M54.5" not in task.codes
    assert dropped(task, "diagnoses")["code in fewer than 4 visits"] == 3
    assert_adds_up(task)
    (whole,) = prepare_table(tmp_path, "u", "--min-code-count", 3, "--candidates", "all")
    assert "M54.5" in whole.codes


def test_the_longest_history(tmp_path):
    (task,) = prepare_table(tmp_path, "t", "--max-history", 1)
    assert {len(row["history"]) for row in every_row(task)} == {1}
    assert example_of(task, "p05")["history"][0]["codes"] == ["Z99", "N17.9", "J18.9"]
    assert dropped(task, "visits") == {"older than the longest history": 20}
    assert_adds_up(task)
    (every,) = prepare_table(tmp_path, "u", "--max-history", 1, "--every-visit")
    assert {len(row["history"]) for row in every_row(every)} == {1}
    assert len(every.splits["train"]) == 2 * len(task.splits["train"])
    assert dropped(every, "visits") == {"older than the longest history": 10}
    assert_adds_up(every)


def test_primary_targets_keep_whole_histories(tmp_path):
    (task,) = prepare_table(tmp_path, "t", "--primary-only")
    row = example_of(task, "p03")
    assert row["targets"] == ["I10"]
    assert [visit["codes"] for visit in row["history"]] == [["I10", "E11.9", "I50.9"], ["Z99", "N17.9", "J18.9"]]
    # Its last visit lists a code nobody knows first: I10, listed second, is not taken for it.
    row = example_of(task, "p00")
    assert (row["example_id"], row["targets"], len(row["history"])) == ("p00:1", ["Z99"], 1)
    assert dropped(task, "visits") == {"its primary diagnosis is no usable code": 1}
    assert_adds_up(task)
    (every,) = prepare_table(tmp_path, "u", "--primary-only", "--every-visit")
    assert {len(row["targets"]) for row in every_row(every)} == {1}
    assert_adds_up(every)


def test_ccs_groups_stand_where_codes_stood(tmp_path):
    (task,) = prepare_table(tmp_path, "t", "--granularity", "ccs", "--candidates", "all")
    assert task.codes == ["CIR007", "CIR019", "END002", "FAC025", "GEN002", "MUS038", "RSP002"]
    assert all(task.definitions)
    assert task.groups("chapter")[task.column["CIR019"]] == "CIR"
    assert task.group_names["chapter"]["CIR"] == "Diseases of the circulatory system"
    assert task.info["ontology"] == "ccsr"
    assert_adds_up(task)


@pytest.mark.parametrize(
    ("system", "code", "group", "definition"),
    [
        ("icd9cm", "428.0", "CCS108", "Congestive heart failure; nonhypertensive"),
        ("icd9cm", "428", "CCS108", "Congestive heart failure; nonhypertensive"),
        ("icd9cm", "250.01", "CCS049", "Diabetes mellitus without complication"),
        ("icd10cm", "I50.9", "CIR019", "Heart failure; "),
        ("icd10cm", "E11", "END003", "Diabetes mellitus"),
    ],
)
def test_ccs_groups(system, code, group, definition):
    ccs = load_ccs(system)
    assert ccs.group_of(code) == group
    assert ccs.definition(group).startswith(definition)
    assert list(ccs.groups(group)) == list(LEVELS)
    assert all(ccs.group_name(level, name) for level, name in ccs.groups(group).items())
    with pytest.raises(ValueError, match="is not a group of"):
        ccs.definition("I50.9")
