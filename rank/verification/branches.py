"""Candidates as branches behind one copy of the note.

    note <next>                                    EOV is read here
              Essential (primary) hypertension?    a candidate's score is read at the end of its branch
              Heart failure, unspecified?

The mask that partial outputs use (rank/attention/masks.py) hides the branches from each other, and each one's positions
restart after the prompt: every candidate is read as in a sequence of its own, and the note once, whatever their number.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from mera.language_models.plain_text import PlainText
from rank.attention.masks import PROMPT
from rank.attention.packing import PatientTokens, TokenRows, lay_out
from rank.verification.first_pass import Candidates

BRANCH_END = "?"
LONGEST_BRANCH = 64
"""Tokens of a definition that are read."""


def branches_of_codes(
    tokenizer: PreTrainedTokenizerBase, codes: Sequence[str], definitions: Sequence[str]
) -> list[list[int]]:
    """The tokens of each code's branch: its definition in words, then a question mark."""
    text = PlainText(tokenizer, codes)
    end = text.ids(BRANCH_END)
    return [text.ids(f" {definition}")[:LONGEST_BRANCH] + end for definition in definitions]


@dataclass(frozen=True, slots=True)
class VerificationExample:
    prompt_ids: list[int]
    columns: list[int]
    """of the candidates that are read"""
    branches: list[list[int]]
    """the tokens of each"""
    log_odds: list[float]
    """of each, by the first pass"""
    targets: list[int]
    """columns of the target codes; those that are not read carry no loss"""
    shift: float = 0.0
    """added to all candidates' scores, where only a part of those that are not true is read: it makes their odds what
    they would be among that part"""
    is_blank: bool = False
    """has no row, so it carries no loss"""


class VerificationDataset(Dataset[VerificationExample]):
    """Training examples; which candidates are read is drawn anew each epoch from (seed, epoch, example)."""

    def __init__(
        self,
        prompts: list[list[int]],
        targets: list[list[int]],
        candidates: Candidates,
        branches: list[list[int]],
        train_candidates: int,
        seed: int,
    ):
        """`branches`: of each code; `train_candidates`: candidates read of an example, all true ones among them and a
        random part of the others, 0: all."""
        self.prompts, self.targets, self.candidates, self.branches = prompts, targets, candidates, branches
        self.train_candidates, self.seed = train_candidates, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> VerificationExample:
        columns, shift = self.candidates.columns[index].tolist(), 0.0
        if 0 < self.train_candidates < len(columns):
            draw = random.Random(f"{self.seed}/{self.epoch}/{index}")
            true = [column for column in columns if column in set(self.targets[index])]
            others = [column for column in columns if column not in set(true)]
            drawn = draw.sample(others, min(len(others), max(1, self.train_candidates - len(true))))
            columns, shift = true + drawn, math.log(len(others) / len(drawn)) if drawn else 0.0
        return VerificationExample(
            prompt_ids=self.prompts[index],
            columns=columns,
            branches=[self.branches[column] for column in columns],
            log_odds=self.candidates.log_odds[index, columns].tolist(),
            targets=self.targets[index],
            shift=shift,
        )

    def lengths(self) -> list[int]:
        """Tokens per example (of all its candidates, in the mean, where a part is read), for batches of similar
        length."""
        share = min(1.0, self.train_candidates / self.candidates.columns.shape[1]) if self.train_candidates else 1.0
        size = np.array([len(branch) for branch in self.branches])
        branches = size[self.candidates.columns].sum(axis=1) * share
        return [len(prompt) + round(float(tokens)) for prompt, tokens in zip(self.prompts, branches, strict=True)]


class VerificationBatch(TokenRows):
    """What one forward pass and its loss take. B examples in S rows of T tokens, R read positions (an example's prompt
    end before its branches' ends, each of which is an order), N rows of the loss, C codes."""

    read_row: Tensor
    """(R,) the row of each position"""
    read_column: Tensor
    """(R,) its code, C for EOV"""
    log_odds: Tensor
    """(R,) float32: the first pass's, of EOV the log-odds at its threshold"""
    shift: Tensor
    """(R,) float32: of `VerificationExample`, for EOV 0"""
    positive: Tensor
    """(N, C) bool"""
    ignored: Tensor
    """(N, C) bool: codes that are not read"""
    row_weights: Tensor
    """(N,) 1 each"""
    weight_of_rows: float
    weight_of_positive_rows: float
    """rows with a positive, which a row of candidates that are all wrong has not"""


@dataclass(frozen=True, slots=True)
class VerificationCollator:
    """Lays examples out as one batch (shapes as in `VerificationBatch`)."""

    num_codes: int
    pad_id: int
    eov_log_odds: float
    """where EOV starts (`LogOddsScale.intercept`)"""
    packs: bool = False
    """several examples may stand in one row (rank/attention/packing.py)"""

    def __call__(self, examples: Sequence[VerificationExample]) -> VerificationBatch:
        token_rows, first_read = lay_out([_tokens(example) for example in examples], self.pad_id, self.packs)
        num_read = int(token_rows["logits_to_keep"].sum())
        read_row, read_column = (torch.zeros(num_read, dtype=torch.long) for _ in range(2))
        log_odds, shift = torch.zeros(num_read), torch.zeros(num_read)
        rows = [index for index, example in enumerate(examples) if not example.is_blank]
        positive = torch.zeros(len(rows), self.num_codes, dtype=torch.bool)
        ignored = torch.ones_like(positive)
        for row, index in enumerate(rows):
            example, start = examples[index], first_read[index]
            place = slice(start, start + 1 + len(example.columns))
            read_row[place] = row
            read_column[place] = torch.tensor([self.num_codes, *example.columns])
            log_odds[place] = torch.tensor([self.eov_log_odds, *example.log_odds])
            shift[start + 1 : place.stop] = example.shift
            ignored[row, example.columns] = False
            positive[row, example.targets] = True
            positive[row] &= ~ignored[row]
        return {
            **token_rows,
            "read_row": read_row,
            "read_column": read_column,
            "log_odds": log_odds,
            "shift": shift,
            "positive": positive,
            "ignored": ignored,
            "row_weights": torch.ones(len(rows)),
            "weight_of_rows": float(len(rows)),
            "weight_of_positive_rows": float(positive.any(dim=1).sum()),
        }


def _tokens(example: VerificationExample) -> PatientTokens:
    """The note and the branches behind it; of a blank example the note alone, and nothing is read."""
    size = len(example.prompt_ids)
    ids, positions, orders = list(example.prompt_ids), list(range(size)), [PROMPT] * size
    read = [] if example.is_blank else [size - 1]
    for number, branch in enumerate([] if example.is_blank else example.branches, start=1):
        ids += branch
        positions += range(size, size + len(branch))
        orders += [number] * len(branch)
        read.append(len(ids) - 1)
    return PatientTokens(ids, positions, orders, read)
