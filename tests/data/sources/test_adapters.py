"""The Diabetes-130 adapter: a small table with every kind of trouble, counted by hand; then the real one."""

import gzip
import random

import pytest
from prepare_case import accounting, assert_adds_up, dropped, example_of, run
from shared_data import shared_data

from data.task import SPLITS

DIABETES_HEADER = "encounter_id,patient_nbr,race,gender,age,diag_1,diag_2,diag_3"


def patients_with_two_visits(count, first_patient=100):
    return [
        f"{patient * 10 + visit},{patient},?,Female,[60-70),428,250.01,{401 + visit}"
        for patient in range(first_patient, first_patient + count)
        for visit in (1, 2)
    ]


def write_diabetes(path, rows):
    path.write_text("\n".join([DIABETES_HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def every_row(task):
    return {name: list(task.splits[name]) for name in SPLITS}


TROUBLE = [
    "9,7,Other,Male,[70-80),8,401,401",  # 008; a repeat
    "8,7,Other,Male,[70-80),V27,?,428.0",  # earlier than 9 by its id; a missing code
    "10,7,Other,Male,[80-90),ABC,E950,250.02",  # a code nobody knows
    "10,7,Other,Male,[80-90),ABC,E950,250.02",  # the same encounter twice
    "11,7,Other,Male,[80-90),?,?,?",  # a visit without codes
    "20,8,?,Unknown/Invalid,?,428,?,?",  # a patient with one visit
]


def test_diabetes130_counts_every_trouble(tmp_path):
    source = write_diabetes(tmp_path / "d.csv", TROUBLE + patients_with_two_visits(12))
    (task,) = run("diabetes130", "--input", source, "--output", tmp_path / "task")
    row = example_of(task, "7")
    assert row["history"] == [
        {"codes": ["V27", "428.0"], "days_before": None},
        {"codes": ["008", "401"], "days_before": None},
    ]
    assert (row["targets"], row["age"], row["sex"], row["text"]) == (["E950", "250.02"], 85, "M", None)
    assert row["example_id"] == "7:10"
    assert accounting(task)["diagnoses"]["dropped"] == {
        "visit duplicate encounter id": 3,
        "no code in the row": 1 + 3 + 2,
        "not a code of icd9cm": 1,
        "repeated in its visit": 1,
        "patient: fewer than 2 visits": 1,
    }
    assert accounting(task)["visits"]["dropped"] == {
        "duplicate encounter id": 1,
        "without a usable code": 1,
        "patient: fewer than 2 visits": 1,
    }
    assert accounting(task)["patients"] == {
        "read": 14,
        "added": {},
        "used": 13,
        "dropped": {"fewer than 2 visits": 1},
    }
    assert task.info["unknown_codes"] == {}
    assert task.info["unknown_code_counts"] == {"distinct": 1, "rows": 1}
    assert_adds_up(task)


def test_candidates_are_the_codes_of_histories_and_targets_with_their_groups(tmp_path):
    source = write_diabetes(tmp_path / "d.csv", TROUBLE + patients_with_two_visits(12))
    (task,) = run("diabetes130", "--input", source, "--output", tmp_path / "task")
    occurring = set()
    for rows in every_row(task).values():
        for row in rows:
            occurring |= set(row["targets"]) | {code for visit in row["history"] for code in visit["codes"]}
    assert task.codes == sorted(occurring)
    assert task.definitions[task.column["428.0"]] == "Congestive heart failure, unspecified"
    assert task.groups("category")[task.column["428.0"]] == "428"
    assert task.group_names["block"]["420-429"] == "Other Forms Of Heart Disease"


def test_row_order_and_compression_do_not_matter(tmp_path):
    rows = TROUBLE + patients_with_two_visits(30)
    plain = write_diabetes(tmp_path / "d.csv", rows)
    shuffled = tmp_path / "shuffled.csv.gz"
    text = "\n".join([DIABETES_HEADER, *random.Random(0).sample(rows, len(rows))])
    shuffled.write_bytes(gzip.compress(text.encode()))
    (first,) = run("diabetes130", "--input", plain, "--output", tmp_path / "a", "--every-visit")
    (second,) = run("diabetes130", "--input", shuffled, "--output", tmp_path / "b", "--every-visit")
    assert first.fingerprint == second.fingerprint
    assert every_row(first) == every_row(second)
    assert first.info["dropped"] == second.info["dropped"]
    (other_seed,) = run("diabetes130", "--input", plain, "--output", tmp_path / "c", "--split-seed", 1)
    assert other_seed.fingerprint != first.fingerprint


def test_every_visit_expands_training_patients_only(tmp_path):
    rows = [
        f"{patient * 10 + visit},{patient},?,Male,[50-60),428,{401 + visit},?"
        for patient in range(1, 41)
        for visit in range(4)
    ]
    source = write_diabetes(tmp_path / "d.csv", rows)
    (last,) = run("diabetes130", "--input", source, "--output", tmp_path / "last")
    (every,) = run("diabetes130", "--input", source, "--output", tmp_path / "every", "--every-visit")
    assert len(every.splits["train"]) == 3 * len(last.splits["train"])
    for name in ("validation", "test"):
        assert list(every.splits[name]) == list(last.splits[name])
    ids = [row["example_id"] for row in every.splits["train"]]
    assert len(set(ids)) == len(ids)
    assert {len(row["history"]) for row in every.splits["train"]} == {1, 2, 3}


def test_first_visits_train_without_a_history_and_nobody_else_changes(tmp_path):
    rows = [
        f"{patient * 10 + visit},{patient},?,Male,[50-60),428,{401 + visit},?"
        for patient in range(1, 41)
        for visit in range(1 if patient % 4 == 0 else 3)
    ]
    source = write_diabetes(tmp_path / "d.csv", rows)
    (plain,) = run("diabetes130", "--input", source, "--output", tmp_path / "plain", "--every-visit")
    (first,) = run("diabetes130", "--input", source, "--output", tmp_path / "first", "--every-visit", "--first-visits")
    assert_adds_up(first)
    assert dropped(plain, "patients") == {"fewer than 2 visits": 10}
    assert dropped(first, "patients") == {}
    for name in ("validation", "test"):
        assert list(first.splits[name]) == list(plain.splits[name])
    known = {row["example_id"] for row in plain.splits["train"]}
    added = [row for row in first.splits["train"] if row["example_id"] not in known]
    assert len(first.splits["train"]) == len(known) + len(added)
    assert all(row["history"] == [] for row in added)
    assert (
        len({row["patient_id"] for row in added})
        == len(added)
        == len({row["patient_id"] for row in first.splits["train"]})
    )
    assert sum(int(row["patient_id"]) % 4 == 0 for row in added) == 10


@pytest.mark.parametrize("protocol", ["chet", "temporal"])
def test_first_visits_go_with_protocols_that_do_not_count_training_patients(tmp_path, protocol):
    rows = [f"{patient * 10 + visit},{patient},?,Male,[50-60),428,401,?" for patient in range(9) for visit in (0, 1)]
    source = write_diabetes(tmp_path / "d.csv", rows)
    sizes = ("--sizes", 3, 3, 3) if protocol == "chet" else ()
    with pytest.raises(
        ValueError, match="--first-visits adds training patients, which only --protocol random and kfold"
    ):
        run(
            "diabetes130",
            "--input",
            source,
            "--output",
            tmp_path / "t",
            "--first-visits",
            "--protocol",
            protocol,
            *sizes,
        )


def test_category_granularity_merges_codes_and_counts_them(tmp_path):
    rows = [
        f"{patient * 2 + visit},{patient},?,Male,[50-60),250.01,250.02,428.0"
        for patient in range(20)
        for visit in (0, 1)
    ]
    source = write_diabetes(tmp_path / "d.csv", rows)
    (task,) = run("diabetes130", "--input", source, "--output", tmp_path / "t", "--granularity", "category")
    assert task.codes == ["250", "428"]
    assert task.info["dropped"] == {"same category twice in its visit": 40}
    assert_adds_up(task)


def test_diabetes130_in_full(tmp_path):
    (task,) = run("diabetes130", "--input", shared_data("diabetes130/diabetic_data.csv.gz"), "--output", tmp_path / "t")
    assert accounting(task)["visits"]["read"] == 94_676
    assert accounting(task)["patients"]["used"] == 14_268
    assert task.info["unknown_codes"] == {}
    assert_adds_up(task)
    assert sum(len(rows) for rows in every_row(task).values()) == 14_268
