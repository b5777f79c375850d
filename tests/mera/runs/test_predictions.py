"""The prediction folder: written and read back, complete or absent, and refused where its parts do not fit."""

import json

import numpy as np
import polars as pl
import pytest
from tiny_task import make_tiny_task

from mera.evaluation.metrics import rank_candidates, recall_at_k
from mera.runs.predictions import (
    Predictions,
    code_matrix,
    patient_hashes,
    predictions_for_task,
    read_predictions,
    write_predictions,
)
from mera.runs.task_protocol import PreparedTask, TaskRows


def make_predictions(**changes) -> Predictions:
    codes = pl.DataFrame(
        {"code": ["250.0", "401.9", "428.0"], "definition": ["a", "b", "c"], "train_count": [5, 0, 12]}
    )
    fields = {
        "scores": np.array([[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]], dtype=np.float32),
        "targets": np.array([[True, False, True], [False, True, False]]),
        "seen": np.array([[False, False, True], [False, False, False]]),
        "thresholds": np.array([0.4, np.nan], dtype=np.float32),
        "example_ids": ["e1", "e2"],
        "patient_ids": ["p1", "p2"],
        "codes": codes,
        "manifest": {"run": "tiny", "task": {"fingerprint": "f"}, "seed": 3},
    }
    return Predictions(**(fields | changes))


def test_written_predictions_read_back_equal(tmp_path):
    written = make_predictions()
    write_predictions(tmp_path / "tiny" / "predictions", written)
    for path in (tmp_path / "tiny", tmp_path / "tiny" / "predictions"):
        read = read_predictions(path)
        assert read.name == "tiny"
        assert read.scores.dtype == np.float32
        for name in ("scores", "targets", "seen"):
            assert np.array_equal(getattr(read, name), getattr(written, name))
        assert np.array_equal(read.thresholds, written.thresholds, equal_nan=True)
        assert (read.example_ids, read.patient_ids) == (["e1", "e2"], ["p1", "p2"])
        assert read.codes.equals(written.codes)
        assert read.manifest == written.manifest


def test_a_run_is_called_as_its_directory_is(tmp_path, monkeypatch):
    write_predictions(tmp_path / "tiny" / "predictions", make_predictions())
    (tmp_path / "tiny").rename(tmp_path / "moved")
    assert read_predictions(tmp_path / "moved").name == "moved"
    monkeypatch.chdir(tmp_path / "moved")
    assert read_predictions(".").name == "moved"


def test_a_row_without_a_threshold_predicts_nothing():
    assert make_predictions().predicted.tolist() == [[True, False, True], [False, False, False]]
    at_threshold = make_predictions(thresholds=np.array([0.5, 0.2], dtype=np.float32))
    assert at_threshold.predicted.tolist() == [[False, False, True], [False, False, True]]


def test_rows_without_targets_and_an_empty_history_keep_their_types(tmp_path):
    nothing = np.zeros((2, 3), dtype=bool)
    write_predictions(tmp_path / "predictions", make_predictions(targets=nothing, seen=nothing))
    read = read_predictions(tmp_path)
    assert read.targets.shape == (2, 3)
    assert not read.targets.any()
    assert pl.read_parquet(tmp_path / "predictions" / "examples.parquet").schema["seen"] == pl.List(pl.String)


def test_an_existing_folder_is_replaced_and_nothing_is_left_beside(tmp_path):
    write_predictions(tmp_path / "predictions", make_predictions())
    (tmp_path / "predictions" / "stale").write_text("old")
    write_predictions(tmp_path / "predictions", make_predictions(manifest={"run": "tiny", "note": "newer"}))
    assert read_predictions(tmp_path).manifest["note"] == "newer"
    assert not (tmp_path / "predictions" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]


def test_bad_scores_are_refused_before_anything_is_written(tmp_path):
    bad = np.array([[np.nan, 0, 0], [0, 0, 0]], dtype=np.float32)
    with pytest.raises(ValueError, match="NaN or infinity; the model diverged"):
        write_predictions(tmp_path / "predictions", make_predictions(scores=bad))
    with pytest.raises(ValueError, match=r"shape \(2, 2\), but there are 2 examples and 3 codes"):
        write_predictions(tmp_path / "predictions", make_predictions(scores=bad[:, 1:]))
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no predictions in .*absent"):
        read_predictions(tmp_path / "absent")
    folder = write_predictions(tmp_path / "predictions", make_predictions())
    np.save(folder / "scores.npy", np.zeros((2, 4), dtype=np.float32))
    with pytest.raises(ValueError, match=r"is damaged: scores.npy is \(2, 4\), examples.parquet has 2 rows"):
        read_predictions(tmp_path)


