"""Choosing the score above which a code is predicted."""

import math

import numpy as np

from mera.system.errors import UserError

SORTED_PER_TARGET = 20
"""Of many scores, so many for each target are sorted first, the highest."""


def best_threshold(scores: np.ndarray, targets: np.ndarray) -> float:
    """The one threshold with the highest micro F1 of `scores > threshold`; ties go to the higher threshold.

    scores (N, C) float, targets (N, C) bool, or the probability of each, for the threshold that is best by the expected
    counts. Fit it on validation, never on the split that is reported. Where there are many scores only the highest are
    sorted: with n of them predicted and t targets micro F1 is at most 2 t / (n + t), so beyond some n nothing can be
    better than the best so far.
    Raises UserError where there is no target at all.
    """
    if not targets.any():
        raise UserError("cannot fit a threshold on rows without any target")
    every, true = scores.ravel(), targets.ravel()
    num_targets = float(true.sum())
    num_sorted = SORTED_PER_TARGET * math.ceil(num_targets)
    if num_sorted < every.size // 2:
        highest = every >= np.partition(every, -num_sorted)[-num_sorted]
        threshold, f1 = _best_of(every[highest], true[highest], num_targets)
        if f1 > 2 * num_targets / (np.count_nonzero(highest) + num_targets):
            return threshold
    return _best_of(every, true, num_targets)[0]


def _best_of(scores: np.ndarray, true: np.ndarray, num_targets: float) -> tuple[float, float]:
    """The threshold and its micro F1. scores (M,), true (M,); num_targets: those without a score among them."""
    order = np.argsort(-scores, kind="stable")
    ranked_scores = scores[order].astype(np.float64)
    hits = np.cumsum(true[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + num_targets)
    is_last_of_equals = np.append(ranked_scores[:-1] > ranked_scores[1:], True)
    best = int(np.argmax(np.where(is_last_of_equals, f1, -1.0)))
    if best + 1 == len(ranked_scores):
        return float(ranked_scores[-1] - 1.0), float(f1[best])
    above, below = ranked_scores[best], ranked_scores[best + 1]
    middle = (above + below) / 2
    # Thresholds are stored as float32, where the middle of two neighbours can round up to the upper one.
    return float(middle if np.float32(middle) < above else below), float(f1[best])
