"""Notes, or histories written as text, scored by a trained bi-encoder."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.evidence.attended_spans import Span, evidence_spans
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.model import BiEncoder
from bi_encoder.predict import reading_once, score_texts
from bi_encoder.scoring.prior import Prior
from bi_encoder.scoring.similarities import CodeVectors


class BiEncoderScorer:
    """A bi-encoder with the vectors of its candidates and its prior."""

    def __init__(self, model: BiEncoder, record: ModelRecord, vectors: CodeVectors, train_counts: np.ndarray):
        """train_counts (C,) int."""
        self.model, self.record, self.vectors = model.eval(), record, vectors
        self.called, self.threshold = f"bi-encoder {record.variant}", record.threshold
        self.prior = Prior(weight=record.prior_weight, offsets=record.prior_offsets).of_codes(train_counts)
        """(C,) float32"""

    @property
    def reads_for_evidence(self) -> bool:
        return self.model.attention is not None

    def reading_once(self) -> AbstractContextManager[None]:
        return reading_once(self.model)

    def scores(self, queries: Sequence[QueryText], batch_size: int = 16, progress: str | None = None) -> np.ndarray:
        """(N, C) float32, with the popularity prior."""
        record, texts = self.record, [query.text for query in queries]
        windows = tokenize_windows(self.model.tokenizer, texts, record.max_query_tokens, record.window_overlap)
        width = self.model.hidden_size
        scores: np.ndarray = score_texts(
            self.model,
            windows,
            self.vectors.embeddings,
            widths=[width],
            temperature=record.temperature,
            overlap=record.window_overlap,
            rerank=record.rerank_candidates,
            owner=None if self.vectors.is_one_each else self.vectors.owner,
            rerank_views=record.rerank_views,
            definition_weight=record.definition_weight,
            batch_size=batch_size,
            progress=progress,
        )[width]
        return scores + self.prior

    def evidence(self, query: QueryText, columns: np.ndarray) -> list[list[Span]]:
        """Where the model looked; empty without label attention or without a note."""
        if self.model.attention is None or query.note_start is None or not len(columns):
            return [[] for _ in columns]
        vectors = self.vectors.of_codes(columns)
        return evidence_spans(
            self.model,
            query,
            vectors.embeddings,
            max_tokens=self.record.max_query_tokens,
            overlap=self.record.window_overlap,
            owner=vectors.owner,
        )
