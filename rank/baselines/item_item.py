"""Two baselines of recommender systems: which codes of a history are followed by which codes at the next visit.

Shape suffixes: N examples, C candidates, L codes from which they are foretold (rank/baselines/history_columns.py), E
events.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from data.task import Task
from data.task_folder.features import PatientRow
from mera.runs.fitted_contents import Contents, sparse_arrays, sparse_matrix
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.history_matrices import HistoryMatrices, history_matrices, task_matrices
from rank.baselines.simple import BaselineScores, choice_quality, scored_by
from rank.wide.item_scores import EVENT_WEIGHTS, item_item_weights

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Ridges of EASE; each is a number of training examples whose evidence it outweighs."""
NEIGHBOUR_WEIGHTS = (0.0, 0.3, 1.0, 3.0)
HISTORY_WEIGHTS = (0.0, 0.1, 0.3, 1.0)
SHRINKAGES = (5.0, 50.0)
"""Examples by which a similarity of few examples is drawn to zero."""


@dataclass(frozen=True, kw_only=True)
class Ease:
    """Codes of the history, events and a constant times weights (`rank/wide/item_scores.py`)."""

    columns: HistoryColumns
    weights: np.ndarray
    """(L + 1, C) float32, or (L + E + 1, C)"""
    event_weight: float
    """what an event counts beside a code; 0: events are not read"""
    kind = "ease"

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        return self.of(history_matrices(rows, self.columns))

    def of(self, matrices: HistoryMatrices) -> np.ndarray:
        """(N, C) float32."""
        scores: np.ndarray = with_constant(with_events(matrices, self.event_weight)) @ self.weights
        return scores.astype(np.float32)

    def contents(self) -> Contents:
        return Contents(settings={"event_weight": self.event_weight}, arrays={"weights": self.weights})

    @classmethod
    def from_contents(cls, contents: Contents, columns: HistoryColumns) -> "Ease":
        return cls(columns=columns, weights=contents.arrays["weights"], event_weight=contents.number("event_weight"))


def ease(task: Task) -> BaselineScores:
    """EASE with the next visit as its target: from the codes of the history and a constant to the next visit, in closed
    form. The ridge is chosen on validation (`choice_quality`), and then, where the task has events, what an event
    counts beside a code."""
    columns, targets = HistoryColumns.of_task(task), task.targets("validation")
    train = task_matrices(task, "train", columns, with_history=True)
    validation = task_matrices(task, "validation", columns)
    penalty = best_penalty(train, with_constant(validation.linked_seen), targets)
    chosen: dict[str, float | str] = {"penalty": penalty}

    def fitted(event_weight: float) -> Ease:
        inputs = with_constant(with_events(train, event_weight))
        weights = item_item_weights(inputs, train.targets, penalty)
        return Ease(columns=columns, weights=weights, event_weight=event_weight)

    event_weight = 0.0
    if columns.events:
        event_weight = max(EVENT_WEIGHTS, key=lambda weight: choice_quality(fitted(weight).of(validation), targets))
        chosen["event_weight"] = event_weight
    return scored_by(fitted(event_weight), task, chosen)


def best_penalty(train: HistoryMatrices, validation: sparse.csr_array, targets: np.ndarray) -> float:
    """Of PENALTIES the best by `choice_quality`; validation (N, L + 1): `with_constant`, targets (N, C) bool."""
    inputs = with_constant(train.linked_seen)

    def quality(penalty: float) -> float:
        return choice_quality(validation @ item_item_weights(inputs, train.targets, penalty), targets)

    return max(PENALTIES, key=quality)


