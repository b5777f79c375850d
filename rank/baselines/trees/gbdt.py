"""Gradient-boosted trees (LightGBM, Ke et al., NIPS 2017) on pairs of a patient and a code: what a competitor in a
data contest builds first. Features (rank/baselines/trees/pair_features.py) come from training patients alone, those of
a training patient from the others (rank/baselines/trees/pair_table.py).

Limits: the statistics hold a few (F, C) float32 matrices, F codes that are read and C candidates (2,000 of each: 16 MB
a matrix), the table at most `max_pairs` pairs (4 million: 320 MB, and as much again while LightGBM trains), whatever
the number of patients; scoring takes a million pairs at a time beside the (N, C) scores themselves. A whole ontology
as candidates is refused.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np

from data.task import Task
from mera.system.errors import UserError
from rank.baselines.config import TreeObjective, TreesConfig
from rank.baselines.history_matrices import HistoryMatrices, history_matrices
from rank.baselines.item_item import best_penalty, with_constant
from rank.baselines.simple import EVALUATED, BaselineScores, choice_quality
from rank.baselines.trees.code_statistics import CodeStatistics, code_statistics
from rank.baselines.trees.pair_table import PairTable, all_pairs, drawn_pairs, training_pairs

MOST_CODES = 10_000
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    objective: TreeObjective
    trees: lightgbm.Booster
    validation: np.ndarray
    """(N, C) float32 scores"""
    quality: float
    """`choice_quality` on validation"""


def gbdt(task: Task, config: TreesConfig, seed: int) -> BaselineScores:
    """Scores of the objective that is best on validation (`choice_quality`): log-odds, or what lambdarank ranks by.

    Raises UserError where there are more than MOST_CODES codes to rank or to read.
    """
    train = history_matrices(task, "train", with_history=True)
    evaluated = {split: history_matrices(task, split) for split in EVALUATED}
    if max(train.visit_counts.shape[1], len(task.codes)) > MOST_CODES:
        raise UserError(
            f"gbdt compares every code with every code and takes at most {MOST_CODES:,} of them, this task has "
            f"{train.visit_counts.shape[1]:,}; leave it out (--only), or prepare with --candidates train"
        )
    penalty = best_penalty(train, with_constant(evaluated["validation"].seen), task.targets("validation"))
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
    checked = drawn_pairs(evaluated["validation"], statistics, config.likely, config.random, generator)
    candidates = []
    for objective in config.objectives:
        trees = _train(drawn, checked, objective, config, seed)
        validation = score(evaluated["validation"], statistics, trees)
        quality = choice_quality(validation, task.targets("validation"))
        candidates.append(Fitted(objective=objective, trees=trees, validation=validation, quality=quality))
    best = max(candidates, key=lambda fitted: fitted.quality)
    return BaselineScores(
        validation=best.validation,
        test=score(evaluated["test"], statistics, best.trees),
        chosen={
            "objective": best.objective,
            "trees": best.trees.best_iteration or best.trees.num_trees(),
            "item_penalty": penalty,
        },
    )


def score(examples: HistoryMatrices, statistics: CodeStatistics, trees: lightgbm.Booster) -> np.ndarray:
    """(N, C) float32."""
    parts = [trees.predict(pairs.features, raw_score=True) for pairs in all_pairs(examples, statistics)]
    return np.concatenate(parts).astype(np.float32).reshape(len(examples), -1)


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
