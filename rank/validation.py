"""Validation: the split on which epochs, offsets and calibration are chosen."""

import numpy as np
from transformers import PreTrainedModel

from data.task import Task
from rank.prompt import PromptBuilder, build_prompts
from rank.quality import ranking_quality
from rank.recurrence import add_recurrence, recurrence_weights, seen_codes
from rank.scoring import score_prompts


class Validation:
    """The validation rows, tokenized once; `measure` ranks them with a model."""

    def __init__(self, task: Task, builder: PromptBuilder, batch_size: int):
        rows = list(task.splits["validation"])
        self.prompts = [prompt.ids for prompt in build_prompts(builder, rows, "validation")]
        column = task.column
        self.seen = [seen_codes(row["history"], column) for row in rows]
        self.targets = task.targets("validation")
        self.batch_size = batch_size
        self.pad_id = builder.tokenizer.pad_token_id

    def scores(self, model: PreTrainedModel) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C), EOV (N,)."""
        scores, eov = score_prompts(model, self.prompts, self.pad_id, self.batch_size, "validation")
        return add_recurrence(scores, self.seen, recurrence_weights(model, scores.shape[1])), eov

    def measure(self, model: PreTrainedModel) -> dict[str, float]:
        scores, _ = self.scores(model)
        return ranking_quality(scores, self.targets)
