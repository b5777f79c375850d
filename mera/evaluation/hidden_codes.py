"""Where true codes stand that no example before the test held (`mera prepare --hide-codes`): arrays in, numbers out.

Legend: N examples, C candidate codes, T hidden true codes, B replicates, as in `mera.evaluation.bootstrap`.
"""

from dataclasses import dataclass

import numpy as np

from mera.evaluation import bootstrap

DEPTHS = (20, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenTargets:
    """The hidden codes among the true codes of a split, with their places in each ranking."""

    rows: np.ndarray
    """(T,) int: the example of each."""
    columns: np.ndarray
    """(T,) int: the code of each."""
    ranks: np.ndarray
    """(T,) float: place among all candidates, 1 = best; ties are ranked by column, lower first; inf where the score is
    -inf, which finds nothing."""
    ranks_among_hidden: np.ndarray
    """(T,) float: place among the hidden candidates alone: which of the unknown codes, however low they all stand."""
    is_new: np.ndarray
    """(T,) bool: the example's history does not hold the code."""


def hidden_targets(scores: np.ndarray, targets: np.ndarray, seen: np.ndarray, hidden: np.ndarray) -> HiddenTargets:
    """scores (N, C) float, targets and seen (N, C) bool, hidden (C,) bool."""
    rows, columns = np.nonzero(targets & hidden)
    chosen = scores[rows, columns][:, None]
    before = np.arange(scores.shape[1])[None, :] < columns[:, None]
    above = (scores[rows] > chosen) | ((scores[rows] == chosen) & before)
    found = np.where(np.isneginf(chosen[:, 0]), np.inf, 1.0)
    return HiddenTargets(
        rows=rows,
        columns=columns,
        ranks=found + above.sum(axis=1),
        ranks_among_hidden=found + (above & hidden).sum(axis=1),
        is_new=~seen[rows, columns],
    )


def hidden_replicates(places: HiddenTargets, num_examples: int, weights: np.ndarray) -> dict[str, np.ndarray]:
    """(B,) by key, for all hidden true codes and, with `new_` before it, for those that the history does not hold:
    `recall@20`, `recall@100` (share among the first so many of all candidates), `mrr` (mean of 1 / place among all
    candidates), `mrr_among_hidden` (among the hidden ones). Means over true codes, not over rows: most rows have none.

    weights (B, N). NaN where there is no such code.
    """
    replicates: dict[str, np.ndarray] = {}
    for prefix, chosen in (("", np.ones(len(places.rows), dtype=bool)), ("new_", places.is_new)):
        values: dict[str, np.ndarray] = {f"recall@{depth}": places.ranks <= depth for depth in DEPTHS}
        values |= {"mrr": 1 / places.ranks, "mrr_among_hidden": 1 / places.ranks_among_hidden}
        rows = places.rows[chosen]
        totals = np.bincount(rows, minlength=num_examples)
        sums = [np.bincount(rows, weights=value[chosen], minlength=num_examples) for value in values.values()]
        ratios = bootstrap.ratio_of_sums(weights, np.stack(sums, axis=1), np.stack([totals] * len(sums), axis=1))
        replicates |= {f"{prefix}{key}": ratio for key, ratio in zip(values, ratios.T, strict=True)}
    return replicates


def by_code_replicates(places: HiddenTargets, resamples: int, seed: int) -> np.ndarray:
    """(1 + resamples,): mean over the hidden codes of each code's own MRR among the hidden codes, over its occurrences
    that are new to the patient. Codes are drawn with replacement instead of patients: what is asked is what holds for
    codes that were never seen, and a frequent one should not answer for all. NaN where there is none."""
    chosen = places.is_new
    codes, number = np.unique(places.columns[chosen], return_inverse=True)
    if not len(codes):
        return np.full(1 + resamples, np.nan)
    values = np.bincount(number, weights=1 / places.ranks_among_hidden[chosen]) / np.bincount(number)
    return bootstrap.row_mean(bootstrap.patient_weights(codes.astype(str).tolist(), resamples, seed), values)


def chance_replicate(num_candidates: int, num_hidden: int) -> dict[str, float]:
    """What a random order of the candidates has, by the keys of `hidden_replicates` without a prefix."""

    def mean_reciprocal(number: int) -> float:
        return float(np.mean(1 / np.arange(1, number + 1)))

    recalls = {f"recall@{depth}": min(1.0, depth / num_candidates) for depth in DEPTHS}
    return {**recalls, "mrr": mean_reciprocal(num_candidates), "mrr_among_hidden": mean_reciprocal(num_hidden)}