@dataclass(frozen=True, kw_only=True)
class ItemKnn:
    """Item-based nearest neighbours (Deshpande and Karypis, TOIS 2004) beside own history and popularity:

    score of c = w1 * sum over d of the history of similarity(d, c) + w2 * visits with c + P(c)
    """

    columns: HistoryColumns
    similarity: np.ndarray
    """(L, C) float32"""
    popularity: np.ndarray
    """(C,) float32"""
    neighbour_weight: float
    own_history_weight: float
    kind = "item-knn"

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        matrices = history_matrices(rows, self.columns)
        counts = matrices.visit_counts[:, : len(self.popularity)].toarray()
        near = self.neighbour_weight * (matrices.linked_seen @ self.similarity)
        scores: np.ndarray = near + self.own_history_weight * counts + self.popularity
        return scores.astype(np.float32)

    def contents(self) -> Contents:
        settings = {"neighbour_weight": self.neighbour_weight, "own_history_weight": self.own_history_weight}
        similarity = sparse_arrays("similarity", sparse.csr_matrix(self.similarity))
        return Contents(settings=settings, arrays={"popularity": self.popularity, **similarity})

    @classmethod
    def from_contents(cls, contents: Contents, columns: HistoryColumns) -> "ItemKnn":
        return cls(
            columns=columns,
            similarity=sparse_matrix("similarity", contents).toarray(),
            popularity=contents.arrays["popularity"],
            neighbour_weight=contents.number("neighbour_weight"),
            own_history_weight=contents.number("own_history_weight"),
        )


def item_knn(task: Task) -> BaselineScores:
    """See `ItemKnn`. The similarity of d in a history and c at the next visit is their cosine over the training
    examples, shrunk where few examples have both. w1, w2 and the shrinkage are chosen on validation
    (`choice_quality`)."""
    columns, targets = HistoryColumns.of_task(task), task.targets("validation")
    train = task_matrices(task, "train", columns, with_history=True)
    validation = task_matrices(task, "validation", columns)
    popularity = np.asarray(train.targets.mean(axis=0), dtype=np.float32).ravel()
    counts = validation.visit_counts[:, : len(task.codes)].toarray()
    best: tuple[float, tuple[float, float, float]] | None = None
    for shrinkage in SHRINKAGES:
        near = validation.linked_seen @ next_visit_cosine(train, shrinkage)
        for near_weight, own_weight in itertools.product(NEIGHBOUR_WEIGHTS, HISTORY_WEIGHTS):
            quality = choice_quality(near_weight * near + own_weight * counts + popularity, targets)
            if best is None or quality > best[0]:
                best = (quality, (shrinkage, near_weight, own_weight))
    assert best is not None, "there is at least one weight"
    shrinkage, near_weight, own_weight = best[1]
    fitted = ItemKnn(
        columns=columns,
        similarity=next_visit_cosine(train, shrinkage),
        popularity=popularity,
        neighbour_weight=near_weight,
        own_history_weight=own_weight,
    )
    chosen = {"shrinkage": shrinkage, "neighbour_weight": near_weight, "own_history_weight": own_weight}
    return scored_by(fitted, task, chosen)


def next_visit_cosine(train: HistoryMatrices, shrinkage: float) -> np.ndarray:
    """(L, C) float32: n(d, c) / sqrt(n(d) n(c)) * n(d, c) / (n(d, c) + shrinkage), where n(d, c) examples have d in the
    history and c at the next visit; 0 where none has."""
    seen, targets = train.linked_seen, train.targets
    both = (seen.T @ targets).toarray()
    lengths = np.sqrt(np.outer(np.asarray(seen.sum(axis=0)), np.asarray(targets.sum(axis=0))))
    similarity: np.ndarray = both / np.maximum(lengths, 1) * (both / (both + shrinkage))
    return similarity.astype(np.float32)


def with_events(rows: HistoryMatrices, weight: float) -> sparse.csr_array:
    """(N, L + E): 1 for the codes of the history, `weight` for its events; (N, L) where that is 0."""
    seen = rows.linked_seen
    return sparse.csr_array(sparse.hstack([seen, weight * rows.events])) if weight else seen


def with_constant(seen: sparse.csr_array) -> sparse.csr_array:
    """(N, L + 1): a last column of ones, through which a code's popularity needs no code of the history."""
    return sparse.csr_array(sparse.hstack([seen, np.ones((seen.shape[0], 1), dtype=np.float32)]))
