"""Pooling the folds of the MIMIC-III demo: every patient is tested once."""

import pytest
from prepare_case import run
from ready_python import run_ready
from shared_data import shared_data

from mera.evaluation.metrics import recall_at_k
from mera.root import ROOT
from mera.runs.pool import pool_folds
from mera.runs.predictions import read_predictions

FOLDS = 3


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    """The folders of the baselines' runs, one for each fold."""
    folder = tmp_path_factory.mktemp("pool")
    source = shared_data("mimic3demo")
    options = ("--protocol", "kfold", "--folds", FOLDS, "--candidates", "all")
    tasks = run("mimic3", "--input", source, "--output", folder / "demo", *options)
    for task in tasks:
        command = ["rank/run_baselines.py", "--task", task.path, "--output", folder / task.path.name[-5:]]
        done = run_ready([*command, "--only", "[popularity, own-history, linear]"], cwd=ROOT)
        assert done.returncode == 0, done.stderr
    return folder


def code_sets(predictions, name):
    """The codes of each row of the matrix `name`."""
    codes = predictions.codes["code"].to_numpy()
    return [set(codes[row]) for row in getattr(predictions, name)]


def fold_runs(folder, name):
    return [folder / f"fold{fold}" / name for fold in range(FOLDS)]


def test_every_patient_is_tested_once(baselines, tmp_path):
    pooled = read_predictions(pool_folds(reversed(fold_runs(baselines, "linear")), tmp_path / "linear"))
    parts = [read_predictions(path) for path in fold_runs(baselines, "linear")]
    assert len(set(pooled.patient_ids)) == len(pooled.patient_ids) == 14
    assert pooled.example_ids == [name for part in parts for name in part.example_ids]
    rows = [recall_at_k(part.scores, part.targets, 20) * len(part.scores) for part in parts]
    assert recall_at_k(pooled.scores, pooled.targets, 20) == pytest.approx(sum(rows) / 14)
    # The folds have candidates of their own, so that a code's column differs.
    for name in ("predicted", "targets"):
        assert code_sets(pooled, name) == [codes for part in parts for codes in code_sets(part, name)]
    assert pooled.name == "linear"
    assert pooled.manifest["task"]["split"] == "all 3 folds"


def test_pooled_runs_can_be_compared(baselines, tmp_path):
    runs = [pool_folds(fold_runs(baselines, name), tmp_path / name) for name in ("linear", "popularity")]
    tasks = [read_predictions(path).manifest["task"]["fingerprint"] for path in runs]
    assert tasks[0] == tasks[1]


def test_an_incomplete_or_mixed_set_is_refused(baselines, tmp_path):
    linear, popularity = fold_runs(baselines, "linear"), fold_runs(baselines, "popularity")
    with pytest.raises(ValueError, match=r"needs each of the folds \[0, 1, 2\] once, got \[0, 2\]"):
        pool_folds([linear[0], linear[2]], tmp_path / "a")
    with pytest.raises(ValueError, match=r"different models \(linear, popularity\)"):
        pool_folds([linear[0], popularity[1], linear[2]], tmp_path / "a")
    assert not (tmp_path / "a").exists()
