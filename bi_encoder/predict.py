"""Scoring with a bi-encoder: every candidate of a task for every example of a split. N texts, C codes, D width."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.config import BiEncoderConfig, CodeVectorsKind, EncoderConfig
from bi_encoder.inputs.batches import length_sorted_batches, pad, to_device, tokenize
from bi_encoder.inputs.code_names import names_for_scoring
from bi_encoder.inputs.texts import key_texts, query_texts
from bi_encoder.inputs.windows import Windows, batches_of_windows, tokenize_windows, window_batch
from bi_encoder.model import BiEncoder, Tower
from bi_encoder.network.last_read import LastRead
from bi_encoder.scoring.similarities import CodeVectors
from data.task import Task
from mera.system.errors import UserError
from mera.system.terminal import progress_bar


@contextmanager
def evaluation_mode(model: BiEncoder) -> Iterator[None]:
    """No gradients and no dropout within; afterwards the model is in the mode it was in before."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


@contextmanager
def reading_once(model: BiEncoder) -> Iterator[None]:
    """Evaluation mode, in which a batch that was the last to be read is not read again: for a text's scores, then for
    its evidence, each of which would take the whole of its time."""
    with evaluation_mode(model):
        model.last_read = LastRead()
        try:
            yield
        finally:
            model.last_read = None


def embed_texts(
    model: BiEncoder, texts: Sequence[str], max_tokens: int, batch_size: int = 64, tower: Tower = "document"
) -> Tensor:
    """Mean-pooled embeddings (N, D) float32 of texts, in order, on the model's device; cut at `max_tokens`.

    `tower`: which encoder reads them, where texts and codes have one each.
    """
    ids = tokenize(model.tokenizer, texts, max_tokens)
    embeddings = torch.empty((len(ids), model.hidden_size), device=model.device)
    with evaluation_mode(model):
        for rows in length_sorted_batches(ids, batch_size):
            batch = pad(model.tokenizer, [ids[row] for row in rows])
            embeddings[rows] = model.embed(to_device(batch, model.device), tower)
    return embeddings


def embed_codes(
    model: BiEncoder,
    task: Task,
    max_tokens: int,
    batch_size: int = 64,
    code_vectors: CodeVectorsKind = "definition",
    views_per_code: int = 8,
    spans_per_code: int = 0,
) -> CodeVectors:
    """The vectors of the task's candidates: of each the one of its definition; or (`best`) those of its definition and
    further names, up to `views_per_code`, and of `spans_per_code` annotated phrases; or (`pooled`) their mean."""
    if code_vectors == "definition":
        return CodeVectors.one_each(embed_texts(model, key_texts(task), max_tokens, batch_size))
    names = names_for_scoring(task, views_per_code, spans_per_code)
    embeddings = embed_texts(model, names.texts, max_tokens, batch_size)
    vectors = CodeVectors(embeddings=embeddings, owner=torch.tensor(names.owner, device=embeddings.device))
    return vectors.mean_of_each() if code_vectors == "pooled" else vectors


def embed_as_recorded(model: BiEncoder, task: Task, record: ModelRecord) -> CodeVectors:
    """The vectors of the task's candidates as the checkpoint's record says: what the model was validated with.

    Raises UserError where phrases that annotators marked are among them and the task has none.
    """
    train = task.splits["train"]
    if record.spans_per_code and not ("evidence" in train.column_names and any(train["evidence"])):
        raise UserError(
            f"the model compares each code by up to {record.spans_per_code} phrases that annotators marked in training "
            f"notes, and {task.path} has none marked (evidence.translation took them from another task); give the "
            "run's folder, whose index holds their vectors"
        )
    return embed_codes(
        model,
        task,
        record.max_key_tokens,
        code_vectors=record.code_vectors,
        views_per_code=record.views_per_code,
        spans_per_code=record.spans_per_code,
    )


def embed_windows(model: BiEncoder, texts: Sequence[Windows], overlap: int, batch_size: int = 64) -> Tensor:
    """Mean-pooled embeddings (N, D) float32 of texts in windows: the queries of the first pass."""
    embeddings = torch.empty((len(texts), model.hidden_size), device=model.device)
    with evaluation_mode(model):
        for rows in batches_of_windows(texts, batch_size):
            batch = window_batch(model.tokenizer, [texts[row] for row in rows], overlap)
            embeddings[rows] = model.embed(to_device(batch, model.device), "query")
    return embeddings


def score_texts(
    model: BiEncoder,
    texts: Sequence[Windows],
    keys: Tensor,
    *,
    widths: Sequence[int],
    temperature: float,
    overlap: int = 32,
    rerank: int | None = None,
    owner: Tensor | None = None,
    rerank_views: int = 2,
    definition_weight: float = 0.0,
    batch_size: int = 64,
    progress: str | None = None,
) -> dict[int, np.ndarray]:
    """N texts in windows, embeddings of codes (C, D) -> width -> scores (N, C) float32, cosine / temperature.

    `overlap`: the tokens that windows share. `rerank`, `owner`, `rerank_views`, `definition_weight`: see
    `BiEncoder.similarities`. `progress` names a progress bar; None shows none.
    """
    num_codes = len(keys) if owner is None else int(owner.max()) + 1
    scores = {width: np.empty((len(texts), num_codes), dtype=np.float32) for width in widths}
    batches = list(batches_of_windows(texts, batch_size))
    with evaluation_mode(model):
        for rows in progress_bar(batches, progress, "batch"):
            batch = window_batch(model.tokenizer, [texts[row] for row in rows], overlap)
            similarities = model.similarities(
                to_device(batch, model.device), keys, widths, rerank, owner, rerank_views, definition_weight
            )
            for width, cosines in zip(widths, similarities, strict=True):
                scores[width][rows] = (cosines / temperature).cpu().numpy()
    return scores


def split_windows(task: Task, split: str, tokenizer: PreTrainedTokenizerBase, encoder: EncoderConfig) -> list[Windows]:
    """All windows of the split's examples, in order. Raises UserError, naming the row, where a note is blank."""
    texts = [query.text for query in query_texts(task, split)]
    return tokenize_windows(tokenizer, texts, encoder.max_query_tokens, encoder.window_overlap)


def code_vectors_of(model: BiEncoder, task: Task, config: BiEncoderConfig) -> CodeVectors:
    """The vectors of the task's candidates as `config` compares them."""
    selection = config.selection
    return embed_codes(
        model,
        task,
        config.encoder.max_key_tokens,
        selection.batch_size,
        selection.code_vectors,
        selection.views_per_code,
        selection.spans_per_code,
    )


def score_windows(
    model: BiEncoder,
    task: Task,
    texts: Sequence[Windows],
    widths: Sequence[int],
    config: BiEncoderConfig,
    progress: str | None = None,
) -> dict[int, np.ndarray]:
    """Width -> scores (N, C) float32 of all candidates of `task` as `config` says, without the popularity prior."""
    encoder, selection = config.encoder, config.selection
    vectors = code_vectors_of(model, task, config)
    return score_texts(
        model,
        texts,
        vectors.embeddings,
        widths=widths,
        temperature=config.objective.temperature,
        overlap=encoder.window_overlap,
        rerank=selection.rerank_candidates if selection.scoring == "rerank" else None,
        owner=None if vectors.is_one_each else vectors.owner,
        rerank_views=selection.rerank_views,
        definition_weight=selection.definition_weight,
        batch_size=selection.batch_size,
        progress=progress,
    )
