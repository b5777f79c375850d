"""Two baselines of recommender systems: which codes of a history are followed by which codes at the next visit.

Shape suffixes: N examples, F codes that are read (the C candidates first), C candidates, E events.
"""

import itertools

import numpy as np
from scipy import sparse

from data.task import Task
from rank.baselines.history_matrices import HistoryMatrices, history_matrices
from rank.baselines.simple import EVALUATED, BaselineScores, choice_quality
from rank.wide.item_scores import EVENT_WEIGHTS, item_item_weights

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Ridges of EASE; each is a number of training examples whose evidence it outweighs."""
NEIGHBOUR_WEIGHTS = (0.0, 0.3, 1.0, 3.0)
HISTORY_WEIGHTS = (0.0, 0.1, 0.3, 1.0)
SHRINKAGES = (5.0, 50.0)
"""Examples by which a similarity of few examples is drawn to zero."""


def ease(task: Task) -> BaselineScores:
    """EASE with the next visit as its target (`rank/wide/item_scores.py`): from the codes of the history and a constant
    to the next visit, in closed form. The ridge is chosen on validation (`choice_quality`), and then, where the task
    has events, what an event counts beside a code."""
    train, targets = history_matrices(task, "train", with_history=True), task.targets("validation")
    evaluated = {split: history_matrices(task, split) for split in EVALUATED}
    penalty = best_penalty(train, with_constant(evaluated["validation"].seen), targets)
    chosen: dict[str, float | str] = {"penalty": penalty}
    event_weight = 0.0
    if train.events.shape[1]:

        def quality(weight: float) -> float:
            of_train = item_item_weights(with_constant(with_events(train, weight)), train.targets, penalty)
            return choice_quality(with_constant(with_events(evaluated["validation"], weight)) @ of_train, targets)

        event_weight = chosen["event_weight"] = max(EVENT_WEIGHTS, key=quality)
    weights = item_item_weights(with_constant(with_events(train, event_weight)), train.targets, penalty)
    scores = {
        split: (with_constant(with_events(rows, event_weight)) @ weights).astype(np.float32)
        for split, rows in evaluated.items()
    }
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen=chosen)


def best_penalty(train: HistoryMatrices, validation: sparse.csr_array, targets: np.ndarray) -> float:
    """Of PENALTIES the best by `choice_quality`; validation (N, F + 1): `with_constant`, targets (N, C) bool."""
    inputs = with_constant(train.seen)

    def quality(penalty: float) -> float:
        return choice_quality(validation @ item_item_weights(inputs, train.targets, penalty), targets)

    return max(PENALTIES, key=quality)


def item_knn(task: Task) -> BaselineScores:
    """Item-based nearest neighbours (Deshpande and Karypis, TOIS 2004) beside own history and popularity:

        score of c = w1 * sum over d of the history of similarity(d, c) + w2 * visits with c + P(c)

    The similarity of d in a history and c at the next visit is their cosine over the training examples, shrunk where
    few examples have both. w1, w2 and the shrinkage are chosen on validation (`choice_quality`).
    """
    train = history_matrices(task, "train", with_history=True)
    evaluated = {split: history_matrices(task, split) for split in EVALUATED}
    num_codes, targets = len(task.codes), task.targets("validation")
    popularity = np.asarray(train.targets.mean(axis=0), dtype=np.float32).ravel()
    counts = {split: rows.visit_counts[:, :num_codes].toarray() for split, rows in evaluated.items()}
    best: tuple[float, tuple[float, float, float]] | None = None
    for shrinkage in SHRINKAGES:
        near = evaluated["validation"].seen @ next_visit_cosine(train, shrinkage)
        for near_weight, own_weight in itertools.product(NEIGHBOUR_WEIGHTS, HISTORY_WEIGHTS):
            scores = near_weight * near + own_weight * counts["validation"] + popularity
            quality = choice_quality(scores, targets)
            if best is None or quality > best[0]:
                best = (quality, (shrinkage, near_weight, own_weight))
    assert best is not None, "there is at least one weight"
    shrinkage, near_weight, own_weight = best[1]
    similarity = next_visit_cosine(train, shrinkage)
    scores = {
        split: (near_weight * (rows.seen @ similarity) + own_weight * counts[split] + popularity).astype(np.float32)
        for split, rows in evaluated.items()
    }
    chosen = {"shrinkage": shrinkage, "neighbour_weight": near_weight, "own_history_weight": own_weight}
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen=chosen)


def next_visit_cosine(train: HistoryMatrices, shrinkage: float) -> np.ndarray:
    """(F, C) float32: n(d, c) / sqrt(n(d) n(c)) * n(d, c) / (n(d, c) + shrinkage), where n(d, c) examples have d in the
    history and c at the next visit; 0 where none has."""
    seen, targets = train.seen, train.targets
    both = (seen.T @ targets).toarray()
    lengths = np.sqrt(np.outer(np.asarray(seen.sum(axis=0)), np.asarray(targets.sum(axis=0))))
    similarity: np.ndarray = both / np.maximum(lengths, 1) * (both / (both + shrinkage))
    return similarity.astype(np.float32)


def with_events(rows: HistoryMatrices, weight: float) -> sparse.csr_array:
    """(N, F + E): 1 for the codes of the history, `weight` for its events; (N, F) where that is 0."""
    return sparse.csr_array(sparse.hstack([rows.seen, weight * rows.events])) if weight else rows.seen


def with_constant(seen: sparse.csr_array) -> sparse.csr_array:
    """(N, F + 1): a last column of ones, through which a code's popularity needs no code of the history."""
    return sparse.csr_array(sparse.hstack([seen, np.ones((seen.shape[0], 1), dtype=np.float32)]))
