"""One ranking of several: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009). C codes, n ranked."""

from collections.abc import Sequence

import numpy as np

CONSTANT = 60
"""As in the paper: how little the first place counts more than the next ones."""


def reciprocal_ranks(rankings: Sequence[np.ndarray], num_codes: int, constant: float = CONSTANT) -> np.ndarray:
    """(C,) float64: the sum over the rankings of (constant + 1) / (constant + place), divided by their number.

    rankings: columns (n,) of codes each, best first; a code that a ranking has not adds nothing. 1: first in each.
    """
    scores = np.zeros(num_codes)
    for columns in rankings:
        scores[columns] += (constant + 1) / (constant + 1 + np.arange(len(columns)))
    return scores / max(len(rankings), 1)
