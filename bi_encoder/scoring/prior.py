"""How often a code was given in training, as an addition to a model's scores. N examples, C codes.

A score is the logarithm of a probability p(code | text), but for a number that is the same for all codes of a text. So
`w * log(1 + count)` with w above 0 adds what a loss with sampled negatives leaves out, and with w below 0 it divides by
p(code) to the power of -w (LL-Rank, arXiv 2511.05485): evidence in the text counts, and popularity is taken out.
Between the two a weight cannot tell a code that is rare from one that training never showed, to which the model's own
scores are unfair. `by_frequency` gives each group of frequencies an offset of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bi_encoder.config import PriorForm
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, group_numbers

OFFSETS = tuple(float(offset) for offset in np.arange(-2.0, 4.5, 0.5))
"""Tried for each group of `by_frequency`, in units of the scores."""
NEGLIGIBLE = 0.001
"""An offset further from 0 has to bring this much of the measure: offsets for noise would not hold on other texts."""
ROUNDS = 3
"""Passes over the groups and the weight of `by_frequency`; each is chosen with the others as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prior:
    weight: float = 0.0
    """Of log(1 + train count)."""
    offsets: Mapping[str, float] = field(default_factory=dict)
    """Group of `mera.evaluation.frequency_groups` -> what is added beside that; a group that is not there has 0."""

    def of_codes(self, train_counts: np.ndarray) -> np.ndarray:
        """(C,) float32: what is added to the scores of each code. train_counts (C,) int."""
        by_group = np.array([self.offsets.get(label, 0.0) for _, label in FREQUENCY_GROUPS])
        added: np.ndarray = (
            self.weight * np.log1p(train_counts) + by_group[group_numbers(train_counts, FREQUENCY_GROUPS)]
        )
        return added.astype(np.float32)


def fit_prior(
    scores: np.ndarray,
    targets: np.ndarray,
    train_counts: np.ndarray,
    form: PriorForm,
    weights: Iterable[float],
    metric: Callable[[np.ndarray, np.ndarray], float],
) -> Prior:
    """The prior with the highest `metric` of the validation scores (N, C) and targets (N, C) bool.

    `log_count`: one of `weights`. `by_frequency`: beside it an offset for each group of frequencies but one, by
    coordinate ascent: the group with the most true pairs stays at 0, since what is added to all codes changes no
    ranking, and a group without a true pair stays at 0 because nothing can be learnt of it.
    """
    popularity = np.log1p(train_counts)
    weight = best_weight(quality_by_weight(scores, targets, popularity, weights, metric))
    if form == "log_count":
        return Prior(weight=weight)
    weights = list(weights)
    groups = group_numbers(train_counts, FREQUENCY_GROUPS)
    pairs = np.bincount(groups, weights=targets.sum(axis=0), minlength=len(FREQUENCY_GROUPS))
    free = [group for group in np.flatnonzero(pairs > 0) if group != pairs.argmax()]
    offsets = np.zeros(len(FREQUENCY_GROUPS))

    def quality(of_groups: np.ndarray) -> float:
        return metric(scores + weight * popularity + of_groups[groups], targets)

    for _ in range(ROUNDS):
        before = (weight, *offsets)
        for group in free:
            tried = {}
            for offset in OFFSETS:
                offsets[group] = offset
                tried[offset] = quality(offsets)
            offsets[group] = _nearest_to_zero(tried)
        weight = best_weight(quality_by_weight(scores + offsets[groups], targets, popularity, weights, metric))
        if (weight, *offsets) == before:
            break
    labels = [label for _, label in FREQUENCY_GROUPS]
    return Prior(weight=weight, offsets={labels[group]: float(offsets[group]) for group in free})


def _nearest_to_zero(quality: Mapping[float, float]) -> float:
    """The offset with the best quality, or the one nearest to 0 that is worse by no more than is negligible."""
    best = max(quality.values())
    return min((offset for offset in quality if quality[offset] >= best - NEGLIGIBLE), key=lambda o: (abs(o), o))


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
