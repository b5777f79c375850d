"""Partial outputs: for an order c1..cn of the targets, position k has been given c1..ck and must rank the rest.

One causal pass over `prompt c1 .. cn` reads all n+1 positions. Several orders of one example stand behind one copy of
its prompt: a mask (rank/attention/masks.py) hides the orders from each other and each order's positions restart after
the prompt, so that the prompt is computed once and every order sees exactly what it would see alone.

In an encoder-decoder the encoder reads the prompt, once, and the orders stand behind one start token in the decoder,
whose first output ranks.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NotRequired

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from mera.language_models.encoder_decoder import encoder_inputs
from rank.attention.masks import PROMPT, masks_for
from rank.attention.packing import PatientTokens, TokenRows, lay_out
from rank.prompt import Prompt
from rank.wide.features import WidePatient, WideTables
from rank.wide.recurrence import NUM_FEATURES, SeenCodes
from rank.wide.wide_part import batch_tensors


@dataclass(frozen=True, slots=True)
class RankingExample:
    prompt_ids: list[int]
    targets: list[int]
    """columns of the target codes"""
    orders: list[list[int]]
    """permutations of (a part of) `targets`"""
    seen: SeenCodes
    wide: WidePatient | None = None
    """what the full wide part reads, where there is one"""
    is_blank: bool = False
    """has no rows, so it carries no loss"""


class RankingDataset(Dataset[RankingExample]):
    """Training examples; orders are drawn anew each epoch from (seed, epoch, example), whatever the process."""

    def __init__(
        self,
        prompts: list[Prompt],
        targets: list[list[int]],
        seen: list[SeenCodes],
        num_orders: int,
        max_targets: int,
        seed: int,
        history_dropout: float = 0.0,
        shuffle_codes: bool = False,
        wide: list[WidePatient] | None = None,
    ):
        """`history_dropout`: share of the prompts' codes and events left out at random; `shuffle_codes` reorders both
        within each visit; `wide`: the rows as the full wide part reads them.
        """
        self.prompts, self.targets, self.seen = prompts, targets, seen
        self.num_orders, self.max_targets, self.seed = num_orders, max_targets, seed
        self.history_dropout, self.shuffle_codes = history_dropout, shuffle_codes
        self.wide, self.epoch = wide, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> RankingExample:
        draw = random.Random(f"{self.seed}/{self.epoch}/{index}")
        targets = self.targets[index]
        orders = [draw.sample(targets, len(targets))[: self.max_targets] for _ in range(self.num_orders)]
        wide = None if self.wide is None else self.wide[index]
        return RankingExample(self._varied(self.prompts[index], draw), targets, orders, self.seen[index], wide)

    def _varied(self, prompt: Prompt, draw: random.Random) -> list[int]:
        """The prompt as this epoch reads it."""
        varied: list[int] = []
        copied = 0
        for number, places in enumerate(prompt.visits):
            varied += prompt.ids[copied : places[0]]
            varied += self._varied_pieces(prompt.ids, places, draw)
            copied = places[-1]
            if prompt.events:
                varied += self._varied_pieces(prompt.ids, prompt.events[number], draw)
                copied = prompt.events[number][-1]
        return varied + prompt.ids[copied:]

    def _varied_pieces(self, ids: list[int], places: list[int], draw: random.Random) -> list[int]:
        """The codes, or the events, of one visit."""
        pieces = [ids[start:end] for start, end in pairwise(places)]
        pieces = [piece for piece in pieces if draw.random() >= self.history_dropout]
        if self.shuffle_codes:
            draw.shuffle(pieces)
        return [token for piece in pieces for token in piece]

    def lengths(self) -> list[int]:
        """Tokens per example, for batches of similar length."""
        return [
            len(prompt.ids) + self.num_orders * min(len(targets), self.max_targets)
            for prompt, targets in zip(self.prompts, self.targets, strict=True)
        ]


class RankingBatch(TokenRows):
    """What one forward pass and its loss take. B examples in S rows of T tokens (S = B where none are packed), R read
    positions, N rows of the loss, C candidates.

    Of an encoder-decoder T are the decoder's tokens, which `decoder_input_ids` (B, T) holds; `input_ids` and
    `attention_mask` (B, P) are the encoder's.
    """

    attention_mask: NotRequired[Tensor]
    decoder_input_ids: NotRequired[Tensor]
    row_read: Tensor
    """(N,) which of the read positions each row is"""
    row_example: Tensor
    """(N,) whose row it is"""
    recurrence: Tensor
    """(B, C, 3) features of the codes seen before"""
    wide: NotRequired[Tensor]
    """(B, C, K) and, of the patients, (B, D): what the full wide part reads (rank/wide/features.py)"""
    wide_patients: NotRequired[Tensor]
    positive: Tensor
    """(N, C) bool"""
    ignored: Tensor
    """(N, C) bool: neither positive nor negative"""
    row_weights: Tensor
    """(N,)"""
    weight_of_rows: float
    """the sum of `row_weights`, for normalising"""
    weight_of_positive_rows: float
    """the same over the rows that have a positive"""


@dataclass(frozen=True, slots=True)
class PartialOutputCollator:
    """Lays examples out as one batch (shapes as in `RankingBatch`)."""

    candidate_ids: Tensor
    """(C,) token of each candidate"""
    pad_id: int
    ignore_known: bool
    """known codes are left out of the loss instead of being negatives"""
    prompt_weight: float = 1.0
    """weight of the rows at the prompt's end, against 1 of each later position"""
    wide: WideTables | None = None
    """of the full wide part"""
    left_out: Tensor | None = None
    """(C,) bool: candidates that are left out of the loss in every row; None: none"""
    packs: bool = False
    """several examples may stand in one row (rank/attention/packing.py)"""

    def __call__(self, examples: Sequence[RankingExample]) -> RankingBatch:
        candidate_token = self.candidate_ids.tolist()
        token_rows, first_read = lay_out(
            [_tokens(example, candidate_token) for example in examples], self.pad_id, self.packs
        )
        rows: list[tuple[int, int, list[int], list[int]]] = []
        for index, example in enumerate(examples):
            if not example.orders and not example.is_blank:
                rows.append((index, first_read[index], example.targets, []))
            behind_prompt = 0
            for order in example.orders:
                for known in range(len(order) + 1):
                    # With nothing known yet, all orders read the prompt's last token.
                    place_read = first_read[index] + (0 if known == 0 else behind_prompt + known)
                    known_targets = set(order[:known])
                    open_targets = [target for target in example.targets if target not in known_targets]
                    rows.append((index, place_read, open_targets, order[:known]))
                behind_prompt += len(order)
        recurrence = torch.zeros(len(examples), len(candidate_token), NUM_FEATURES)
        for index, example in enumerate(examples):
            recurrence[index, example.seen.columns] = torch.from_numpy(example.seen.features)
        positive = torch.zeros(len(rows), len(candidate_token), dtype=torch.bool)
        ignored = torch.zeros_like(positive)
        for row, (_, _, open_targets, known_codes) in enumerate(rows):
            positive[row, open_targets] = True
            if self.ignore_known:
                ignored[row, known_codes] = True
        if self.left_out is not None:
            ignored |= self.left_out
        row_weights = torch.tensor([1.0 if row[3] else self.prompt_weight for row in rows])
        batch: RankingBatch = {
            **token_rows,
            "row_read": torch.tensor([row[1] for row in rows], dtype=torch.long),
            "row_example": torch.tensor([row[0] for row in rows], dtype=torch.long),
            "recurrence": recurrence,
            "positive": positive,
            "ignored": ignored,
            "row_weights": row_weights,
            "weight_of_rows": float(row_weights.sum()),
            "weight_of_positive_rows": float(row_weights[positive.any(dim=1)].sum()),
        }
        if self.wide is not None:
            patients = [example.wide for example in examples if example.wide is not None]
            batch["wide"], batch["wide_patients"] = batch_tensors(self.wide, patients)
        return batch


