"""Validation: the split on which the epoch, the popularity prior and the threshold are chosen. N examples, C codes."""

from collections.abc import Callable

import numpy as np
from transformers import PreTrainedTokenizerBase

from bi_encoder.config import BiEncoderConfig, RankingMeasure
from bi_encoder.model import BiEncoder
from bi_encoder.predict import score_windows, split_windows
from data.task import Task
from mera.evaluation.metrics import Ranking, mean_over_rows, rank_targets, row_average_precision, row_recall

UNSEEN_RECALL = "recall_at_20_unseen"
UNSEEN_WEIGHT = 0.1
"""Of the recall of unseen codes beside the mean average precision: ten points of it are worth one. It decides where the
latter hardly does: of a few dozen examples a point is noise."""


class Validation:
    """The validation examples, tokenized once; `measure` ranks every candidate for them with a model."""

    def __init__(self, task: Task, tokenizer: PreTrainedTokenizerBase, config: BiEncoderConfig):
        self.task, self.config = task, config
        self.windows = split_windows(task, "validation", tokenizer, config.encoder)
        self.targets = task.targets("validation")
        """(N, C) bool."""

    def scores(self, model: BiEncoder, widths: list[int], progress: str | None = None) -> dict[int, np.ndarray]:
        """Width -> scores (N, C) float32, without the popularity prior. `progress` names a progress bar."""
        return score_windows(model, self.task, self.windows, widths, self.config, progress)

    def measure(self, model: BiEncoder) -> dict[str, float]:
        """`ranking_metrics` at full width."""
        scores = self.scores(model, [model.hidden_size])[model.hidden_size]
        return ranking_metrics(scores, self.targets, self.task.train_counts)


def ranking_metrics(scores: np.ndarray, targets: np.ndarray, train_counts: np.ndarray) -> dict[str, float]:
    """What may choose the epoch and the prior (`RankingMeasure`), and, where a code that training never showed is true
    for a row, `recall_at_20_unseen`: the share of such pairs among the first 20 codes of their row.

    scores (N, C), targets (N, C) bool, train_counts (C,). `map_and_unseen_recall` is the mean
    average precision and UNSEEN_WEIGHT times that, or the former alone where there is no such pair.
    """
    ranking = rank_targets(scores, targets, 20)
    average_precision = mean_over_rows(row_average_precision(ranking))
    metrics = {"recall_at_20": mean_over_rows(row_recall(ranking, 20)), "mean_average_precision": average_precision}
    unseen = unseen_recall(ranking, train_counts)
    if unseen is None:
        return metrics | {"map_and_unseen_recall": average_precision}
    return metrics | {UNSEEN_RECALL: unseen, "map_and_unseen_recall": average_precision + UNSEEN_WEIGHT * unseen}


def unseen_recall(ranking: Ranking, train_counts: np.ndarray, k: int = 20) -> float | None:
    """The share of the true pairs with a code of no training example that are among the row's first `k`; None where
    there is none."""
    is_unseen = train_counts[ranking.columns] == 0
    return float((ranking.ranks[is_unseen] < k).mean()) if is_unseen.any() else None


def ranking_measure(name: RankingMeasure, train_counts: np.ndarray) -> Callable[[np.ndarray, np.ndarray], float]:
    """One of `ranking_metrics`, as a function of scores (N, C) and targets (N, C) bool."""
    return lambda scores, targets: ranking_metrics(scores, targets, train_counts)[name]
