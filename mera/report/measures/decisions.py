"""What a model's threshold does: predicted against true set sizes, and where it lies on the precision-recall curve."""

from dataclasses import dataclass

import numpy as np

from mera import metrics
from mera.evaluation import bootstrap
from mera.report.measures.estimates import Estimate, estimate
from mera.runs.predictions import Predictions

SIZE_GROUPS = 8
CURVE_POINTS = 60
BLOCK_ELEMENTS = 1_000_000
"""Scores compared with the cuts at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetSize:
    """Predicted against true numbers of codes, over all rows: in those without a target every prediction is wrong."""

    mean_true: Estimate
    mean_predicted: Estimate
    mean_absolute_error: Estimate
    rows_without_prediction: Estimate
    """Share of the rows."""
    micro_precision: Estimate
    micro_recall: Estimate
    spearman: Estimate
    """Rank correlation of the two numbers."""
    curve: tuple[tuple[float, float], ...]
    """(mean true, mean predicted) of groups of rows with a similar true number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionRecall:
    """Points of the curve, the least recall first."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


def set_size(predicted: np.ndarray, targets: np.ndarray, weights: np.ndarray, num_patients: int) -> SetSize:
    """predicted, targets (N, C) bool; weights (B, N), of `num_patients` patients."""
    sizes, true_sizes = predicted.sum(axis=1), targets.sum(axis=1)
    hits = (predicted & targets).sum(axis=1)
    per_row = np.column_stack([true_sizes, sizes, np.abs(sizes - true_sizes), sizes == 0])
    means = bootstrap.row_mean(weights, per_row.astype(np.float64))
    ratios = bootstrap.ratio_of_sums(weights, np.column_stack([hits, hits]), np.column_stack([sizes, true_sizes]))
    correlation = bootstrap.spearman(weights, sizes, true_sizes)
    mean_true, mean_predicted, error = (estimate(mean, bounds=(0.0, np.inf)) for mean in means.T[:3])
    return SetSize(
        mean_true=mean_true,
        mean_predicted=mean_predicted,
        mean_absolute_error=error,
        rows_without_prediction=estimate(means[:, 3], units=num_patients),
        micro_precision=estimate(ratios[:, 0]),
        micro_recall=estimate(ratios[:, 1]),
        spearman=estimate(correlation, bounds=(-1.0, 1.0)),
        curve=_size_curve(sizes, true_sizes),
    )


def precision_recall(run: Predictions, targets: np.ndarray) -> PrecisionRecall | None:
    """Micro precision and recall while one constant is added to every row's threshold; None without any target.

    Where a run sets no threshold, one cut over all rows' scores takes its place. The cuts are scores of targets, at
    CURVE_POINTS steps of recall; equal scores are predicted together. Targets that are no candidates are never found.
    """
    base = np.where(np.isfinite(run.thresholds), run.thresholds, 0.0).astype(np.float32)
    of_targets = run.scores[targets] - base[np.nonzero(targets)[0]]
    num_targets = len(of_targets)
    of_targets = np.sort(of_targets[~np.isneginf(of_targets)])
    if not len(of_targets):
        return None
    steps = np.linspace(0, len(of_targets) - 1, min(CURVE_POINTS, len(of_targets)))
    cuts = np.unique(of_targets[np.unique(steps.round().astype(np.int64))])
    passed = np.zeros(len(cuts) + 1, dtype=np.int64)
    rows_at_once = max(1, BLOCK_ELEMENTS // run.scores.shape[1])
    for start in range(0, len(run.scores), rows_at_once):
        block = slice(start, start + rows_at_once)
        margins = (run.scores[block] - base[block, None]).ravel()
        passed += np.bincount(np.searchsorted(cuts, margins, side="right"), minlength=len(cuts) + 1)
    num_predicted = np.cumsum(passed[::-1])[::-1][1:]
    hits = len(of_targets) - np.searchsorted(of_targets, cuts, side="left")
    recall, precision = (hits / num_targets)[::-1], (hits / num_predicted)[::-1]
    return PrecisionRecall(recall=tuple(recall.tolist()), precision=tuple(precision.tolist()))


def _size_curve(sizes: np.ndarray, true_sizes: np.ndarray) -> tuple[tuple[float, float], ...]:
    distinct, inverse, counts = np.unique(true_sizes, return_inverse=True, return_counts=True)
    if not len(distinct):
        return ()
    group = ((np.cumsum(counts) - counts) * SIZE_GROUPS // len(true_sizes))[inverse]
    return tuple(
        (float(true_sizes[group == number].mean()), float(sizes[group == number].mean())) for number in np.unique(group)
    )


def at_label_count(ranking: metrics.Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs that are predicted when each row predicts as many codes as it truly has."""
    chosen = metrics.predict_label_count(ranking)
    return np.nonzero(chosen)[0], ranking.top[chosen]
