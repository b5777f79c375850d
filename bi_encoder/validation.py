"""Validation: the split on which the epoch, the popularity prior and the threshold are chosen."""

import numpy as np
from transformers import PreTrainedTokenizerBase

from bi_encoder.config import BiEncoderConfig
from bi_encoder.model import BiEncoder
from bi_encoder.predict import score_windows, split_windows
from data.task import Task
from mera.evaluation.metrics import mean_average_precision, recall_at_k

METRICS = {
    "recall_at_20": lambda scores, targets: recall_at_k(scores, targets, 20),
    "mean_average_precision": mean_average_precision,
}
"""What may choose the epoch and the prior (`selection.keep_best_by`); of scores (N, C) and targets (N, C) bool."""


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
        return ranking_metrics(self.scores(model, [model.hidden_size])[model.hidden_size], self.targets)


def ranking_metrics(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Each of METRICS. scores (N, C), targets (N, C) bool."""
    return {name: metric(scores, targets) for name, metric in METRICS.items()}