def _tokens(example: RankingExample, candidate_token: Sequence[int]) -> PatientTokens:
    """The prompt and the orders behind it; `candidate_token`: of each column."""
    size = len(example.prompt_ids)
    ids, positions, orders = list(example.prompt_ids), list(range(size)), [PROMPT] * size
    for number, order in enumerate(example.orders, start=1):
        ids += [candidate_token[target] for target in order]
        positions += range(size, size + len(order))
        orders += [number] * len(order)
    return PatientTokens(ids, positions, orders, read=list(range(size - 1, len(ids))))


@dataclass(frozen=True, slots=True)
class DecoderCollator:
    """The same for an encoder-decoder: what stands behind the prompt stands behind a start token."""

    orders: PartialOutputCollator
    start_id: int
    end_id: int
    """ends what the encoder reads"""

    def __call__(self, examples: Sequence[RankingExample]) -> RankingBatch:
        batch = self.orders([replace(example, prompt_ids=[self.start_id]) for example in examples])
        prompts = encoder_inputs([[*example.prompt_ids, self.end_id] for example in examples], self.orders.pad_id)
        batch["decoder_input_ids"] = batch["input_ids"]
        batch["input_ids"], batch["attention_mask"] = prompts["input_ids"], prompts["attention_mask"]
        return batch


def read_logits(model: nn.Module, plain: PreTrainedModel, batch: RankingBatch) -> Tensor:
    """(R, C + 1): of the candidates and of EOV, at the positions that are read. `model` reads candidates only;
    `plain`: the same model, or what an engine has wrapped in it."""
    masks = masks_for(plain, batch["order_ids"], batch["position_ids"])
    if "decoder_input_ids" in batch:
        of_decoder: Tensor = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=batch["decoder_input_ids"],
            decoder_attention_mask=masks,
            order_positions=batch["position_ids"],
            use_cache=False,
        ).logits
        return of_decoder[batch["logits_to_keep"]]
    logits: Tensor = model(
        input_ids=batch["input_ids"],
        attention_mask=masks,
        position_ids=batch["position_ids"],
        logits_to_keep=batch["logits_to_keep"],
        use_cache=False,
    ).logits
    return logits
