"""Scores of the training split, out of fold: which patients are in a fold, and what is written and read."""

import json
from collections import Counter

import numpy as np
import pytest
from tiny_task import make_tiny_task

from mera.runs.other_splits.train_scores import folds_of_patients, read_train, write_train
from mera.runs.run_directory import RunDirectory


def test_a_patient_is_in_one_fold_and_folds_are_of_equal_size():
    patients = [f"p{number % 23}" for number in range(100)]
    fold = folds_of_patients(patients, 5)
    of_patient = {}
    for patient, number in zip(patients, fold, strict=True):
        assert of_patient.setdefault(patient, number) == number
    assert sorted(Counter(of_patient.values()).values()) == [4, 4, 5, 5, 5]
    np.testing.assert_array_equal(folds_of_patients(patients, 5), fold)


@pytest.mark.parametrize("folds", [1, 4])
def test_fewer_patients_than_folds_are_refused(folds):
    with pytest.raises(
        ValueError, match=rf"candidate_folds must be 2 to the number of training patients \(3\), got {folds}"
    ):
        folds_of_patients(["a", "b", "c", "a"], folds)


def test_what_is_written_is_read(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding", patients=20)
    run = RunDirectory(tmp_path / "run")
    scores = np.random.default_rng(0).normal(size=task.targets("train").shape).astype(np.float32)
    manifest = {"run": "run", "task": {"fingerprint": task.fingerprint, "split": "test"}}
    write_train(run, task, scores, 0.5, manifest, folds=4)
    run.finish()
    train = read_train(tmp_path / "run")
    np.testing.assert_array_equal(train.scores, scores)
    np.testing.assert_array_equal(train.targets, task.targets("train"))
    assert (train.manifest["candidate_folds"], train.manifest["task"]["split"]) == (4, "train")
    assert manifest["task"]["split"] == "test"
    path = tmp_path / "run" / "train" / "manifest.json"
    path.write_text(json.dumps({"run": "run", "task": manifest["task"]}))
    with pytest.raises(ValueError, match="does not say by how many folds it was made"):
        read_train(tmp_path / "run")
    with pytest.raises(ValueError, match="holds no out-of-fold scores of its training rows"):
        read_train(tmp_path / "task")
