"""Metrics of ranked and of predicted codes: arrays in, number out. NumPy and SciPy only.

Legend: N examples, C candidate codes, K codes at the top of each ranking, T targets = all (example, code) pairs that
are true, in the order of `np.nonzero(targets)`. `scores` (N, C) float, larger = more likely; `targets` and `predicted`
(N, C) bool.
Equal scores are ranked by column, lower column first. A mean over rows leaves out rows without a target, as nothing can
be right there. A metric that is undefined (no target at all, no negative) is NaN. All lie in [0, 1] except `spearman`.

A score of -inf says that the model could not name the code: it is no candidate. It is never retrieved and never
predicted, however few codes there are, and a target with it counts as missed: it adds nothing to a row's average
precision, gain or hits, and stands in their denominators (the rule of CodiEsp's official evaluation). As no target it
is not there: ROC-AUC ranks a target with -inf below every non-target that has a score, and no other pair is a
non-target. Otherwise codes that nobody could name would be easy non-targets, which raise the value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.stats

from mera.system.errors import UserError

NOT_RETRIEVED = np.iinfo(np.int32).max
"""The rank of a target whose score is -inf."""
BLOCK_ELEMENTS = 4_000_000
"""Scores sorted at once: bounds the memory of a ranking at about 100 MB, whatever N is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Where the targets stand in their rows' rankings; all the row metrics need, sorted once."""

    top: np.ndarray
    """(N, K) int32: columns, best first; those past `num_retrievable` are no candidates."""
    rows: np.ndarray
    """(T,) int64: the example of each target."""
    columns: np.ndarray
    """(T,) int64: the code of each target."""
    ranks: np.ndarray
    """(T,) int32: the target's place in its row, 0 = best; NOT_RETRIEVED where its score is -inf."""
    num_retrievable: np.ndarray
    """(N,) int: scores above -inf in each row."""

    @property
    def num_targets(self) -> np.ndarray:
        """(N,) int: targets of each row."""
        return np.bincount(self.rows, minlength=len(self.top))


def as_floats(scores: np.ndarray) -> np.ndarray:
    """Whole numbers as floats that hold them, others as they are: a ranking sorts by -score, and an unsigned number has
    none."""
    return scores.astype(np.result_type(scores.dtype, np.float32)) if scores.dtype.kind in "iu" else scores


def rank_candidates(scores: np.ndarray, k: int | None = None) -> np.ndarray:
    """(N, min(k, C)) int32 columns of the k highest scores of each row, best first; all C of them where k is None."""
    num_columns = scores.shape[1]
    top = np.empty((len(scores), num_columns if k is None else min(k, num_columns)), dtype=np.int32)
    for rows, order in _sorted_blocks(scores):
        top[rows] = order[:, : top.shape[1]]
    return top


def rank_targets(scores: np.ndarray, targets: np.ndarray, k: int = 100) -> Ranking:
    """Rank every row once. K of the result is k or, where that is more, the most targets that a row has; at most C."""
    _check_shapes(scores, targets)
    num_top = min(scores.shape[1], max(k, int(targets.sum(axis=1).max(initial=0))))
    top = np.empty((len(scores), num_top), dtype=np.int32)
    rows, columns = np.nonzero(targets)
    ranks = np.empty(len(rows), dtype=np.int32)
    num_retrievable = np.empty(len(scores), dtype=np.int64)
    for block, order in _sorted_blocks(scores):
        top[block] = order[:, :num_top]
        num_retrievable[block] = np.count_nonzero(scores[block] != -np.inf, axis=1)
        places = np.empty_like(order)
        np.put_along_axis(places, order, np.arange(order.shape[1])[None, :], axis=1)
        first, last = np.searchsorted(rows, [block.start, block.stop])
        ranks[first:last] = places[rows[first:last] - block.start, columns[first:last]]
    ranks[ranks >= num_retrievable[rows]] = NOT_RETRIEVED
    return Ranking(top=top, rows=rows, columns=columns, ranks=ranks, num_retrievable=num_retrievable)


def row_recall(ranking: Ranking, k: int, denominator: Literal["labels", "min"] = "labels") -> np.ndarray:
    """(N,) share of a row's targets among its first k codes; `min` divides by min(k, targets). NaN without targets."""
    if denominator not in ("labels", "min"):
        raise UserError(f"denominator must be 'labels' or 'min', got {denominator!r}")
    num_targets = ranking.num_targets
    possible = num_targets if denominator == "labels" else np.minimum(num_targets, k)
    return _ratio(_row_hits(ranking, k), possible)


def row_precision(ranking: Ranking, k: int) -> np.ndarray:
    """(N,) share of the first k codes that are targets; k counts even where there are fewer candidates."""
    return np.where(ranking.num_targets > 0, _row_hits(ranking, k) / k, np.nan)


