"""Notes kept on disk while a cohort is put together: those of MIMIC-IV do not fit into memory."""

import hashlib
import tempfile
from dataclasses import dataclass

BETWEEN_NOTES = "\n\n"
Piece = tuple[int, int]
"""Where a note begins in the spool, and how many bytes it has."""


class NoteSpool:
    """A temporary file of texts, removed when the spool and its texts are no longer referred to."""

    def __init__(self) -> None:
        # Open for as long as a text refers to it, so no `with`; the system removes it when it is closed.
        self._file = tempfile.TemporaryFile(prefix="mera-notes-")  # noqa: SIM115
        self._end = 0

    def add(self, text: str) -> tuple[bytes, Piece]:
        """Append `text`. Returns a digest that only equal texts share, and the place of `text` in the file."""
        stored = text.encode()
        self._file.seek(self._end)
        self._file.write(stored)
        piece = (self._end, len(stored))
        self._end += len(stored)
        return hashlib.sha1(stored, usedforsecurity=False).digest(), piece

    def read(self, piece: Piece) -> str:
        self._file.seek(piece[0])
        return self._file.read(piece[1]).decode()


@dataclass(frozen=True, slots=True)
class SpooledText:
    """Notes of a spool as one text, with a blank line between them; `str` reads it."""

    spool: NoteSpool
    pieces: tuple[Piece, ...]

    def __str__(self) -> str:
        return BETWEEN_NOTES.join(self.spool.read(piece) for piece in self.pieces)

    def __repr__(self) -> str:
        """By what it says, so that equal cohorts look equal."""
        return f"SpooledText(sha256={hashlib.sha256(str(self).encode()).hexdigest()})"
