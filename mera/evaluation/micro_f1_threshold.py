"""Choosing the score above which a code is predicted."""

import numpy as np

from mera.system.errors import UserError


def best_threshold(scores: np.ndarray, targets: np.ndarray) -> float:
    """The one threshold with the highest micro F1 of `scores > threshold`; ties go to the higher threshold.

    scores (N, C) float, targets (N, C) bool. Fit it on validation, never on the split that is reported.
    Raises UserError where there is no target at all.
    """
    if not targets.any():
        raise UserError("cannot fit a threshold on rows without any target")
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked_scores = scores.ravel()[order].astype(np.float64)
    hits = np.cumsum(targets.ravel()[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + targets.sum())
    is_last_of_equals = np.append(ranked_scores[:-1] > ranked_scores[1:], True)
    best = int(np.argmax(np.where(is_last_of_equals, f1, -1.0)))
    if best + 1 == len(ranked_scores):
        return float(ranked_scores[-1] - 1.0)
    above, below = ranked_scores[best], ranked_scores[best + 1]
    middle = (above + below) / 2
    # Thresholds are stored as float32, where the middle of two neighbours can round up to the upper one.
    return float(middle if np.float32(middle) < above else below)
