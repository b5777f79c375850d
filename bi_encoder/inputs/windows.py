"""Texts longer than the encoder's window, in overlapping windows, and how their tokens are put together again.

Each token counts in one window only: of an overlap, the first half in the earlier window and the second half in the
later one, so that every token has context on both sides where it counts. These tokens of a text, in order, are its
tokens, as if the encoder had read it whole; label attention, pooling and evidence see no windows.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchEncoding, PreTrainedTokenizerBase

from bi_encoder.inputs.batches import pad

Windows = list[list[int]]
"""Token ids of each window of a text, with the tokens that the tokenizer adds around a text."""


def tokenize_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_tokens: int,
    overlap: int,
    max_windows: int | None = None,
) -> list[Windows]:
    """The windows of each text, of at most `max_tokens` tokens; with `max_windows` the rest of a text is cut."""
    if not texts:
        return []
    around = _tokens_around(tokenizer)
    encoded = _encoded(tokenizer, list(texts))["input_ids"]
    return [_cut(ids, around, max_tokens, overlap)[:max_windows] for ids in encoded]


def windows_with_offsets(
    tokenizer: PreTrainedTokenizerBase, text: str, max_tokens: int, overlap: int
) -> tuple[Windows, np.ndarray]:
    """The windows of one text, and the characters `[start, end)` of each of its tokens (T, 2)."""
    encoded = _encoded(tokenizer, [text], return_offsets_mapping=True)
    windows = _cut(encoded["input_ids"][0], _tokens_around(tokenizer), max_tokens, overlap)
    return windows, np.array(encoded["offset_mapping"][0])


def token_offsets(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[np.ndarray]:
    """The characters `[start, end)` of the tokens of each text (T, 2), those around it included."""
    if not texts:
        return []
    encoded = _encoded(tokenizer, list(texts), return_offsets_mapping=True)
    return [np.array(places).reshape(-1, 2) for places in encoded["offset_mapping"]]


def num_tokens_read(tokenizer: PreTrainedTokenizerBase, windows: Windows, overlap: int) -> int:
    """How many of a text's tokens its `windows` hold, which may be the first of it; those before it included, those
    behind it not."""
    before, after = _tokens_around(tokenizer)
    return before + sum(len(window) - before - after for window in windows) - overlap * (len(windows) - 1)


def window_batch(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Windows], overlap: int) -> dict[str, Tensor]:
    """Windows of B texts, W in all -> `input_ids`, `attention_mask` and `unique_mask` (W, T), `windows_per_text` (B,).

    `unique_mask` is true for the tokens that count in this window, which is once for each token of a text.
    """
    rows = [window for windows in texts for window in windows]
    batch = pad(tokenizer, rows)
    unique_mask = batch["attention_mask"].bool()
    before, after = _tokens_around(tokenizer)
    row = 0
    for windows in texts:
        for position, window in enumerate(windows):
            if position > 0:
                unique_mask[row, : before + overlap - overlap // 2] = False
            if position < len(windows) - 1:
                unique_mask[row, len(window) - after - overlap // 2 :] = False
            row += 1
    return {
        **batch,
        "unique_mask": unique_mask,
        "windows_per_text": torch.tensor([len(windows) for windows in texts]),
    }


def join_windows(values: Tensor, unique_mask: Tensor, windows_per_text: Tensor) -> Tensor:
    """values (W, T, ...), unique_mask (W, T) bool, windows_per_text (B,) -> (B, longest text, ...), zeros behind each
    text."""
    counts = torch.stack([part.sum() for part in unique_mask.sum(1).split(windows_per_text.tolist())])
    return pad_sequence(values[unique_mask].split(counts.tolist()), batch_first=True)


def batches_of_windows(texts: Sequence[Windows], batch_size: int) -> Iterator[list[int]]:
    """Row numbers of texts, longest first, so that too little memory shows in the first batch: at most `batch_size`
    windows in a batch; a text that alone has more is a batch of its own."""
    order = np.argsort([-sum(map(len, windows)) for windows in texts], kind="stable").tolist()
    batch: list[int] = []
    size = 0
    for row in order:
        if batch and size + len(texts[row]) > batch_size:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(texts[row])
    if batch:
        yield batch


def _cut(ids: list[int], around: tuple[int, int], max_tokens: int, overlap: int) -> Windows:
    """The windows of one text, each with the tokens before and after it (`around` says how many)."""
    first, last = around[0], len(ids) - around[1]
    size = max_tokens - sum(around)
    starts = range(first, max(last - overlap, first + 1), size - overlap)
    return [[*ids[:first], *ids[start : min(start + size, last)], *ids[last:]] for start in starts]


def _encoded(tokenizer: PreTrainedTokenizerBase, texts: list[str], **more: bool) -> BatchEncoding:
    """Texts as a whole. The windows are cut here and not by the tokenizer: tokenizers 0.23.2 gives the first two
    windows of a text and no others, without a word."""
    return tokenizer(
        texts,
        truncation=False,
        split_special_tokens=True,  # a note that says [SEP] or </s> holds characters there
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # no warning that a text is longer than the encoder reads at once
        **more,
    )


def _tokens_around(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """How many tokens the tokenizer puts before and after a text."""
    empty, letter = tokenizer("")["input_ids"], tokenizer("a")["input_ids"]
    before = 0
    while before < len(empty) and empty[before] == letter[before]:
        before += 1
    return before, len(empty) - before
