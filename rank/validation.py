"""Validation: the split on which epochs, offsets and calibration are chosen."""

import numpy as np
from transformers import PreTrainedModel

from data.task import Task
from rank.candidate_head import score_prompts
from rank.decision import ranking_quality
from rank.prompt import PromptBuilder, reading_sentences
from rank.wide.features import WideTables
from rank.wide.recurrence import add_recurrence, recurrence_weights, seen_codes
from rank.wide.wide_part import WideScorer, trained_weights


class Validation:
    """The validation rows, tokenized once; `measure` ranks them with a model, `sentences` say what of them the prompts
    do not hold."""

    def __init__(self, task: Task, builder: PromptBuilder, batch_size: int, wide: WideTables | None = None):
        """`wide`: of the model's full wide part, where it has one."""
        rows, column = list(task.splits["validation"]), task.column
        prompts = [builder.build(row) for row in rows]
        self.prompts = [prompt.ids for prompt in prompts]
        self.sentences = reading_sentences(prompts, "validation", builder.config.past_note_tokens)
        self.seen = [seen_codes(row["history"], column) for row in rows]
        self.wide = wide
        self.wide_patients = [] if wide is None else [wide.patient(row, column) for row in rows]
        self.targets = task.targets("validation")
        self.batch_size = batch_size
        self.pad_id = builder.tokenizer.pad_token_id

    def scores(self, model: PreTrainedModel) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C), EOV (N,)."""
        scores, eov = score_prompts(model, self.prompts, self.pad_id, self.batch_size, "validation")
        if self.wide is not None:
            scorer = WideScorer(tables=self.wide, weights=trained_weights(model))
            scores, eov = scorer.add(scores, eov, self.wide_patients)
        return add_recurrence(scores, self.seen, recurrence_weights(model, scores.shape[1])), eov

    def measure(self, model: PreTrainedModel) -> dict[str, float]:
        scores, _ = self.scores(model)
        return ranking_quality(scores, self.targets)
