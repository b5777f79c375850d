"""How often a code was given in training, as an addition to a model's scores. N examples, C codes."""

from collections.abc import Callable, Iterable

import numpy as np


def quality_by_weight(
    scores: np.ndarray,
    targets: np.ndarray,
    popularity: np.ndarray,
    weights: Iterable[float],
    metric: Callable[[np.ndarray, np.ndarray], float],
) -> dict[float, float]:
    """Weight w, ascending -> `metric` (higher is better) of scores + w * popularity.

    scores (N, C), targets (N, C) bool, popularity (C,).
    """
    return {weight: metric(scores + weight * popularity, targets) for weight in sorted(set(weights))}


def best_weight(quality: dict[float, float]) -> float:
    """The weight with the best quality; the smallest of equals."""
    return max(sorted(quality), key=lambda weight: quality[weight])
