"""Codes with several vectors each: which vectors are whose, and the best of each code.

C codes, V vectors, Q queries.
"""

from functools import cached_property

import numpy as np

from mera.system.errors import UserError


class VectorGroups:
    """The vectors of each code, which lie together: those of code c are the rows `starts[c]` to `starts[c + 1] - 1`."""

    def __init__(self, owner: np.ndarray, num_codes: int):
        """owner (V,) int: the code of each vector, ascending. Raises UserError where a code has none, or the numbers
        are not those of `num_codes` codes in order."""
        if owner.ndim != 1 or owner.dtype.kind not in "iu":
            raise UserError(f"the owner of each vector is one integer, got {owner.dtype} of shape {owner.shape}")
        if len(owner) and (owner.min() < 0 or owner.max() >= num_codes):
            raise UserError(f"the owners of vectors are from 0 to {num_codes - 1}, got {owner.min()} to {owner.max()}")
        if (np.diff(owner) < 0).any():
            raise UserError("the vectors of a code lie together, in the order of the codes; sort them by owner")
        self.counts = np.bincount(owner, minlength=num_codes)
        """(C,): vectors of each code."""
        empty = int((self.counts == 0).sum())
        if empty:
            raise UserError(f"{empty} of {num_codes} codes have no vector; each code needs at least one")
        self.starts = np.cumsum([0, *self.counts[:-1]])
        """(C,): the first vector of each code."""

    @cached_property
    def single(self) -> bool:
        """Whether every code has exactly one vector, so that vectors are codes."""
        return bool((self.counts == 1).all())

    @property
    def owner(self) -> np.ndarray:
        """(V,) int32."""
        return np.repeat(np.arange(len(self.counts), dtype=np.int32), self.counts)

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Scores of vectors (Q, V) -> scores of codes (Q, C): the highest of each code's."""
        return scores if self.single else np.maximum.reduceat(scores, self.starts, axis=1)

    def rows_of(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes (n,) -> their vectors, one code's after the other's, and where each code's begin in that list (n,)."""
        counts = self.counts[columns]
        begins = np.cumsum([0, *counts[:-1]])
        rows = np.arange(counts.sum()) + np.repeat(self.starts[columns] - begins, counts)
        return rows, begins
