"""Validation: the split on which epochs, offsets and calibration are chosen."""

from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from data.task import Task
from rank.candidate_head import score_prompts
from rank.decision import ranking_quality
from rank.prompt import PromptBuilder, plain_code_sentences, reading_sentences
from rank.wide.recurrence import add_recurrence, recurrence_weights, seen_codes
from rank.wide.wide_part import WideLoss, WideScorer, interpolated, start_weights, trained_weights

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of what was trained is tried, against the wide part alone."""


class Validation:
    """The validation rows, tokenized once; `measure` ranks them with a model, `sentences` say what of them the prompts
    do not hold."""

    def __init__(self, task: Task, builder: PromptBuilder, batch_size: int, wide: WideScorer | None = None):
        """`wide`: the model's full wide part before training, where it has one."""
        rows, column = list(task.splits["validation"]), task.column
        prompts = [builder.build(row) for row in rows]
        self.prompts = [prompt.ids for prompt in prompts]
        self.sentences = [
            *reading_sentences(prompts, "validation", builder.config.past_note_tokens),
            *plain_code_sentences(prompts, "validation"),
        ]
        self.seen = [seen_codes(row["history"], column) for row in rows]
        self.wide = wide
        self.wide_patients = [] if wide is None else [wide.tables.patient(row, column) for row in rows]
        self.targets = task.targets("validation")
        self.batch_size = batch_size
        self.pad_id = builder.tokenizer.pad_token_id

    def scores(self, model: PreTrainedModel, wide: WideScorer | None = None) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C), EOV (N,); `wide`: in the place of the model's own full wide part."""
        scores, eov = score_prompts(model, self.prompts, self.pad_id, self.batch_size, "validation")
        if self.wide is not None:
            own = wide or replace(self.wide, weights=trained_weights(model))
            scores, eov = own.add(scores, eov, self.wide_patients)
        return add_recurrence(scores, self.seen, recurrence_weights(model, scores.shape[1])), eov

    def best_wide_part(self, model: PreTrainedModel, loss: WideLoss) -> tuple[WideScorer, float]:
        """The full wide part with the share of what was trained (0 to 1, SHARES) that has the least loss here, the
        smallest of equals; and that share. On few patients training soon does harm: then little or nothing is taken."""
        assert self.wide is not None, "there is a full wide part"
        logits, eov_logits = score_prompts(model, self.prompts, self.pad_id, self.batch_size, "validation")
        start, trained = start_weights(model), trained_weights(model)
        targets, seen = torch.from_numpy(self.targets), torch.zeros(self.targets.shape)
        for row, codes in enumerate(self.seen):
            seen[row, codes.columns] = 1.0
        losses = {}
        for share in SHARES:
            scorer = replace(self.wide, weights=interpolated(start, trained, share))
            scores, eov = scorer.add(logits, eov_logits, self.wide_patients)
            losses[share] = float(loss(torch.from_numpy(scores), torch.from_numpy(eov), targets, seen))
        best = min(SHARES, key=lambda share: losses[share])
        return replace(self.wide, weights=interpolated(start, trained, best)), best

    def measure(self, model: PreTrainedModel) -> dict[str, float]:
        scores, _ = self.scores(model)
        return ranking_quality(scores, self.targets)
