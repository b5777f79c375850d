"""How far wrong predictions are from the truth, in levels of the ontology.

Each row predicts as many codes as it truly has. A predicted code is right at a level where a true code of its row lies
in the same group; the deepest such level is that of their lowest common ancestor. So the accuracies of two neighbouring
levels differ by the predictions that go wrong between them.

And how a run does when codes are counted by their group, at the category, the block, the chapter. A group's score is
the best of its codes' scores; it is true where one of its codes is, predicted where one of them is. The full ranking is
used, so these need no oracle count. A code without a group at a level is a group of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from mera.evaluation import bootstrap, metrics
from mera.report.measures.decisions import at_label_count
from mera.report.measures.estimates import Estimate, estimate
from mera.runs.predictions import Predictions

ROOT = "all"
"""The level at which all codes are together, whether the table of codes has it or not."""
LEVELS = (ROOT, "chapter", "block", "category", "subcategory")
"""Columns of the code table that are levels, coarsest first; `data.editions.edition` has the same, since `mera` imports
nothing of `data`."""
BLOCK_ELEMENTS = 1_000_000
"""Scores put in order of their groups at once."""
LEVEL_NAMES = {
    ROOT: "any code",
    "chapter": "chapter",
    "block": "block",
    "category": "category (3 characters)",
    "subcategory": "subcategory (4)",
    "code": "the code itself",
}
LEVEL_METRICS = {"map": "MAP", "recall@20": "recall@20", "micro_f1": "micro F1"}
CoarseLevels = Mapping[str, Mapping[str, Estimate]]
"""Level -> key of LEVEL_METRICS -> value and interval, coarsest level first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hierarchy:
    levels: tuple[str, ...]
    """ROOT first, `code` last."""
    predicted: int
    """Predicted codes, over all rows."""
    wrong_predictions: int
    accuracy: Mapping[str, Estimate]
    """By level: share of the predicted codes that are right there."""
    wrong: Mapping[str, Estimate]
    """By level but `code`: share of the wrong predictions whose lowest common ancestor with a true code is there."""


def hierarchy(ranking: metrics.Ranking, codes: pl.DataFrame, weights: np.ndarray) -> Hierarchy | None:
    """At label count. weights (B, N). None where the table of codes has no two levels, or there is no true code."""
    levels = [level for level in LEVELS if level in codes.columns]
    if len(levels) < 2 or not len(ranking.rows):
        return None
    rows, columns = at_label_count(ranking)
    groups = [label_ids(codes[level]) for level in levels]
    if ROOT not in levels:
        levels, groups = [ROOT, *levels], [np.zeros(codes.height, dtype=np.int64), *groups]
    right = np.stack([_in_a_true_group(group, ranking, rows, columns) for group in groups])
    exact = _in_a_true_group(np.arange(codes.height), ranking, rows, columns)
    # A level without a group for a code (null) is no step on the way down: what is right below is right above.
    right = np.logical_or.accumulate(np.vstack([right, exact[None, :]])[::-1], axis=0)[::-1]
    levels.append("code")

    def shares(chosen: list[np.ndarray], among: np.ndarray) -> list[Estimate]:
        def per_row(mask: np.ndarray) -> np.ndarray:
            return np.bincount(rows[mask], minlength=len(ranking.top))

        numerators = np.column_stack([per_row(mask & among) for mask in chosen])
        denominators = np.repeat(per_row(among)[:, None], len(chosen), axis=1)
        return [estimate(share) for share in bootstrap.ratio_of_sums(weights, numerators, denominators).T]

    deepest = right.sum(axis=0) - 1
    accuracies = shares(list(right), np.ones(len(rows), dtype=bool))
    wrong = shares([deepest == place for place in range(len(levels) - 1)], ~exact)
    return Hierarchy(
        levels=tuple(levels),
        predicted=len(rows),
        wrong_predictions=int((~exact).sum()),
        accuracy=dict(zip(levels, accuracies, strict=True)),
        wrong=dict(zip(levels[:-1], wrong, strict=True)),
    )


def label_ids(groups: pl.Series) -> np.ndarray:
    """(C,) int: equal numbers for equal groups; a code without a group is alone."""
    names = groups.cast(pl.String)
    numbers = np.unique(names.fill_null("").to_numpy(), return_inverse=True)[1]
    alone = names.is_null().to_numpy()
    return np.where(alone, len(groups) + np.arange(len(groups)), numbers)


def _in_a_true_group(
    group_of_code: np.ndarray, ranking: metrics.Ranking, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """(P,) bool: whether a true code of the row has the same group as the predicted one."""
    stride = int(group_of_code.max()) + 1
    true_groups = ranking.rows * stride + group_of_code[ranking.columns]
    return np.isin(rows * stride + group_of_code[columns], true_groups)


def coarse_levels(
    run: Predictions,
    targets: np.ndarray,
    codes: pl.DataFrame,
    weights: np.ndarray,
    predicted: np.ndarray | None,
) -> CoarseLevels:
    """The metrics at each level; `micro_f1` only where the run has thresholds and so predicts sets.

    targets, predicted (N, C) bool, weights (B, N). Levels that put all codes together or each code apart are left out.
    """
    levels: dict[str, dict[str, Estimate]] = {}
    for level in (level for level in LEVELS if level in codes.columns):
        groups = np.unique(label_ids(codes[level]), return_inverse=True)[1]
        if not 1 < groups.max() + 1 < codes.height:
            continue
        group_targets = by_group(targets, groups, np.logical_or)
        ranking = metrics.rank_targets(by_group(run.scores, groups, np.maximum), group_targets)
        rows = [metrics.row_average_precision(ranking), metrics.row_recall(ranking, 20)]
        averages = bootstrap.row_mean(weights, np.column_stack(rows))
        levels[level] = {"map": estimate(averages[:, 0]), "recall@20": estimate(averages[:, 1])}
        if predicted is not None:
            group_predicted = by_group(predicted, groups, np.logical_or)
            levels[level]["micro_f1"] = estimate(bootstrap.micro_f1(weights, group_predicted, group_targets))
    return levels


def by_group(values: np.ndarray, group_of_code: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """(N, C) -> (N, G): `combine` over the codes of each group 0 ... G - 1; group_of_code (C,)."""
    order = np.argsort(group_of_code, kind="stable")
    starts = np.flatnonzero(np.diff(group_of_code[order], prepend=-1))
    grouped = np.empty((len(values), len(starts)), dtype=values.dtype)
    rows_at_once = max(1, BLOCK_ELEMENTS // values.shape[1])
    for start in range(0, len(values), rows_at_once):
        block = slice(start, start + rows_at_once)
        grouped[block] = combine.reduceat(values[block][:, order], starts, axis=1)
    return grouped
