"""Pooling the folds of the MIMIC-III demo: every patient is tested once."""

import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from prepare_case import run
from shared_data import shared_data

from mera.metrics import mean_average_precision, recall_at_k
from mera.pool import pool_folds
from mera.predictions import Predictions, read_predictions, write_predictions
from mera.report import write_report

FOLDS = 3


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    """The folders of the baselines' runs, one for each fold."""
    folder = tmp_path_factory.mktemp("pool")
    source = shared_data("mimic3demo")
    tasks = run("mimic3", "--input", source, "--output", folder / "demo", "--protocol", "kfold", "--folds", FOLDS)
    for task in tasks:
        command = [
            sys.executable,
            "rank/run_baselines.py",
            "--task",
            task.path,
            "--output",
            folder / task.path.name[-5:],
            "--only",
            "[popularity, own-history, linear]",
        ]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return folder


def fold_runs(folder, name):
    return [folder / f"fold{fold}" / name for fold in range(FOLDS)]


def test_every_patient_is_tested_once(baselines, tmp_path):
    pooled = read_predictions(pool_folds(reversed(fold_runs(baselines, "linear")), tmp_path / "linear"))
    parts = [read_predictions(path) for path in fold_runs(baselines, "linear")]
    assert len(set(pooled.patient_ids)) == len(pooled.patient_ids) == 14
    assert pooled.example_ids == [name for part in parts for name in part.example_ids]
    rows = [recall_at_k(part.scores, part.targets, 20) * len(part.scores) for part in parts]
    assert recall_at_k(pooled.scores, pooled.targets, 20) == pytest.approx(sum(rows) / 14)
    np.testing.assert_array_equal(pooled.predicted, np.concatenate([part.predicted for part in parts]))
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


CANDIDATES = (["a", "b", "c"], ["a", "c", "d"])
OUTSIDE = (["d"], ["b", "x"])


def made_up_fold(folder, number, candidates=CANDIDATES, outside=OUTSIDE, rule="train", **protocol):
    """Two patients tested in one of two folds; each row's first candidate scores highest and every code is true."""
    names = [*candidates[number], *outside[number]]
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], dtype=np.float32)
    padding = np.full((2, len(outside[number])), -np.inf, dtype=np.float32)
    recorded = {"name": "kfold", "seed": 0, "folds": 2, "fold": number, "cohort": "c", "fractions": [0.8, 0.1, 0.1]}
    task = {
        "name": f"made-up-fold{number}",
        "kind": "diagnosis",
        "fingerprint": f"{number}" * 64,
        "split": "test",
        "protocol": "kfold",
        "split_protocol": recorded | protocol,
        "candidates": 3,
        "candidates_rule": {"name": rule},
        "counts": {"test": {"examples": 2, "patients": 2, "targets": 2 * len(names)}},
    }
    predictions = Predictions(
        scores=np.hstack([scores, padding]),
        targets=np.ones((2, len(names)), dtype=bool),
        seen=np.zeros((2, len(names)), dtype=bool),
        thresholds=np.zeros(2, dtype=np.float32),
        example_ids=[f"{number}-0", f"{number}-1"],
        patient_ids=[f"p{2 * number}", f"p{2 * number + 1}"],
        codes=pl.DataFrame({"code": names, "definition": names, "train_count": [4 * (number + 1)] * len(names)}),
        num_outside=len(outside[number]),
        manifest={"run": f"fold{number}", "model": "m", "kind": "baseline", "task": task, "command": "c"},
    )
    write_predictions(folder / f"fold{number}" / "predictions", predictions)
    return folder / f"fold{number}"


def test_folds_of_different_candidates_are_put_together_over_all_their_codes(tmp_path):
    pooled = read_predictions(pool_folds([made_up_fold(tmp_path, fold) for fold in (0, 1)], tmp_path / "pooled"))
    assert pooled.codes["code"].to_list() == ["a", "b", "c", "d", "x"]
    assert pooled.num_outside == 1, "x is a candidate in no fold"
    inf = np.inf
    assert pooled.scores.tolist() == [[3, 2, 1, -inf, -inf]] * 2 + [[3, -inf, 2, 1, -inf]] * 2
    assert pooled.targets.tolist() == [[True, True, True, True, False]] * 2 + [[True] * 5] * 2
    assert pooled.codes["train_count"].to_list() == [6, 6, 6, 6, 4]
    # Fold 0: three of four true codes stand in front, d is missed; fold 1: three of five, b and x are missed.
    assert mean_average_precision(pooled.scores, pooled.targets) == pytest.approx((3 / 4 + 3 / 5) / 2)
    assert np.load(tmp_path / "pooled" / "predictions" / "scores.npy").shape == (4, 4)
    assert pooled.manifest["task"]["candidates"] == 4
    page = write_report([tmp_path / "pooled"], tmp_path / "report", bootstrap_samples=5).read_text()
    assert "6 of the 18 true codes (33.3%) are outside them" in page


def test_folds_with_the_same_candidates_keep_their_columns(tmp_path):
    same = {"candidates": (["c", "a", "b"],) * 2, "outside": ([], [])}
    pooled = read_predictions(pool_folds([made_up_fold(tmp_path, fold, **same) for fold in (1, 0)], tmp_path / "pool"))
    assert pooled.codes["code"].to_list() == ["c", "a", "b"]
    assert np.isfinite(pooled.scores).all()


def test_infinity_that_no_fold_explains_is_refused(tmp_path):
    pool_folds([made_up_fold(tmp_path, fold) for fold in (0, 1)], tmp_path / "pooled")
    path = tmp_path / "pooled" / "predictions" / "scores.npy"
    for value, row in ((np.nan, 1), (np.inf, 2), (-np.inf, slice(2, 3))):
        scores = np.load(path)
        scores[row, 1 if value != -np.inf else slice(None)] = value
        broken = tmp_path / f"{value}" / "predictions"
        shutil.copytree(path.parent, broken)
        np.save(broken / "scores.npy", scores)
        with pytest.raises(ValueError, match=r"scores.npy holds NaN or infinity in 1 of 4 rows"):
            read_predictions(broken.parent)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 7}, r"different seeds \(--split-seed\) \(0, 7\), so patients would be tested twice or never"),
        ({"folds": 3}, r"different numbers of folds \(--folds\) \(2, 3\)"),
        ({"cohort": "other"}, "different cohorts, so patients would be"),
        ({"fractions": [0.5, 0.4, 0.1]}, "different shares of training and validation"),
        ({"rule": "all"}, r"different rules for candidates \(train, all\)"),
        ({"fold": 0}, r"needs each of the folds \[0, 1\] once, got \[0, 0\]"),
        ({"name": "random"}, "the run 'fold1' is not of a k-fold task"),
    ],
)
def test_folds_that_do_not_belong_together_are_refused(tmp_path, change, sentence):
    runs = [made_up_fold(tmp_path, 0), made_up_fold(tmp_path, 1, **change)]
    with pytest.raises(ValueError, match=sentence):
        pool_folds(runs, tmp_path / "pooled")
    assert not (tmp_path / "pooled").exists()