def test_manifest_is_plain_json(tmp_path):
    folder = write_predictions(tmp_path / "predictions", make_predictions())
    assert json.loads((folder / "manifest.json").read_text()) == {
        "run": "tiny",
        "task": {"fingerprint": "f"},
        "seed": 3,
    }


def test_code_matrix_by_hand_and_a_code_without_a_column():
    column = {"a": 0, "b": 1, "c": 2}
    assert code_matrix([["c", "a"], []], column).tolist() == [[True, False, True], [False, False, False]]
    with pytest.raises(KeyError, match="d"):
        code_matrix([["d"]], column)


def test_what_else_is_known_reads_back_equal(tmp_path):
    written = make_predictions(
        previous_visits=np.array([2, 0]),
        ages=np.array([70.0, np.nan], dtype=np.float32),
        sexes=["F", None],
        group_names=pl.DataFrame({"level": ["chapter"], "group": ["9"], "name": ["Circulatory"]}),
        trained_on=patient_hashes([["a"], ["b", "c"]]),
        context=pl.DataFrame({"text": ["Stable.", None]}),
        records={"training": [{"epoch": 1.0, "loss": 0.5}]},
    )
    write_predictions(tmp_path / "predictions", written)
    read = read_predictions(tmp_path)
    assert read.previous_visits.tolist() == [2, 0]
    assert np.array_equal(read.ages, written.ages, equal_nan=True)
    assert read.sexes == ["F", None]
    assert read.group_names.equals(written.group_names)
    assert np.array_equal(read.trained_on, written.trained_on)
    assert read.context.equals(written.context)
    assert read.records == written.records
    with pytest.raises(ValueError, match="a record cannot be called manifest"):
        write_predictions(tmp_path / "other", make_predictions(records={"manifest": {}}))


def test_a_folder_without_the_optional_parts_is_complete(tmp_path):
    write_predictions(tmp_path / "predictions", make_predictions())
    assert sorted(path.name for path in (tmp_path / "predictions").iterdir()) == [
        "codes.parquet",
        "examples.parquet",
        "manifest.json",
        "scores.npy",
    ]
    read = read_predictions(tmp_path)
    assert (read.ages, read.sexes, read.previous_visits, read.context, read.records) == (None, None, None, None, {})


def test_predictions_for_a_task_carry_what_the_task_knows(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding")
    rows = task.splits["test"]
    scores = np.zeros((len(rows), len(task.codes)))
    made = predictions_for_task(task, "test", scores, None, {"run": "x"}, {"training": [1], "memorization": None})
    read = read_predictions(write_predictions(tmp_path / "predictions", made))
    assert np.array_equal(read.ages, np.array(rows["age"], dtype=np.float32), equal_nan=True)
    assert read.sexes == list(rows["sex"])
    assert read.previous_visits.tolist() == [len(history) for history in rows["history"]]
    assert read.context["text"].to_list() == list(rows["text"])[:100]
    assert read.records == {"training": [1]}
    names = {(row["level"], row["group"]): row["name"] for row in read.group_names.iter_rows(named=True)}
    assert names["chapter", "9"] == task.group_names["chapter"]["9"]
    others = {patient for split in ("train", "validation") for patient in task.splits[split]["patient_id"]}
    assert set(read.trained_on.tolist()) == set(patient_hashes([others]).tolist())
    assert not np.isin(patient_hashes([read.patient_ids]), read.trained_on).any()


def test_a_prepared_task_has_what_mera_takes_of_one(tmp_path):
    task = make_tiny_task(tmp_path / "tiny")
    for protocol, thing in ((PreparedTask, task), (TaskRows, task.splits["test"])):
        assert not [name for name in vars(protocol) if not name.startswith("_") and not hasattr(thing, name)]


@pytest.mark.parametrize("kind", [np.uint16, np.int8, np.int64])
def test_whole_numbers_as_scores_are_read_as_floats(kind, tmp_path):
    folder = write_predictions(tmp_path / "predictions", make_predictions())
    scores = np.array([[0, 7, 1], [3, 2, np.iinfo(kind).min]], dtype=kind)
    np.save(folder / "scores.npy", scores)
    read = read_predictions(tmp_path)
    assert read.scores.dtype.kind == "f"
    assert np.array_equal(read.scores, scores.astype(np.float64))
    assert rank_candidates(read.scores, 1).tolist() == [[1], [0]]
    assert recall_at_k(read.scores, read.targets, 1) == pytest.approx(naive_recall_at_1(scores.tolist(), read.targets))


def naive_recall_at_1(scores, targets):
    recalls = []
    for row, true in zip(scores, targets.tolist(), strict=True):
        first = max(range(len(row)), key=lambda column: row[column])
        recalls.append(true[first] / sum(true))
    return sum(recalls) / len(recalls)
