"""The directions in which embeddings differ most, for short vectors of them. N embeddings, D width."""

import numpy as np

from mera.system.errors import UserError

ROWS_FOR_DIRECTIONS = 20_000


def principal_directions(embeddings: np.ndarray, width: int) -> np.ndarray:
    """(D, width) float32, orthonormal columns; from at most ROWS_FOR_DIRECTIONS evenly spaced rows of (C, D)."""
    sample = embeddings[:: -(-len(embeddings) // ROWS_FOR_DIRECTIONS)].astype(np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(directions[:, ::-1][:, :width], dtype=np.float32)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """The rows at length 1. Raises UserError where one has no direction."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise UserError("an embedding is zero or not finite, so it has no direction to compare")
    return rows / lengths
