"""From texts to batches of token ids: examples with their true codes, and the candidates of a training step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bi_encoder.texts import query_texts
from data.task import Task


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, cut at `max_tokens`."""
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return encoded["input_ids"]


def pad(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Token ids of B texts -> `input_ids` and `attention_mask`, both (B, T), padded on the right."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), tokenizer.pad_token_id)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.as_tensor(row)
    mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
    return {"input_ids": ids, "attention_mask": mask.long()}


def length_sorted_batches(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, longest first, so that memory runs out at once or never."""
    order = np.argsort([-len(row) for row in rows], kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()


def training_examples(
    task: Task, tokenizer: PreTrainedTokenizerBase, max_tokens: int, split: str = "train"
) -> datasets.Dataset:
    """One row per example: `input_ids`, `length`, `targets` (columns of its codes)."""
    column = task.column
    ids = tokenize(tokenizer, [query.text for query in query_texts(task, split)], max_tokens)
    targets = [sorted({column[code] for code in codes}) for codes in task.splits[split]["targets"]]
    return datasets.Dataset.from_dict({"input_ids": ids, "length": [len(row) for row in ids], "targets": targets})


def step_candidates(targets: Sequence[Sequence[int]], num_codes: int, limit: int) -> tuple[Tensor, Tensor]:
    """Columns scored in a step (C,), ascending, and which are true for which row (B, C) bool.

    All codes of the batch are among them, then random others up to `limit`; every true (row, code) pair is a
    positive, so none can become a negative. Draws from torch's global generator, which checkpoints restore.
    """
    is_chosen = torch.zeros(num_codes, dtype=torch.bool)
    is_chosen[[code for row in targets for code in row]] = True
    others = torch.nonzero(~is_chosen).squeeze(1)
    wanted = max(0, min(limit, num_codes) - int(is_chosen.sum()))
    is_chosen[others[torch.randperm(len(others))[:wanted]]] = True
    columns = torch.nonzero(is_chosen).squeeze(1)
    is_true = torch.zeros((len(targets), num_codes), dtype=torch.bool)
    for index, row in enumerate(targets):
        is_true[index, list(row)] = True
    return columns, is_true[:, columns]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCollator:
    """Pads examples and draws the step's candidates and the text each of them is seen by."""

    tokenizer: PreTrainedTokenizerBase
    definition_ids: list[list[int]]
    """Token ids of each candidate's definition."""
    synonym_ids: list[list[list[int]]]
    """Token ids of each candidate's synonyms; may be empty."""
    candidates_per_step: int
    synonym_probability: float

    def __call__(self, rows: list[dict]) -> dict:
        """`queries` and `keys` (token ids and masks), `positive` (B, C) bool."""
        columns, positive = step_candidates(
            [row["targets"] for row in rows], len(self.definition_ids), self.candidates_per_step
        )
        return {
            "queries": pad(self.tokenizer, [row["input_ids"] for row in rows]),
            "keys": pad(self.tokenizer, [self._view(column) for column in columns.tolist()]),
            "positive": positive,
        }

    def _view(self, column: int) -> list[int]:
        synonyms = self.synonym_ids[column]
        if synonyms and torch.rand(()) < self.synonym_probability:
            return synonyms[int(torch.randint(len(synonyms), ()))]
        return self.definition_ids[column]
