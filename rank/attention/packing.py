"""How the sequences of a batch's patients are laid into rows of one length: each in a row of its own, or packed.

Packed, several patients stand behind one another in a row. `order_ids` keep them apart (rank/attention/masks.py) and
positions begin anew with each, so that every patient is read as in a row of its own, and little is padding. The batch
holds the same patients either way: what is packed is what one process takes in one forward pass.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
from torch import Tensor
from transformers import PreTrainedModel

from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.system.errors import UserError
from rank.attention.masks import ORDERS, PADDING, Kernel

Packing = Literal["auto", "always", "never"]
ALLOWED_PADDING = 0.04
"""Rows are as short as they can be with at most this share of padding: attention computes row length squared."""
ROW_TOKENS = 8192
"""No row is packed to more tokens: a mask of all pairs is kept for each."""


@dataclass(frozen=True, slots=True)
class PatientTokens:
    """One patient's prompt and what stands behind it, a number for each token."""

    ids: list[int]
    positions: list[int]
    orders: list[int]
    """`order_ids` of a patient alone in its row"""
    read: list[int]
    """columns whose logits are read, rising"""


class TokenRows(TypedDict):
    """S rows of T tokens."""

    input_ids: Tensor
    """(S, T)"""
    position_ids: Tensor
    """(S, T)"""
    order_ids: Tensor
    """(S, T), see rank/attention/masks.py"""
    logits_to_keep: Tensor
    """(S, T) bool: the R positions whose logits are read, row by row"""


def lay_out(patients: Sequence[PatientTokens], pad_id: int, packs: bool) -> tuple[TokenRows, list[int]]:
    """The rows, and for each patient which of the R positions that are read is its first; its others follow."""
    lengths = [len(patient.ids) for patient in patients]
    rows = packed(lengths) if packs else [[index] for index in range(len(patients))]
    width = _width(rows, lengths)
    ids, positions, orders = ([[value] * width for _ in rows] for value in (pad_id, 0, PADDING))
    read = torch.zeros(len(rows), width, dtype=torch.bool)
    first_read, num_read = [0] * len(patients), 0
    for row, indices in enumerate(rows):
        column = 0
        for number, index in enumerate(indices):
            patient = patients[index]
            place = slice(column, column + len(patient.ids))
            ids[row][place], positions[row][place] = patient.ids, patient.positions
            orders[row][place] = [number * ORDERS + order for order in patient.orders]
            read[row, [column + own for own in patient.read]] = True
            first_read[index] = num_read
            num_read += len(patient.read)
            column = place.stop
    return {
        "input_ids": torch.tensor(ids),
        "position_ids": torch.tensor(positions),
        "order_ids": torch.tensor(orders),
        "logits_to_keep": read,
    }, first_read


def packs_rows(packing: Packing, kernel: Kernel, model: PreTrainedModel) -> bool:
    """Whether batches are packed (see `packing` in the config). Raises UserError where they are to be of an
    encoder-decoder, whose prompts and outputs are in different rows."""
    if is_encoder_decoder(model):
        if packing == "always":
            raise UserError("packing: always is for causal models; an encoder-decoder takes a row for each patient")
        return False
    return kernel == "flex" if packing == "auto" else packing == "always"


def packed(lengths: Sequence[int]) -> list[list[int]]:
    """Which sequences stand in which row: as many rows as `ALLOWED_PADDING` lets be or, where one were then longer than
    `ROW_TOKENS` and than any sequence, those with the least padding. The rows, and the sequences in each, are in the
    order of `lengths`."""
    total, longest = sum(lengths), max(lengths)
    limit = max(ROW_TOKENS, longest)
    num_rows = min(len(lengths), int(total / (longest * (1 - ALLOWED_PADDING))))  # more would be too empty
    while True:
        rows = _balanced(lengths, num_rows)
        width = _width(rows, lengths)
        if width > limit or total >= (1 - ALLOWED_PADDING) * num_rows * width:
            break
        num_rows -= max(1, num_rows // 16)
    if width > limit:
        others = (_balanced(lengths, number) for number in range(num_rows + 1, len(lengths) + 1))
        short = (rows for rows in others if _width(rows, lengths) <= limit)
        rows = min(short, key=lambda rows: len(rows) * _width(rows, lengths))
    return sorted(sorted(row) for row in rows)


def _balanced(lengths: Sequence[int], num_rows: int) -> list[list[int]]:
    """The longest sequence first, each into the emptiest row (Graham's LPT rule)."""
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    fill = [(0, row) for row in range(num_rows)]
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        tokens, row = fill[0]
        rows[row].append(index)
        heapq.heapreplace(fill, (tokens + lengths[index], row))
    return rows


def _width(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    return max(sum(lengths[index] for index in row) for row in rows)
