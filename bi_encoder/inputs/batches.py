"""Token ids of texts, and padded batches of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, cut at `max_tokens`."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_tokens,
        split_special_tokens=True,  # a text that says [SEP] or </s> holds characters there
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


def to_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch with its tensors on `device`."""
    return {name: value.to(device) for name, value in batch.items()}


def length_sorted_batches(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, longest first, so that too little memory shows in the first batch."""
    order = np.argsort([-len(row) for row in rows], kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()


def parts_of_similar_length(lengths: Tensor, tokens_at_once: int | None) -> list[Tensor]:
    """lengths (B,) -> row numbers of each part, longest first: a part's shortest text is at least half as long as its
    longest, so little of it is padding, and the part padded holds at most `tokens_at_once` tokens (or one text)."""
    order = lengths.argsort(descending=True, stable=True)
    bounds, longest = [0], None
    for position, length in enumerate(lengths[order].tolist()):
        longest = length if longest is None else longest
        full = tokens_at_once is not None and (position + 1 - bounds[-1]) * longest > tokens_at_once
        if position > bounds[-1] and (full or 2 * length < longest):
            bounds.append(position)
            longest = length
    return list(order.tensor_split(bounds[1:]))
