"""Scoring with a bi-encoder: every candidate of a task for every example of a split."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from bi_encoder.batches import length_sorted_batches, pad, tokenize
from bi_encoder.model import BiEncoder, Tower
from bi_encoder.texts import key_texts
from bi_encoder.windows import Windows, batches_of_windows, window_batch
from data.task import Task


@torch.no_grad()
def embed_texts(
    model: BiEncoder, texts: Sequence[str], max_tokens: int, batch_size: int = 64, tower: Tower = "document"
) -> Tensor:
    """Mean-pooled embeddings (N, D) float32 of texts, in order, on the model's device; cut at `max_tokens`.

    `tower`: which encoder reads them, where texts and codes have one each.
    """
    was_training = model.training
    model.eval()
    ids = tokenize(model.tokenizer, texts, max_tokens)
    embeddings = torch.empty((len(ids), model.hidden_size), device=model.device)
    for rows in length_sorted_batches(ids, batch_size):
        embeddings[rows] = model.embed(_to(model, pad(model.tokenizer, [ids[row] for row in rows])), tower)
    model.train(was_training)
    return embeddings


def embed_codes(model: BiEncoder, task: Task, max_tokens: int, batch_size: int = 64) -> Tensor:
    """Embeddings (C, D) of the task's candidates by their definitions, in column order."""
    return embed_texts(model, key_texts(task), max_tokens, batch_size)


@torch.no_grad()
def embed_windows(model: BiEncoder, texts: Sequence[Windows], overlap: int, batch_size: int = 64) -> Tensor:
    """Mean-pooled embeddings (N, D) float32 of texts in windows: the queries of the first pass."""
    was_training = model.training
    model.eval()
    embeddings = torch.empty((len(texts), model.hidden_size), device=model.device)
    for rows in batches_of_windows(texts, batch_size):
        batch = window_batch(model.tokenizer, [texts[row] for row in rows], overlap)
        embeddings[rows] = model.embed(_to(model, batch), "query")
    model.train(was_training)
    return embeddings


@torch.no_grad()
def score_texts(
    model: BiEncoder,
    texts: Sequence[Windows],
    keys: Tensor,
    *,
    widths: Sequence[int],
    temperature: float,
    overlap: int = 32,
    rerank: int | None = None,
    batch_size: int = 64,
    progress: str | None = None,
) -> dict[int, np.ndarray]:
    """N texts in windows, embeddings of codes (C, D) -> width -> scores (N, C) float32, cosine / temperature.

    `overlap`: the tokens that windows share. `rerank`: see `BiEncoder.similarities`. `progress` names a progress bar;
    None shows none.
    """
    was_training = model.training
    model.eval()
    scores = {width: np.empty((len(texts), len(keys)), dtype=np.float32) for width in widths}
    batches = list(batches_of_windows(texts, batch_size))
    for rows in tqdm(batches, desc=progress, unit="batch", disable=progress is None, leave=False):
        queries = _to(model, window_batch(model.tokenizer, [texts[row] for row in rows], overlap))
        for width, cosines in zip(widths, model.similarities(queries, keys, widths, rerank), strict=True):
            scores[width][rows] = (cosines / temperature).cpu().numpy()
    model.train(was_training)
    return scores


def popularity(task: Task) -> np.ndarray:
    """(C,) float32: log(1 + training examples with the code), what `prior_weight` multiplies."""
    return np.log1p(task.train_counts).astype(np.float32)


def _to(model: BiEncoder, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(model.device) for name, value in inputs.items()}