def row_ndcg(ranking: Ranking, k: int) -> np.ndarray:
    """(N,) discounted gain 1 / log2(place + 1) of the targets among the first k, over the best possible one."""
    gain = np.where(ranking.ranks < k, 1 / np.log2(ranking.ranks + 2.0), 0.0)
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2.0))])
    gains = np.bincount(ranking.rows, weights=gain, minlength=len(ranking.top))
    return _ratio(gains, best[np.minimum(ranking.num_targets, k)])


def row_average_precision(ranking: Ranking) -> np.ndarray:
    """(N,) mean over a row's targets of the precision at the target's place, 0 for one that is not retrieved."""
    order = np.lexsort((ranking.ranks, ranking.rows))
    rows, ranks = ranking.rows[order], ranking.ranks[order]
    row_starts = np.concatenate([[0], np.cumsum(ranking.num_targets)])
    hits_so_far = np.arange(len(rows)) - row_starts[rows] + 1
    precision = np.where(ranks == NOT_RETRIEVED, 0.0, hits_so_far / (ranks + 1.0))
    total = np.bincount(rows, weights=precision, minlength=len(ranking.top))
    return _ratio(total, ranking.num_targets)


def telling_k(num_candidates: int) -> int:
    """The k of the recall@k that epochs and penalties are chosen by: 20, or of few candidates a quarter, since the
    recall of nearly all candidates is nearly 1 in any order."""
    return max(1, min(20, num_candidates // 4))


def recall_at_k(
    scores: np.ndarray, targets: np.ndarray, k: int, denominator: Literal["labels", "min"] = "labels"
) -> float:
    """Mean over rows of hits / |Y|, as Chet and MERA report it; `"min"` divides by min(k, |Y|), as Sherbet does."""
    return mean_over_rows(row_recall(rank_targets(scores, targets, k), k, denominator))


def precision_at_k(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Mean over rows of hits / k."""
    return mean_over_rows(row_precision(rank_targets(scores, targets, k), k))


def ndcg_at_k(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Mean over rows of the normalised discounted cumulative gain with gains 0 and 1 (Jarvelin and Kekalainen 2002)."""
    return mean_over_rows(row_ndcg(rank_targets(scores, targets, k), k))


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean over rows of the average precision over the whole ranking."""
    return mean_over_rows(row_average_precision(rank_targets(scores, targets)))


def mean_over_rows(values: np.ndarray) -> float:
    """Mean of `values` (N,) without the NaN of rows that have no target; NaN where none has."""
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if len(valid) else float("nan")


def predict_label_count(ranking: Ranking) -> np.ndarray:
    """(N, K) bool: which of `ranking.top` are predicted when each row predicts as many codes as it truly has; fewer
    where it has fewer candidates.
    """
    num_predicted = np.minimum(ranking.num_targets, ranking.num_retrievable)
    predicted: np.ndarray = np.arange(ranking.top.shape[1])[None, :] < num_predicted[:, None]
    return predicted


def weighted_f1_at_label_count(scores: np.ndarray, targets: np.ndarray) -> float:
    """F1 per code, weighted by support, when each row predicts as many codes as it truly has (Chet, Lu et al. 2022).

    The number of codes comes from the truth (an oracle count), so the value says nothing about choosing a set size.
    """
    ranking = rank_targets(scores, targets)
    predicted = np.zeros_like(targets, dtype=bool)
    np.put_along_axis(predicted, ranking.top, predict_label_count(ranking), axis=1)
    return f1(predicted, targets, "weighted")


def f1(predicted: np.ndarray, targets: np.ndarray, average: Literal["micro", "macro", "weighted", "samples"]) -> float:
    """F1 of predicted sets.

    `micro`: all (example, code) pairs together. `macro`: mean over the codes that have a target (codes without one
    are left out: counting them as 0 halves the value, Edin et al. 2023). `weighted`: mean over codes, weighted by
    their targets. `samples`: mean over rows with targets of the F1 of the two sets.
    """
    _check_shapes(predicted, targets)
    predicted, targets = np.asarray(predicted, dtype=bool), np.asarray(targets, dtype=bool)
    if average == "micro":
        return float(f1_from_counts((predicted & targets).sum(), predicted.sum(), targets.sum()))
    if average not in ("macro", "weighted", "samples"):
        raise UserError(f"average must be 'micro', 'macro', 'weighted' or 'samples', got {average!r}")
    axis = 1 if average == "samples" else 0
    support = targets.sum(axis=axis)
    values = f1_from_counts((predicted & targets).sum(axis=axis), predicted.sum(axis=axis), support)
    counted = support > 0
    if not counted.any():
        return float("nan")
    return float(np.average(values[counted], weights=support[counted] if average == "weighted" else None))


def f1_by_code(predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(C,) F1 of each code over the rows; NaN for a code without a target. `macro` F1 is their mean."""
    _check_shapes(predicted, targets)
    support = targets.sum(axis=0)
    values = f1_from_counts((predicted & targets).sum(axis=0), predicted.sum(axis=0), support)
    return np.where(support > 0, values, np.nan)


def f1_from_counts(hits: np.ndarray, num_predicted: np.ndarray, num_targets: np.ndarray) -> np.ndarray:
    """2 hits / (predicted + targets), elementwise; NaN where there is neither a prediction nor a target."""
    return _ratio(2.0 * np.asarray(hits), np.asarray(num_predicted) + np.asarray(num_targets))


def roc_auc(scores: np.ndarray, targets: np.ndarray, average: Literal["micro", "macro"]) -> float:
    """Chance that a target scores above a non-target, ties counting half (Mann-Whitney).

    `micro`: over all (example, code) pairs. `macro`: per code over examples, then the mean over codes with both. Only
    pairs with a score are non-targets, so `macro` leaves out a code that is never a candidate; in `micro` its targets
    lose against every non-target.
    """
    _check_shapes(scores, targets)
    targets = np.asarray(targets, dtype=bool)
    if average == "micro":
        return _auc_of_all_pairs(scores, targets)
    if average != "macro":
        raise UserError(f"average must be 'micro' or 'macro', got {average!r}")
    return mean_over_rows(roc_auc_by_code(scores, targets))


def roc_auc_by_code(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(C,) ROC-AUC of each code over the rows; NaN for a code without a target or without a non-target that has a
    score."""
    _check_shapes(scores, targets)
    targets = np.asarray(targets, dtype=bool)
    support = targets.sum(axis=0)
    areas = np.full(scores.shape[1], np.nan)
    for column in np.flatnonzero((support > 0) & (support < len(targets))):
        areas[column] = _auc(scores[:, column], targets[:, column])
    return areas


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation in [-1, 1] of two (N,) arrays, e.g. predicted and true set sizes; NaN where one is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(scipy.stats.spearmanr(first, second).statistic)


def _auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """AUC from the places of the positives among the sorted scores; sorts values, never indices, which is cheap."""
    chosen = scores[positive]
    ordered = _sorted_scores(scores, positive)
    return _auc_of_places(*_places(ordered, chosen), len(chosen), len(ordered))


def _auc_of_all_pairs(scores: np.ndarray, positive: np.ndarray) -> float:
    """The same over all pairs of (N, C), the scores sorted a block of rows at a time: the places are whole numbers, so
    their sums over blocks are exact."""
    chosen = np.sort(scores[positive])
    below = not_above = num_ordered = 0
    for block in _row_blocks(scores):
        ordered = _sorted_scores(scores[block].ravel(), positive[block].ravel())
        places = _places(ordered, chosen)
        below, not_above, num_ordered = below + places[0], not_above + places[1], num_ordered + len(ordered)
    return _auc_of_places(below, not_above, len(chosen), num_ordered)


def _sorted_scores(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Without those that are no candidates' and no targets'."""
    neither = np.isneginf(scores) & ~positive
    return np.sort(scores[~neither] if neither.any() else scores)


def _places(ordered: np.ndarray, chosen: np.ndarray) -> tuple[int, int]:
    """Over all chosen scores, how many of the ordered ones are below, and how many are not above."""
    below = np.searchsorted(ordered, chosen, side="left").sum(dtype=np.int64)
    return int(below), int(np.searchsorted(ordered, chosen, side="right").sum(dtype=np.int64))


def _auc_of_places(below: int, not_above: int, num_positive: int, num_ordered: int) -> float:
    num_negative = num_ordered - num_positive
    if not num_positive or not num_negative:
        return float("nan")
    # The mid-rank of a value v (from 1) is (#{< v} + #{<= v} + 1) / 2.
    rank_sum = (below + not_above + num_positive) / 2
    return float((rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def _sorted_blocks(scores: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for block in _row_blocks(scores):
        yield block, np.argsort(-as_floats(scores[block]), axis=1, kind="stable")


def _row_blocks(scores: np.ndarray) -> Iterator[slice]:
    rows_at_once = max(1, BLOCK_ELEMENTS // max(1, scores.shape[1]))
    for start in range(0, len(scores), rows_at_once):
        yield slice(start, min(start + rows_at_once, len(scores)))


def _row_hits(ranking: Ranking, k: int) -> np.ndarray:
    return np.bincount(ranking.rows[ranking.ranks < k], minlength=len(ranking.top))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(denominator) > 0, numerator / np.asarray(denominator, dtype=np.float64), np.nan)


def _check_shapes(first: np.ndarray, second: np.ndarray) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise UserError(f"expected two (examples, codes) matrices of one shape, got {first.shape} and {second.shape}")
