"""Notes scored by a baseline that was fitted on notes: a dictionary, words and letters, BM25, an untrained encoder."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from bi_encoder.baselines.fitted import Fitted
from bi_encoder.evidence.attended_spans import Span
from bi_encoder.inputs.texts import QueryText
from mera.system.terminal import progress_bar


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineScorer:
    model: Fitted
    threshold: float | None

    @property
    def called(self) -> str:
        return self.model.kind

    @property
    def reads_for_evidence(self) -> bool:
        return False

    def reading_once(self) -> AbstractContextManager[None]:
        return nullcontext()

    def scores(self, queries: Sequence[QueryText], batch_size: int = 16, progress: str | None = None) -> np.ndarray:
        """(N, C) float32."""
        texts = [query.text for query in queries]
        starts = progress_bar(range(0, len(texts), batch_size), progress, f"{batch_size} notes")
        return np.concatenate([self.model.scores(texts[start : start + batch_size]) for start in starts])

    def evidence(self, query: QueryText, columns: np.ndarray) -> list[list[Span]]:
        if query.note_start is None:
            return [[] for _ in columns]
        return self.model.evidence(query.text[query.note_start :], columns)
