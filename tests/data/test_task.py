"""The prepared task: what is written is read back, and what is inconsistent is refused."""

import json

import datasets
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_parts import CODES, GROUPS, code_frame, row, splits

from data.cohorts.cohort import Patient, Visit
from data.cohorts.splits import chet_split, random_split
from data.task import SPLITS, as_table, load_task, save_task
from data.task_folder.task_rows import digest_table


def save(path, rows=None, **changed):
    return save_task(path, rows or splits(), code_frame(), GROUPS, {"kind": "diagnosis"}, **changed)


def test_what_is_saved_is_read_back(tmp_path):
    saved = save(tmp_path / "task", arrays={"oracle.npy": np.arange(3, dtype=np.float32)})
    task = load_task(tmp_path / "task")
    assert task.fingerprint == saved.fingerprint
    assert [list(task.splits[name]) for name in SPLITS] == [splits()[name] for name in SPLITS]
    assert task.codes == CODES
    assert task.synonyms == [[], ["another name"], []]
    assert task.train_counts.tolist() == [0, 2, 1]
    assert task.group_names["category"] == {"I10": "pressure"}
    assert task.info["counts"]["train"] == {"examples": 2, "patients": 2, "targets": 3}
    assert task.targets("train").tolist() == [[False, True, False], [False, True, True]]
    assert task.seen("test").tolist() == [[True, False, False]]
    assert np.load(task.path / "oracle.npy").tolist() == [0.0, 1.0, 2.0]
    ids = task.group_ids(["all", "category"])
    assert ids.tolist() == [[0, 0, 0], [0, 1, 2]]


def test_the_fingerprint_follows_rows_and_codes_but_not_the_folder(tmp_path):
    first = save(tmp_path / "a")
    assert save(tmp_path / "b").fingerprint == first.fingerprint
    assert save(tmp_path / "c", splits(test=[row("e")])).fingerprint != first.fingerprint


def test_the_fingerprint_of_a_task_without_other_codes_is_the_one_it_always_had(tmp_path):
    """Runs on tasks made before candidates could be chosen are compared with runs of today."""
    expected = "d9a4f4a384914f0bfedc785f9e4d11ca14cc025af6e2a3f995d6e84ef0af83a4"
    assert save(tmp_path / "task").fingerprint == expected
    assert save(tmp_path / "same", other_codes=code_frame([])).fingerprint == expected
    with_others = save(
        tmp_path / "others", splits(test=[row("d", ("I10", "K21.9"))]), other_codes=code_frame(["K21.9"])
    )
    assert with_others.fingerprint not in (expected, save(tmp_path / "d", splits(test=[row("d")])).fingerprint)


def test_the_fingerprint_follows_each_value_and_not_how_rows_are_cut_into_batches(tmp_path):
    rows = [row(f"p{number}") for number in range(50)]
    table = as_table(rows)
    assert digest_table(pa.concat_tables([as_table(rows[:7]), as_table(rows[7:])])) == digest_table(table)
    assert digest_table(as_table(rows, on_disk=True)) == digest_table(table)
    assert as_table(rows, on_disk=True).to_pylist() == rows
    changes = (
        {"age": None},
        {"age": 0},
        {"sex": ""},
        {"sex": None},
        {"text": "F"},
        {"history": []},
        {"history": [{"codes": ["E11.9"], "days_before": None}]},
        {"history": [{"codes": ["E11", ".9"], "days_before": 30}]},
        {"targets": ["I10", "I10"]},
        {"evidence": [{"code": "I10", "start": 0, "end": 1}]},
    )
    seen = {digest_table(table)}
    for change in changes:
        seen.add(digest_table(as_table([rows[0] | change, *rows[1:]])))
    assert len(seen) == 1 + len(changes)
    assert digest_table(as_table([*rows[1:], rows[0]])) not in seen


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path / "task", arrays={"oracle.npy": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test": [row("a")]}, "1 patients are in both train and test; a patient belongs to one split"),
        ({"validation": [row("a"), row("b")]}, "2 patients are in both train and validation"),
        ({"test": []}, "the test split is empty"),
        ({"test": [row("d", ("Z99.9",))]}, "row 1 of the test split holds a code that is not among the candidates"),
        ({"train": [row("a"), row("x", history=(("Z99.9",),))]}, "row 2 of the train split holds a code"),
        ({"test": [row("d", ())]}, "the test split holds an example without target codes"),
        ({"extra": [row("f")]}, "a task has the splits train, validation, test"),
    ],
)
def test_inconsistent_tasks_are_refused_and_leave_nothing(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "task", splits(**changed))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_a_partial_one_replaced(tmp_path):
    leftover = tmp_path / ".task.partial"
    leftover.mkdir()
    (leftover / "junk").write_text("from an interrupted run")
    save(tmp_path / "task")
    assert not leftover.exists()
    assert not (tmp_path / "task" / "junk").exists()
    with pytest.raises(ValueError, match="already exists; choose another --output"):
        save(tmp_path / "task")


