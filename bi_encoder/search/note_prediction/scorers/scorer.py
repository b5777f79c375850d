"""What scores notes, whatever it is made of. N notes, C codes: the candidates of its task."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from bi_encoder.evidence.attended_spans import Span
from bi_encoder.inputs.texts import QueryText


class NoteScorer(Protocol):
    @property
    def called(self) -> str:
        """Such as `bi-encoder laa_mrl`."""
        ...

    @property
    def threshold(self) -> float | None:
        """Codes that score above it are predicted; None: none is."""
        ...

    @property
    def reads_for_evidence(self) -> bool:
        """Whether evidence takes another reading of the note, unless it was scored alone, in `reading_once`."""
        ...

    def reading_once(self) -> AbstractContextManager[None]: ...

    def scores(self, queries: Sequence[QueryText], batch_size: int = 16, progress: str | None = None) -> np.ndarray:
        """(N, C) float32. `progress` names a progress bar."""
        ...

    def evidence(self, query: QueryText, columns: np.ndarray) -> list[list[Span]]:
        """For each code of `columns` where in the note it was found; none where it cannot say, or there is no note."""
        ...
