"""Partial outputs: for an order c1..cn of the targets, position k has been given c1..ck and must rank the rest.

One causal pass over `prompt c1 .. cn` reads all n+1 positions. Several orders of one example stand behind one copy of
its prompt: a block mask hides the orders from each other and each order's positions restart after the prompt, so that
the prompt is computed once and every order sees exactly what it would see alone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rank.recurrence import NUM_FEATURES, SeenCodes


@dataclass(frozen=True, slots=True)
class RankingExample:
    prompt_ids: list[int]
    targets: list[int]
    """columns of the target codes"""
    orders: list[list[int]]
    """permutations of (a part of) `targets`"""
    seen: SeenCodes
    is_blank: bool = False
    """has no rows, so it carries no loss"""


class RankingDataset(Dataset):
    """Training examples; orders are drawn anew each epoch from (seed, epoch, example), whatever the process."""

    def __init__(
        self,
        prompts: list[list[int]],
        targets: list[list[int]],
        seen: list[SeenCodes],
        num_orders: int,
        max_targets: int,
        seed: int,
        code_ids: frozenset[int] = frozenset(),
        history_dropout: float = 0.0,
        shuffle_codes: bool = False,
    ):
        """`code_ids`: the codes' tokens, which `history_dropout` may leave out of a prompt, and which `shuffle_codes`
        reorders within each visit.
        """
        self.prompts, self.targets, self.seen = prompts, targets, seen
        self.num_orders, self.max_targets, self.seed = num_orders, max_targets, seed
        self.code_ids, self.history_dropout, self.shuffle_codes = code_ids, history_dropout, shuffle_codes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> RankingExample:
        draw = random.Random(f"{self.seed}/{self.epoch}/{index}")
        targets = self.targets[index]
        orders = [draw.sample(targets, len(targets))[: self.max_targets] for _ in range(self.num_orders)]
        return RankingExample(self._varied(self.prompts[index], draw), targets, orders, self.seen[index])

    def _varied(self, prompt: list[int], draw: random.Random) -> list[int]:
        """The prompt as this epoch reads it."""
        varied: list[int] = []
        for is_code, run in groupby(prompt, key=self.code_ids.__contains__):
            tokens = list(run)
            if is_code:
                tokens = [token for token in tokens if draw.random() >= self.history_dropout]
                if self.shuffle_codes:
                    draw.shuffle(tokens)
            varied += tokens
        return varied

    def lengths(self) -> list[int]:
        """Tokens per example, for batches of similar length."""
        return [
            len(prompt) + self.num_orders * min(len(targets), self.max_targets)
            for prompt, targets in zip(self.prompts, self.targets, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class PartialOutputCollator:
    """Pads examples to one batch. B examples, T tokens, K kept positions, N rows, C candidates."""

    candidate_ids: Tensor
    """(C,) token of each candidate"""
    pad_id: int
    ignore_known: bool
    """known codes are left out of the loss instead of being negatives"""
    sliding_window: int | None = None
    """the model's attention window in tokens, counted in positions"""

    def __call__(self, examples: Sequence[RankingExample]) -> dict[str, Any]:
        """`input_ids`, `position_ids` (B, T); `attention_mask` (B, 1, T, T) bool; `logits_to_keep` K: the last K
        columns are read; `row_example`, `row_position` (N,): which of the (B, K) positions each row is; `recurrence`
        (B, C, 3): features of the codes seen before; `positive`, `ignored` (N, C) bool; `num_rows`,
        `num_positive_rows` for normalising.

        Prompts are padded on the left, so that in every example the orders begin in the same column.
        """
        candidate_token = self.candidate_ids.tolist()
        width = max(len(example.prompt_ids) for example in examples)
        length = width + max(sum(len(order) for order in example.orders) for example in examples)
        shape = (len(examples), length)
        input_ids = torch.full(shape, self.pad_id)
        position_ids = torch.zeros(shape, dtype=torch.long)
        order_ids = torch.full(shape, -1)  # -1 padding, 0 prompt, 1.. the orders
        rows: list[tuple[int, int, list[int], list[int]]] = []
        for index, example in enumerate(examples):
            size = len(example.prompt_ids)
            prompt = slice(width - size, width)
            input_ids[index, prompt] = torch.tensor(example.prompt_ids)
            position_ids[index, prompt] = torch.arange(size)
            order_ids[index, prompt] = 0
            if not example.orders and not example.is_blank:
                rows.append((index, 0, example.targets, []))
            column = width
            for number, order in enumerate(example.orders, start=1):
                place = slice(column, column + len(order))
                input_ids[index, place] = torch.tensor([candidate_token[target] for target in order])
                position_ids[index, place] = torch.arange(size, size + len(order))
                order_ids[index, place] = number
                for known in range(len(order) + 1):
                    # Position 0 is the prompt's last column, shared by all orders: kept column 0.
                    kept_column = 0 if known == 0 else column + known - width
                    open_targets = [target for target in example.targets if target not in order[:known]]
                    rows.append((index, kept_column, open_targets, order[:known]))
                column += len(order)
        recurrence = torch.zeros(len(examples), len(candidate_token), NUM_FEATURES)
        for index, example in enumerate(examples):
            recurrence[index, example.seen.columns] = torch.from_numpy(example.seen.features)
        positive = torch.zeros(len(rows), len(candidate_token), dtype=torch.bool)
        ignored = torch.zeros_like(positive)
        for row, (_, _, open_targets, known_codes) in enumerate(rows):
            positive[row, open_targets] = True
            if self.ignore_known:
                ignored[row, known_codes] = True
        return {
            "input_ids": input_ids,
            "position_ids": position_ids,
            "attention_mask": self._block_mask(order_ids, position_ids),
            "logits_to_keep": length - width + 1,
            "row_example": torch.tensor([row[0] for row in rows], dtype=torch.long),
            "row_position": torch.tensor([row[1] for row in rows], dtype=torch.long),
            "recurrence": recurrence,
            "positive": positive,
            "ignored": ignored,
            "num_rows": len(rows),
            "num_positive_rows": int(positive.any(dim=1).sum()),
        }

    def _block_mask(self, order_ids: Tensor, position_ids: Tensor) -> Tensor:
        """(B, 1, T, T) bool: who may look at whom. A token sees its prompt and the earlier tokens of its own order; a
        padding token sees itself alone, since a row without any key has no softmax."""
        length = order_ids.shape[1]
        query, key = order_ids[:, :, None], order_ids[:, None, :]
        earlier = torch.tril(torch.ones(length, length, dtype=torch.bool))
        allowed = earlier & (key >= 0) & ((key == 0) | (key == query))
        if self.sliding_window is not None:
            distance = position_ids[:, :, None] - position_ids[:, None, :]
            allowed &= distance < self.sliding_window
        allowed |= torch.eye(length, dtype=torch.bool)
        return allowed[:, None]
