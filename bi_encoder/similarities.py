"""Cosine similarities of texts and codes, at prefix widths and after a re-rank. B texts, C codes, D width."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize


def prefix_similarities(texts: Tensor, codes: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """texts (B, D), codes (C, D), any scale -> for each width the cosine similarities (B, C) of the first numbers."""
    return [normalize(texts[:, :w], dim=-1) @ normalize(codes[:, :w], dim=-1).T for w in widths]


def reranked(first_pass: Tensor, best: Tensor, attended: Tensor) -> Tensor:
    """first_pass (B, C), best (B, R) int columns of a row's best codes, attended (B, R) their new scores -> (B, C).

    The other codes follow behind the last of the best, in the order and with the distances of the first pass.
    """
    rest = first_pass.scatter(1, best, -torch.inf)
    gap = rest.amax(1, keepdim=True) - attended.amin(1, keepdim=True)
    # Behind by a little, so that no code of the rest ties with the last of the best.
    return (first_pass - gap - 1e-4).scatter(1, best, attended)