def test_a_patient_in_two_splits_is_found_when_reading_too(tmp_path):
    task = save(tmp_path / "task")
    rows = datasets.DatasetDict({**task.splits, "test": task.splits["train"]})
    rows.save_to_disk(str(tmp_path / "changed"))
    for name in ("codes.parquet", "groups.parquet", "task.json"):
        (tmp_path / "changed" / name).write_bytes((task.path / name).read_bytes())
    with pytest.raises(ValueError, match="2 patients are in both train and test"):
        load_task(tmp_path / "changed")


def test_a_folder_without_a_task(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"task.json is missing\); make one with `mera prepare`"):
        load_task(tmp_path)
    task = save(tmp_path / "task")
    with pytest.raises(ValueError, match="unknown level 'family'"):
        task.groups("family")
    assert json.loads((task.path / "task.json").read_text())["candidates"] == 3


def patient(name, *visits):
    return Patient(
        patient_id=name,
        sex=None,
        visits=tuple(Visit(admission_id=str(index), codes=tuple(codes)) for index, codes in enumerate(visits)),
    )


@given(st.sets(st.text("abc012", min_size=1), min_size=20, max_size=60), st.integers(0, 5), st.randoms())
@settings(max_examples=50, deadline=None)
def test_random_split_covers_everyone_once_whatever_the_order(names, seed, shuffler):
    patients = [patient(name) for name in sorted(names)]
    split_of = random_split(patients, (0.7, 0.1, 0.2), seed)
    shuffler.shuffle(patients)
    assert random_split(patients, (0.7, 0.1, 0.2), seed) == split_of
    assert set(split_of) == names
    for name, fraction in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert abs(sum(split == name for split in split_of.values()) - fraction * len(names)) <= 1


@given(
    st.lists(st.sets(st.sampled_from(["I10", "E11.9", "J18.9", "N39.0"]), min_size=1), min_size=30, max_size=40),
    st.integers(0, 5),
    st.randoms(),
)
@settings(max_examples=50, deadline=None)
def test_chet_split_has_its_sizes_and_no_code_is_new_after_train(visits, seed, shuffler):
    patients = [patient(f"p{number:02d}", sorted(codes)) for number, codes in enumerate(visits)]
    split_of = chet_split(patients, (12, 6, 10), seed)
    shuffler.shuffle(patients)
    assert chet_split(patients, (12, 6, 10), seed) == split_of
    assert [sum(split == name for split in split_of.values()) for name in SPLITS] == [12, 6, 10]
    codes_of = {person.patient_id: set(person.visits[0].codes) for person in patients}
    in_train = set().union(*(codes_of[name] for name, split in split_of.items() if split == "train"))
    assert all(codes_of[name] <= in_train for name in split_of)


def test_chet_split_needs_room_for_first_patients():
    patients = [patient(f"p{number}", [f"code {number}"]) for number in range(10)]
    with pytest.raises(ValueError, match="10 patients are the first with some code and belong in train"):
        chet_split(patients, (6, 2, 2), 0)
