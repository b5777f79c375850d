"""How a run does on each code at its own threshold: how often it predicts it, how often rightly, and what it predicts
instead.

Legend: N examples, C codes, M true codes that were missed.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mera import metrics
from mera.report.measures.hierarchy import LEVELS, ROOT, label_ids

WRONG_PER_EXAMPLE = 100
"""Wrong predictions of an example that can stand for a missed code: its highest-scored ones."""
MISSED_AT_ONCE = 50_000
NO_CODE = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeCounts:
    """One run's counts; each (C,) int, in the order of the columns."""

    predicted: np.ndarray
    """Examples for which the code is predicted."""
    hits: np.ndarray
    """Of these, those where it is true."""
    confused: np.ndarray
    """The column of the code that was predicted most often in its place; NO_CODE where there is none."""
    confusions: np.ndarray
    """How often that one was."""


def code_counts(
    ranking: metrics.Ranking, predicted: np.ndarray | None, targets: np.ndarray, codes: pl.DataFrame
) -> CodeCounts | None:
    """predicted, targets (N, C) bool. None where the run sets no threshold.

    In place of a code that is true and not predicted stands the wrong prediction of the same example that is nearest to
    it in the ontology; of equally near ones the higher-scored. Of its wrong predictions the WRONG_PER_EXAMPLE with the
    highest scores are looked at. One that shares not even the coarsest level below the root with the missed code stands
    for nothing. Where the table of codes has no such level, all are equally near.
    """
    if predicted is None:
        return None
    # Where an example has many predictions, the ranking holds the first 100 or more of them.
    rows, columns = ranking.rows, ranking.columns
    is_missed = ~predicted[rows, columns]
    missed_rows, missed = rows[is_missed], columns[is_missed]
    levels = [level for level in LEVELS if level in codes.columns and level != ROOT and codes[level].count()]
    groups = np.stack([label_ids(codes[level]) for level in levels]) if levels else None
    wrong = _wrong_predictions(ranking, predicted, targets)
    instead = [
        _nearest(missed[start : start + MISSED_AT_ONCE], wrong[missed_rows[start : start + MISSED_AT_ONCE]], groups)
        for start in range(0, len(missed), MISSED_AT_ONCE)
    ]
    confused, confusions = _most_frequent(missed, np.concatenate([np.empty(0, np.int64), *instead]), codes.height)
    return CodeCounts(
        predicted=predicted.sum(axis=0),
        hits=np.bincount(columns[~is_missed], minlength=codes.height),
        confused=confused,
        confusions=confusions,
    )


def _wrong_predictions(ranking: metrics.Ranking, predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N, at most WRONG_PER_EXAMPLE, and no more than a row has) columns, highest-scored first, NO_CODE behind the
    last."""
    is_wrong = np.take_along_axis(predicted, ranking.top, axis=1) & ~np.take_along_axis(targets, ranking.top, axis=1)
    most = max(1, min(WRONG_PER_EXAMPLE, int(is_wrong.sum(axis=1).max(initial=0))))
    first = np.argsort(~is_wrong, axis=1, kind="stable")[:, :most]
    columns = np.take_along_axis(ranking.top, first, axis=1)
    return np.where(np.take_along_axis(is_wrong, first, axis=1), columns, NO_CODE)


def _nearest(missed: np.ndarray, wrong: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """(M,) of each missed column, the nearest of its row of `wrong` (M, W), NO_CODE where none is near.

    groups (levels, C): the group of each code; None: all codes are near.
    """
    depth = (wrong != NO_CODE).astype(np.int64)
    if groups is not None:
        depth *= sum((level[missed][:, None] == level[wrong]).astype(np.int64) for level in groups)
    nearest = depth.argmax(axis=1)
    places = np.arange(len(missed))
    return np.where(depth[places, nearest] > 0, wrong[places, nearest], NO_CODE)


def _most_frequent(missed: np.ndarray, instead: np.ndarray, num_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """(C,) the column that stands most often in the place of each, and how often; equal counts: the lower column."""
    known = instead != NO_CODE
    pairs, counts = np.unique(missed[known] * num_codes + instead[known], return_counts=True)
    of, by = np.divmod(pairs, num_codes)
    order = np.lexsort((by, -counts, of))
    first = order[np.flatnonzero(np.diff(of[order], prepend=-1))]
    confused, confusions = np.full(num_codes, NO_CODE), np.zeros(num_codes, dtype=np.int64)
    confused[of[first]], confusions[of[first]] = by[first], counts[first]
    return confused, confusions
