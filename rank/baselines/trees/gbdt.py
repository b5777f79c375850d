"""Gradient-boosted trees (LightGBM, Ke et al., NIPS 2017) on pairs of a patient and a code: what a competitor in a
data contest builds first. Features (rank/baselines/trees/pair_features.py) come from training patients alone, those of
a training patient from the others (rank/baselines/trees/pair_table.py).

Limits: the statistics hold a few (L, C) float32 matrices, C candidates and L codes from which they are foretold, 5,000
at most (2,000 of each: 16 MB a matrix; 20,000 candidates: 400 MB), the table at most `max_pairs` pairs (4 million: 320
MB, and as much again while LightGBM trains), whatever the number of patients; scoring takes a million pairs at a time
beside the (N, C) scores themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import lightgbm
import numpy as np

from data.task import Task
from data.task_folder.features import PatientRow
from mera.runs.fitted_contents import Contents
from rank.baselines.config import TreeObjective, TreesConfig
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.history_matrices import HistoryMatrices, history_matrices, task_matrices
from rank.baselines.item_item import best_penalty, with_constant
from rank.baselines.simple import BaselineScores, choice_quality, scored_by
from rank.baselines.trees.code_statistics import CodeStatistics, code_statistics
from rank.baselines.trees.pair_table import PairTable, all_pairs, drawn_pairs, training_pairs

FEW_EXAMPLES = 2_000
"""Training examples below which the folds of the statistics are 10 instead of 5: they lack fewer patients."""
COMMON: dict[str, object] = {
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    # One pair in 300 is a target. A Newton step from there overshoots, and training never recovers: a learning rate of
    # 0.1 without this bound lost 2.5 points of recall@20 on Diabetes-130's validation patients.
    "max_delta_step": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
OF_OBJECTIVE: dict[TreeObjective, dict[str, object]] = {
    "binary": {"objective": "binary", "metric": "binary_logloss"},
    "lambdarank": {"objective": "lambdarank", "metric": "ndcg", "eval_at": [20], "lambdarank_truncation_level": 20},
}


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Log-odds of each pair of a patient and a code, or what lambdarank ranks by."""

    columns: HistoryColumns
    statistics: CodeStatistics
    trees: lightgbm.Booster
    kind = "gbdt"

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        return self.of(history_matrices(rows, self.columns))

    def of(self, matrices: HistoryMatrices) -> np.ndarray:
        """(N, C) float32."""
        pairs = all_pairs(matrices, self.statistics)
        parts = [self.trees.predict(block.features, raw_score=True) for block in pairs]
        return np.concatenate(parts).astype(np.float32).reshape(len(matrices), -1)

    def contents(self) -> Contents:
        arrays = {part.name: getattr(self.statistics, part.name) for part in fields(CodeStatistics)}
        return Contents(settings={}, arrays=arrays, lists={"trees": [self.trees.model_to_string()]})

    @classmethod
    def from_contents(cls, contents: Contents, columns: HistoryColumns) -> "Trees":
        statistics = CodeStatistics(**{part.name: contents.arrays[part.name] for part in fields(CodeStatistics)})
        trees = lightgbm.Booster(model_str=contents.lists["trees"][0])
        return cls(columns=columns, statistics=statistics, trees=trees)


def gbdt(task: Task, config: TreesConfig, seed: int) -> BaselineScores:
    """Scores of the objective that is best on validation (`choice_quality`): log-odds, or what lambdarank ranks by."""
    columns, targets = HistoryColumns.of_task(task), task.targets("validation")
    train = task_matrices(task, "train", columns, with_history=True)
    validation = task_matrices(task, "validation", columns)
    penalty = best_penalty(train, with_constant(validation.linked_seen), targets)
    drawn = training_pairs(
        train,
        penalty,
        config.likely,
        config.random,
        config.max_pairs,
        folds=10 if len(train) < FEW_EXAMPLES else 5,
        seed=seed,
        last_apart=config.last_apart,
    )
    statistics = code_statistics(train, penalty, config.last_apart)
    generator = np.random.default_rng(seed + 1)
    checked = drawn_pairs(validation, statistics, config.likely, config.random, generator)
    fitted: dict[TreeObjective, Trees] = {
        objective: Trees(columns=columns, statistics=statistics, trees=_train(drawn, checked, objective, config, seed))
        for objective in config.objectives
    }
    objective = max(fitted, key=lambda each: choice_quality(fitted[each].of(validation), targets))
    trees = fitted[objective].trees
    chosen = {
        "objective": objective,
        "trees": trees.best_iteration or trees.num_trees(),
        "item_penalty": penalty,
    }
    return scored_by(fitted[objective], task, chosen)


def _train(
    drawn: PairTable, checked: PairTable, objective: TreeObjective, config: TreesConfig, seed: int
) -> lightgbm.Booster:
    """`checked`: pairs of the validation split, which say when to stop."""
    parameters = COMMON | OF_OBJECTIVE[objective]
    parameters |= {"learning_rate": config.learning_rate, "num_leaves": config.leaves, "seed": seed}
    # A leaf of fewer pairs would know single patients; of a small cohort it may hold a larger share.
    parameters["min_data_in_leaf"] = int(np.clip(len(drawn.targets) // 2000, 10, 50))
    data = _dataset(drawn, objective)
    return lightgbm.train(
        parameters,
        data,
        config.rounds,
        valid_sets=[_dataset(checked, objective, data)],
        callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
    )


def _dataset(pairs: PairTable, objective: TreeObjective, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """lambdarank has no use for weights of pairs, so it gets those that would be there whatever their target."""
    if objective == "binary":
        return lightgbm.Dataset(pairs.features, pairs.targets, weight=pairs.weights, reference=reference)
    rows = np.repeat(np.arange(len(pairs.group_sizes)), pairs.group_sizes)[pairs.blind]
    groups = np.bincount(rows, minlength=len(pairs.group_sizes))
    return lightgbm.Dataset(pairs.features[pairs.blind], pairs.targets[pairs.blind], group=groups, reference=reference)
