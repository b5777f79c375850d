"""The report's calibration, thresholds and precision-recall curves, each against a loop over rows or scikit-learn."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
from made_up_runs import change_run, find_run

from mera import metrics
from mera.report.measures.decisions import precision_recall, set_size
from mera.report.measures.reliability import reliability
from mera.runs.predictions import read_predictions


def no_resamples(run):
    return np.ones((3, len(run.example_ids)), dtype=np.float32)


def test_calibration_error_equals_a_loop(runs):
    run = read_predictions(runs[1])
    calibration = reliability(run, metrics.rank_targets(run.scores, run.targets), no_resamples(run))
    probabilities = 1 / (1 + np.exp(-(1.1 * (run.scores.astype(float) - run.thresholds[:, None]) - 0.4)))
    error = 0.0
    for low in np.arange(10) / 10:
        inside = (probabilities >= low) & (probabilities < low + 0.1 + (low > 0.85))
        error += abs((probabilities - run.targets)[inside].sum()) / probabilities.size
    assert calibration.ece.value == pytest.approx(error)
    assert calibration.brier.value == pytest.approx(((probabilities - run.targets) ** 2).mean())
    top = metrics.rank_candidates(run.scores, 20)
    first, true = (np.take_along_axis(matrix, top, axis=1).ravel() for matrix in (probabilities, run.targets))
    order = np.argsort(first)
    chunks = np.array_split(order, 10)
    assert calibration.ece_first.value == pytest.approx(
        sum(abs((first - true)[chunk].sum()) for chunk in chunks) / len(first), rel=1e-3
    )
    assert [point.pairs for point in calibration.curve] == [len(chunk) for chunk in chunks]
    assert calibration.curve[9].observed.value == pytest.approx(true[chunks[9]].mean())


def test_each_fold_has_its_own_sigmoid(runs):
    """A pooled run's rows are measured by the calibration of the fold that scored them."""
    run = read_predictions(runs[1])
    rows, parts = len(run.scores), []
    numbers, sigmoids = (rows // 3, rows - rows // 3), ((1.1, -0.4), (0.3, 0.2))
    for number, (slope, intercept) in zip(numbers, sigmoids, strict=True):
        parts.append({"slope": slope, "intercept": intercept, "examples": number})
    pooled = replace(run, manifest=run.manifest | {"calibration": {"folds": parts}})
    found = reliability(pooled, metrics.rank_targets(run.scores, run.targets), no_resamples(run))
    slopes, intercepts = (np.repeat(values, numbers)[:, None] for values in zip(*sigmoids, strict=True))
    margins = run.scores.astype(float) - run.thresholds[:, None]
    probabilities = 1 / (1 + np.exp(-(slopes * margins + intercepts)))
    assert found.brier.value == pytest.approx(((probabilities - run.targets) ** 2).mean())


def test_true_probabilities_are_calibrated_and_halved_ones_are_not(runs, section):
    oracle = find_run(section, "oracle")["reliability"]
    assert oracle["ece"]["value"] < 0.02
    run = read_predictions(runs[0])
    halved = read_predictions(change_run(runs[0], runs[0].parent / "halved", scores=run.scores / 2))
    of_halved = reliability(halved, metrics.rank_targets(halved.scores, halved.targets), no_resamples(halved))
    assert of_halved.ece.value > 3 * oracle["ece"]["value"]
    assert find_run(section, "history")["reliability"] is None, "calibration needs a threshold to measure from"


def test_the_numbers_of_a_sentence_count_the_same_rows():
    """Rows without a true code count everywhere: what is predicted there is predicted, and wrong."""
    draw = np.random.default_rng(5)
    predicted, targets = draw.random((2, 40, 12)) < 0.3
    targets[::2] = False
    size = set_size(predicted, targets, np.ones((3, 40), dtype=np.float32), num_patients=40)
    rows = [(set(np.flatnonzero(p)), set(np.flatnonzero(t))) for p, t in zip(predicted, targets, strict=True)]
    hits = sum(len(p & t) for p, t in rows)
    assert size.mean_predicted.value == pytest.approx(sum(len(p) for p, _ in rows) / 40)
    assert size.mean_true.value == pytest.approx(sum(len(t) for _, t in rows) / 40)
    assert size.mean_absolute_error.value == pytest.approx(sum(abs(len(p) - len(t)) for p, t in rows) / 40)
    assert size.mean_predicted.value * size.micro_precision.value == pytest.approx(hits / 40)
    assert size.mean_true.value * size.micro_recall.value == pytest.approx(hits / 40)


def test_the_fitted_threshold_stands_beside_eov_alone_and_the_best_fixed_one(report_folder):
    with (report_folder / "tables" / "thresholds.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row.pop("model") == "MERA tiny"
    assert [float(row[key]) for key in row if "fixed" in key] == [0.2987]
    assert {0.75, 0.305, 0.0102} <= {float(value) for value in row.values() if value.replace(".", "").isdigit()}


def test_precision_recall_equals_scikit_learn(runs, section):
    run = read_predictions(runs[1])
    curve = precision_recall(run, run.targets)
    margins = (run.scores - run.thresholds[:, None]).ravel()
    precision, recall, _ = sklearn.metrics.precision_recall_curve(run.targets.ravel(), margins)
    expected = dict(zip(recall.round(9), precision, strict=True))
    best_at = {}
    for r, p in zip(recall.round(9), precision, strict=True):
        best_at[r] = max(p, best_at.get(r, 0))
    assert len(expected) > 50
    assert curve.precision == pytest.approx([best_at[round(r, 9)] for r in curve.recall])
    assert curve.recall[-1] == 1.0
    assert precision_recall(run, np.zeros_like(run.targets)) is None
    assert find_run(section, "history")["precision_recall"]["recall"][-1] == 1.0


def test_ties_are_predicted_together_and_blocks_change_nothing(runs, monkeypatch):
    run = read_predictions(
        change_run(runs[1], runs[1].parent / "rounded", scores=read_predictions(runs[1]).scores.round())
    )
    whole = precision_recall(run, run.targets)
    monkeypatch.setattr("mera.report.measures.decisions.BLOCK_ELEMENTS", 300)
    assert precision_recall(run, run.targets) == whole
    ranking = metrics.rank_targets(run.scores, run.targets)
    in_one = reliability(run, ranking, no_resamples(run))
    monkeypatch.setattr("mera.report.measures.reliability.BLOCK_ELEMENTS", 300)
    assert reliability(run, ranking, no_resamples(run)).ece.value == pytest.approx(in_one.ece.value)
