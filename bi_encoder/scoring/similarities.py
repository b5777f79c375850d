"""Cosine similarities of texts and codes, at prefix widths and after a re-rank.

B texts, C codes, V vectors of codes, D width. `owner` (V,) int, ascending, says whose a vector is; each code has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeVectors:
    """What C codes are compared by: one vector each, or several."""

    embeddings: Tensor
    """(V, D)"""
    owner: Tensor
    """(V,) int, ascending: those of a code lie together, as in `CodeIndex`."""

    @property
    def num_codes(self) -> int:
        return int(self.owner.max()) + 1

    @property
    def is_one_each(self) -> bool:
        """Whether vector c is that of code c."""
        return torch.equal(self.owner, torch.arange(len(self.owner), device=self.owner.device))

    @classmethod
    def one_each(cls, embeddings: Tensor) -> "CodeVectors":
        """embeddings (C, D)."""
        return cls(embeddings=embeddings, owner=torch.arange(len(embeddings), device=embeddings.device))

    def of_codes(self, columns: Sequence[int] | np.ndarray) -> "CodeVectors":
        """The vectors of the codes `columns`, which become the codes 0, 1, ... of the result."""
        rows = [torch.nonzero(self.owner == int(column)).squeeze(1) for column in columns]
        owner = [torch.full_like(of_code, number) for number, of_code in enumerate(rows)]
        return CodeVectors(embeddings=self.embeddings[torch.cat(rows)], owner=torch.cat(owner))

    def mean_of_each(self) -> "CodeVectors":
        """One vector for each code, the mean of the directions of its own."""
        return CodeVectors.one_each(mean_of_codes(self.embeddings, self.owner))


def mean_of_codes(embeddings: Tensor, owner: Tensor) -> Tensor:
    """embeddings (V, D), any scale, owner (V,) -> (C, D): the mean of each code's vectors at length 1."""
    sums = embeddings.new_zeros((int(owner.max()) + 1, embeddings.shape[1]))
    return sums.index_add(0, owner, normalize(embeddings, dim=-1)) / owner.bincount()[:, None]


def best_of_codes(scores: Tensor, owner: Tensor) -> Tensor:
    """scores (B, V), owner (V,) -> (B, C): the highest score of each code's vectors."""
    best = scores.new_full((len(scores), int(owner.max()) + 1), -torch.inf)
    return best.scatter_reduce(1, owner.expand_as(scores), scores, "amax")


def scores_of_codes(scores: Tensor, owner: Tensor, definition_weight: float = 0.0) -> Tensor:
    """scores (B, V), owner (V,) -> (B, C): the highest score of each code's vectors, and with `definition_weight` w
    that of its first, w x first + (1 - w) x highest. A definition says what distinguishes a code, a name what it is
    called: the highest alone favours codes with many names."""
    best = best_of_codes(scores, owner)
    return best.lerp(scores[:, first_vectors(owner)], definition_weight) if definition_weight else best


def first_vectors(owner: Tensor) -> Tensor:
    """owner (V,) -> (C,): the first vector of each code, that of its definition."""
    counts = owner.bincount()
    return counts.cumsum(0) - counts


def vectors_by_code(owner: Tensor) -> Tensor:
    """owner (V,) -> (C, M): the vectors of each code, ascending, filled up with -1 to the most that a code has."""
    counts = owner.bincount()
    numbers = torch.arange(len(owner), device=owner.device)
    rows = owner.new_full((len(counts), int(counts.max())), -1)
    rows[owner, numbers - first_vectors(owner)[owner]] = numbers
    return rows


def best_vectors(scores: Tensor, owner: Tensor, codes: Tensor, most: int) -> Tensor:
    """scores (B, V), owner (V,), codes (B, R) int -> (B, R, m): the vectors of each code that score highest, best
    first, m the lesser of `most` and what a code has at most. A code with fewer has its best vector again."""
    members = vectors_by_code(owner)[codes]
    of_members = scores.gather(1, members.clamp(min=0).flatten(1)).view_as(members)
    of_members = of_members.masked_fill(members < 0, -torch.inf)
    places = of_members.topk(min(most, members.shape[2]), dim=2).indices
    best = members.gather(2, places)
    return torch.where(best < 0, best[..., :1], best)


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
