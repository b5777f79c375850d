"""Notes scored by a fusion: each part scores them, and the fusion puts that together. P parts, N notes, C codes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from bi_encoder.evidence.attended_spans import Span
from bi_encoder.inputs.texts import QueryText
from bi_encoder.search.note_prediction.scorers.scorer import NoteScorer
from mera.commands.fusion.saved import SavedFusion


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedScorer:
    parts: Sequence[NoteScorer]
    fusion: SavedFusion
    train_counts: np.ndarray
    """(C,) int."""

    @property
    def called(self) -> str:
        return f"fusion of {', '.join(part.called for part in self.parts)}"

    @property
    def threshold(self) -> float:
        return self.fusion.threshold

    @property
    def reads_for_evidence(self) -> bool:
        return any(part.reads_for_evidence for part in self.parts)

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.reading_once())
            yield

    def scores(self, queries: Sequence[QueryText], batch_size: int = 16, progress: str | None = None) -> np.ndarray:
        """(N, C) float32."""
        of_parts = [
            part.scores(queries, batch_size, None if progress is None else f"{progress}, {part.called}")
            for part in self.parts
        ]
        return self.fusion.scores(np.stack(of_parts), self.train_counts)

    def evidence(self, query: QueryText, columns: np.ndarray) -> list[list[Span]]:
        """For each code that of the first part, in the order in which they were fused, that can say."""
        places: list[list[Span]] = [[] for _ in columns]
        for part in self.parts:
            open_ones = [number for number, spans in enumerate(places) if not spans]
            for number, spans in zip(open_ones, part.evidence(query, columns[open_ones]), strict=True):
                places[number] = spans
        return places
