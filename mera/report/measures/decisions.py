"""What a model's threshold does: predicted against true set sizes, and where it lies on the precision-recall curve."""

from typing import Any

import numpy as np

from mera.evaluation import bootstrap, metrics
from mera.report.measures.estimates import estimate
from mera.runs.predictions import Predictions

SIZE_GROUPS = 8
CURVE_POINTS = 60
BLOCK_ELEMENTS = 8_000_000
"""Scores compared with the cuts at once."""


def set_size(predicted: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Predicted against true numbers of codes, over rows with targets. predicted, targets (N, C) bool.

    `curve`: groups of rows with a similar true size, as [mean true, mean predicted].
    """
    sizes, true_sizes = predicted.sum(axis=1), targets.sum(axis=1)
    hits = (predicted & targets).sum(axis=1)
    with_targets = true_sizes > 0

    per_row = np.column_stack([true_sizes, sizes, np.abs(sizes - true_sizes), sizes == 0])
    means = bootstrap.row_mean(weights, np.where(with_targets[:, None], per_row, np.nan))
    ratios = bootstrap.ratio_of_sums(weights, np.column_stack([hits, hits]), np.column_stack([sizes, true_sizes]))
    correlation = bootstrap.spearman(weights[:, with_targets], sizes[with_targets], true_sizes[with_targets])
    names = ("mean_true", "mean_predicted", "mean_absolute_error", "rows_without_prediction")
    return {
        **{name: estimate(found, bounds=(0.0, np.inf)) for name, found in zip(names, means.T, strict=True)},
        "micro_precision": estimate(ratios[:, 0]),
        "micro_recall": estimate(ratios[:, 1]),
        "spearman": estimate(correlation, bounds=(-1.0, 1.0)),
        "curve": _size_curve(sizes[with_targets], true_sizes[with_targets]),
    }


def precision_recall(run: Predictions, targets: np.ndarray) -> dict[str, list[float]] | None:
    """Micro precision and recall while one constant is added to every row's threshold; None without any target.

    Where a run sets no threshold, one cut over all rows' scores takes its place. The cuts are scores of targets, at
    CURVE_POINTS steps of recall; equal scores are predicted together. Targets that are no candidates are never found.
    """
    base = np.where(np.isfinite(run.thresholds), run.thresholds, 0.0).astype(np.float32)
    found = run.scores[targets] - base[np.nonzero(targets)[0]]
    num_targets = len(found)
    found = np.sort(found[~np.isneginf(found)])
    if not len(found):
        return None
    steps = np.unique(np.linspace(0, len(found) - 1, min(CURVE_POINTS, len(found))).round().astype(np.int64))
    cuts = np.unique(found[steps])
    passed = np.zeros(len(cuts) + 1, dtype=np.int64)
    rows_at_once = max(1, BLOCK_ELEMENTS // run.scores.shape[1])
    for start in range(0, len(run.scores), rows_at_once):
        block = slice(start, start + rows_at_once)
        margins = (run.scores[block] - base[block, None]).ravel()
        passed += np.bincount(np.searchsorted(cuts, margins, side="right"), minlength=len(cuts) + 1)
    num_predicted = np.cumsum(passed[::-1])[::-1][1:]
    hits = len(found) - np.searchsorted(found, cuts, side="left")
    return {"recall": (hits / num_targets)[::-1].tolist(), "precision": (hits / num_predicted)[::-1].tolist()}


def _size_curve(sizes: np.ndarray, true_sizes: np.ndarray) -> list[list[float]]:
    distinct, inverse, counts = np.unique(true_sizes, return_inverse=True, return_counts=True)
    if not len(distinct):
        return []
    group = ((np.cumsum(counts) - counts) * SIZE_GROUPS // len(true_sizes))[inverse]
    return [
        [float(true_sizes[group == number].mean()), float(sizes[group == number].mean())] for number in np.unique(group)
    ]


def at_label_count(ranking: metrics.Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs that are predicted when each row predicts as many codes as it truly has."""
    chosen = metrics.predict_label_count(ranking)
    return np.nonzero(chosen)[0], ranking.top[chosen]
