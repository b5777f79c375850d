"""A task is what it was made as, or it is refused with what differs; and it is looked at once for each state."""

import json
import os
import re
import shutil

import datasets
import numpy as np
import polars as pl
import pytest
from prepare_case import run
from task_parts import GROUPS, code_frame, row, splits
from tiny_task import make_tiny_task

from data.task import SPLITS, load_task, save_task
from data.task_folder import task_verification

INFO = {
    "kind": "diagnosis",
    "ontology": "icd10cm",
    "protocol": {"name": "random", "seed": 0},
    "candidates_rule": {"name": "train"},
    "oracle": "oracle.npy",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mera" / "verified_tasks"


@pytest.fixture
def task(tmp_path):
    """A task with other codes and an oracle."""
    rows = splits(test=[row("d", ("I10", "K21.9"))])
    arrays = {"oracle.npy": np.zeros((1, 3), dtype=np.float32)}
    return save_task(tmp_path / "task", rows, code_frame(), GROUPS, INFO, arrays, other_codes=code_frame(["K21.9"]))


@pytest.fixture
def num_digests(monkeypatch):
    """Tables digested so far, as a list of one number."""
    count = [0]
    digest = task_verification.digest_table

    def counted(table):
        count[0] += 1
        return digest(table)

    monkeypatch.setattr(task_verification, "digest_table", counted)
    return count


def change_info(task, **changes):
    path = task.path / "task.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_table(name):
    def change(task):
        table = pl.read_parquet(task.path / name)
        column = "name" if name == "groups.parquet" else "definition"
        table.with_columns(pl.lit("something else").alias(column)).write_parquet(task.path / name)

    return change


def change_split(name, **changes):
    """Rewrite one split with other rows, as somebody who edits a task with `datasets` does."""

    def change(task):
        rows = [each | changes for each in task.splits[name]]
        shutil.rmtree(task.path / name)
        datasets.Dataset.from_list(rows, features=task.splits[name].features).save_to_disk(str(task.path / name))

    return change


EDITS = {
    "train": (change_split("train", age=61), "the train split"),
    "validation": (change_split("validation", sex="M"), "the validation split"),
    "test": (change_split("test", targets=["I10"]), "the test split"),
    "codes": (change_table("codes.parquet"), "codes.parquet"),
    "other codes": (change_table("other_codes.parquet"), "other_codes.parquet"),
    "no other codes": (lambda task: (task.path / "other_codes.parquet").unlink(), "other_codes.parquet"),
    "groups": (change_table("groups.parquet"), "groups.parquet"),
    "oracle": (lambda task: np.save(task.path / "oracle.npy", np.ones((1, 3), dtype=np.float32)), "oracle.npy"),
    "no oracle": (lambda task: (task.path / "oracle.npy").unlink(), "oracle.npy"),
    "fingerprint": (lambda task: change_info(task, fingerprint="0" * 64), "task.json itself"),
    "candidates": (lambda task: change_info(task, candidates=4), "task.json itself"),
    "rule": (lambda task: change_info(task, candidates_rule={"name": "all"}), "task.json itself"),
    "kind": (lambda task: change_info(task, kind="coding"), "task.json itself"),
    "no digests": (lambda task: change_info(task, digests={}), "task.json itself"),
    "protocol": (lambda task: change_info(task, protocol={"name": "random", "seed": 1}), "task.json itself"),
    "ontology": (lambda task: change_info(task, ontology="icd9cm"), "task.json itself"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_task_edited_by_hand_is_refused_and_told_what_differs(task, name):
    assert load_task(task.path).fingerprint == task.fingerprint
    edit, what = EDITS[name]
    edit(task)
    sentence = (
        f"{task.path} was changed after it was made: {what} no longer match what task.json remembers; prepare the "
        "task again, or put back the folder as it was"
    )
    for _ in range(2):  # a refusal is not remembered as approval
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            load_task(task.path)


def test_several_differences_are_all_named(task):
    for name in ("train", "codes", "kind"):
        EDITS[name][0](task)
    with pytest.raises(ValueError, match=r"made: the train split, codes.parquet, task.json itself no longer match"):
        load_task(task.path)


def test_what_nobody_relies_on_may_be_added(task):
    change_info(task, remark="of the third floor")
    (task.path / "README.md").write_text("about this task")
    assert load_task(task.path).info["remark"] == "of the third floor"


def test_a_task_is_verified_once_for_each_state_of_its_files(task, cache, num_digests):
    load_task(task.path)
    assert num_digests == [0], "what was just written is known to be right"
    (record,) = cache.iterdir()
    record.unlink()
    load_task(task.path)
    assert num_digests == [3]
    load_task(task.path)
    assert num_digests == [3]
    os.utime(task.path / "codes.parquet", ns=(1, 1))
    load_task(task.path)
    load_task(task.path)
    assert num_digests == [6]
    copied = task.path.with_name("copied")
    shutil.copytree(task.path, copied)
    load_task(copied)
    assert num_digests == [9], "each folder by itself"
    linked = task.path.with_name("linked")
    linked.symlink_to(task.path)
    load_task(linked)
    assert num_digests == [9]
    assert {path.name for path in task.path.iterdir()} == {path.name for path in copied.iterdir()}
    assert [path.suffix for path in cache.iterdir()] == [".json"] * 2, "and nothing in the tasks"


def test_the_same_size_and_another_time_is_another_state(task):
    load_task(task.path)
    path = task.path / "task.json"
    before = path.stat()
    path.write_text(path.read_text().replace('"diagnosis"', '"diagnosys"'))
    assert path.stat().st_size == before.st_size
    with pytest.raises(ValueError, match=r"task\.json itself"):
        load_task(task.path)


@pytest.mark.parametrize("content", ["", "nonsense", "[]", "{}", '{"form": 0, "files": {}}', '{"form": 1}'])
def test_an_unreadable_memory_is_no_obstacle(task, cache, num_digests, content):
    (record,) = cache.iterdir()
    record.write_text(content)
    load_task(task.path)
    load_task(task.path)
    assert num_digests == [3]


def test_without_a_cache_folder_it_is_verified_each_time(task, tmp_path, monkeypatch, num_digests):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    load_task(task.path)
    load_task(task.path)
    assert num_digests == [6]


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_the_cache_is_in_the_home_folder_by_default(task, tmp_path, monkeypatch, value):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if value is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    load_task(task.path)
    (record,) = (tmp_path / "home" / ".cache" / "mera" / "verified_tasks").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert str(task.path) not in record.read_text()


def test_only_so_many_tasks_are_remembered(task, cache, monkeypatch):
    monkeypatch.setattr(task_verification, "_REMEMBERED_TASKS", 2)
    for name in ("first", "second", "third"):
        shutil.copytree(task.path, task.path.with_name(name))
        load_task(task.path.with_name(name))
    assert len(list(cache.iterdir())) == 2


def older(task, *more):
    """As it was written before there were digests."""
    path = task.path / "task.json"
    info = json.loads(path.read_text())
    for name in ("digests", "candidates_rule", "outside_candidates", *more):
        info.pop(name, None)
    path.write_text(json.dumps(info))


def test_a_task_of_before_is_held_against_its_fingerprint(tmp_path):
    for name, edit in {
        "none": None,
        "train": change_split("train", age=61),
        "codes": change_table("codes.parquet"),
    }.items():
        task = save_task(tmp_path / name, splits(), code_frame(), GROUPS, {"kind": "diagnosis"})
        older(task)
        assert load_task(task.path).fingerprint == task.fingerprint
        if edit is not None:
            edit(task)
            with pytest.raises(ValueError, match=r"the rows, codes\.parquet or the fingerprint no longer match"):
                load_task(task.path)
    change_info(task, candidates=17)
    with pytest.raises(ValueError, match=r"made: codes.parquet no longer match"):
        load_task(task.path)


def test_real_rows_are_the_same_when_read_back(tmp_path, cache, num_digests):
    """Notes, evidence, past notes, nulls: what is hashed in memory and what is read from disk."""
    made = [
        make_tiny_task(tmp_path / "diagnosis", patients=30),
        make_tiny_task(tmp_path / "coding", kind="coding", patients=30),
        *run("synthetic", "--patients", 40, "--kind", "diagnosis", "--past-notes", "--output", tmp_path / "notes"),
        *run("synthetic", "--patients", 40, "--kind", "coding", "--output", tmp_path / "synthetic"),
    ]
    assert num_digests == [0], "what is written is hashed once"
    for record in cache.iterdir():
        record.unlink()
    for task in made:
        assert load_task(task.path).fingerprint == task.fingerprint
        older(task)
        assert load_task(task.path).fingerprint == task.fingerprint
    assert num_digests == [2 * len(SPLITS) * len(made)]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("task.json", "task.json"),
        ("codes.parquet", "codes.parquet"),
        ("other_codes.parquet", "other_codes.parquet"),
        ("groups.parquet", "groups.parquet"),
        ("test/data-00000-of-00001.arrow", "a split"),
        ("train/state.json", "a split"),
    ],
)
def test_a_damaged_task_says_so_in_one_sentence(task, name, part):
    path = task.path / name
    path.write_bytes(path.read_bytes()[:40])
    sentence = f"the task in {task.path} is damaged or incomplete: {part} cannot be read; prepare it again"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        load_task(task.path)
    if name not in ("task.json", "other_codes.parquet"):
        path.unlink()
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            load_task(task.path)


def test_a_record_without_what_every_task_has(task):
    (task.path / "task.json").write_text("{}")
    with pytest.raises(ValueError, match=r"task.json lacks counts and fingerprint; prepare the task again"):
        load_task(task.path)
