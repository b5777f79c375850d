"""How a run does when codes are counted by their group: at the category, the block, the chapter.

A group's score is the best of its codes' scores; it is true where one of its codes is, predicted where one of them is.
The full ranking is used, so unlike the accuracies of `hierarchy` these need no oracle count. A code without a group at
a level is a group of its own.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from mera.evaluation import bootstrap, metrics
from mera.report.measures.estimates import Estimate, estimate
from mera.report.measures.hierarchy import LEVELS, group_numbers
from mera.runs.predictions import Predictions

LEVEL_METRICS = {"map": "MAP", "recall@20": "recall@20", "micro_f1": "micro F1"}


CoarseLevels = Mapping[str, Mapping[str, Estimate]]
"""Level -> key of LEVEL_METRICS -> value and interval, coarsest level first."""


def coarse_levels(run: Predictions, targets: np.ndarray, codes: pl.DataFrame, weights: np.ndarray) -> CoarseLevels:
    """The metrics at each level; `micro_f1` only where the run has thresholds.

    targets (N, C) bool, weights (B, N). Levels that put all codes together or each code apart are left out.
    """
    levels: dict[str, dict[str, Estimate]] = {}
    has_thresholds = bool(np.isfinite(run.thresholds).all())
    for level in (level for level in LEVELS if level in codes.columns):
        groups = np.unique(group_numbers(codes[level]), return_inverse=True)[1]
        if not 1 < groups.max() + 1 < codes.height:
            continue
        group_targets = by_group(targets, groups, np.logical_or)
        ranking = metrics.rank_targets(by_group(run.scores, groups, np.maximum), group_targets)
        rows = [metrics.row_average_precision(ranking), metrics.row_recall(ranking, 20)]
        averages = bootstrap.row_mean(weights, np.column_stack(rows))
        levels[level] = {"map": estimate(averages[:, 0]), "recall@20": estimate(averages[:, 1])}
        if has_thresholds:
            predicted = by_group(run.predicted, groups, np.logical_or)
            levels[level]["micro_f1"] = estimate(bootstrap.micro_f1(weights, predicted, group_targets))
    return levels


def by_group(values: np.ndarray, group_of_code: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """(N, C) -> (N, G): `combine` over the codes of each group 0 ... G - 1; group_of_code (C,)."""
    order = np.argsort(group_of_code, kind="stable")
    starts = np.flatnonzero(np.diff(group_of_code[order], prepend=-1))
    return combine.reduceat(values[:, order], starts, axis=1)
