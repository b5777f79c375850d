"""Item-item scores in closed form: which codes of a history are followed by which codes at the next visit.

Ridge regression from the history to the next visit, one output per code. It is EASE (Steck, WWW 2019,
arXiv 1905.03375) with the next visit as its target: as the target is no part of the input, the diagonal need not be
forced to zero, and a code may speak for itself.

    W = (X'X + penalty I)^-1 X'Y        score of code c = (x W)_c

Shape suffixes: N training rows (a patient may have several), F features of a history, C codes, L linked codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from mera.system.errors import UserError

PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0)
EVENT_WEIGHTS = (0.0, 0.25, 0.5, 1.0)
MOST_ROWS = 4000
"""Rows whose left-out scores are compared where a penalty is chosen."""
MOST_LINKED = 5_000
"""Codes of a history from which others are foretold: the closed form takes the third power of their number in time
(half a minute of two cores for these) and the second in memory (200 MB a matrix). What is rarer than so many others
speaks of few patients, and the penalty would hold it near zero."""
Histories: TypeAlias = "np.ndarray | sparse.csr_array"
"""(N, F): float array, dense or sparse."""


def linked_codes(rows_with: np.ndarray) -> np.ndarray:
    """(L,) int64, ascending: the codes from which others are foretold. All, or of more than MOST_LINKED those that most
    rows have, the first of equals. rows_with (F,): training histories with each code."""
    by_frequency = np.argsort(-rows_with, kind="stable")[:MOST_LINKED]
    return np.sort(by_frequency)


def item_item_weights(
    history: Histories, following: Histories, penalty: float, *, zero_diagonal: bool = False
) -> np.ndarray:
    """(F, C) float32: the weights W. A feature that no training row has gets a row of zeros.

    history (N, F): what was before, as counts, 0 and 1 or weights of one's own; following (N, C): the codes of the next
    visit. `zero_diagonal`: code c's own weight is zero (F = C, the same codes in the same order), so that its score
    comes from other codes alone; the best weights under that constraint. Solved in float64 over the features that
    occur, whose number `linked_codes` bounds: 5,000 take 200 MB for each of three matrices. Raises UserError where the
    penalty is not above 0.
    """
    seen = _occurring(history)
    weights = np.zeros((history.shape[1], following.shape[1]), dtype=np.float32)
    if len(seen) == 0:
        return weights
    factor, cross = _normal_equations(history, following, penalty, seen)
    solution = cho_solve(factor, cross)
    if zero_diagonal:
        assert history.shape[1] == following.shape[1], "a diagonal wants the same codes on both sides"
        inverse = cho_solve(factor, np.eye(len(seen)))
        own = np.arange(len(seen))
        solution[:, seen] -= inverse * (solution[own, seen] / inverse[own, own])
        solution[own, seen] = 0.0
    weights[seen] = solution
    return weights


@dataclass(frozen=True, slots=True)
class LeftOutHistories:
    """Training rows so changed that the weights of all rows score them as if the row's patient had not been there:
    left-out scores = `history` @ W - `following`."""

    history: sparse.csr_array
    """(N, F)"""
    following: sparse.csr_array
    """(N, C)"""

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """(N, C) float32."""
        return np.asarray(self.history @ weights - self.following.toarray(), dtype=np.float32)


def leave_patients_out(
    history: Histories, following: Histories, penalty: float, patients: np.ndarray, wanted: np.ndarray | None = None
) -> LeftOutHistories:
    """Exact leave-one-patient-out scores without fitting again. Scores of rows that the weights were fitted on are too
    good: what is trained on top of them would trust them more than the scores of new patients deserve.

    With the rows b of one patient, H = X_b (X'X + penalty I)^-1 X_b' and residuals R = Y_b - X_b W, the weights without
    that patient leave the residuals (I - H)^-1 R; so with M = (I - H)^-1 - I the scores are (X_b + M X_b) W - M Y_b.

    history (N, F), following (N, C), the `penalty` of `item_item_weights`; patients (N,): equal values are one patient.
    wanted: the rows that will be scored, None: all; rows of other patients stay as they are.
    """
    history, following = sparse.csr_array(history), sparse.csr_array(following)
    seen = _occurring(history)
    if len(seen) == 0:
        return LeftOutHistories(history, following * 0.0)
    factor, _ = _normal_equations(history, following, penalty, seen)
    inverse = cho_solve(factor, np.eye(len(seen)), overwrite_b=True)
    compact = history[:, seen]
    order = np.argsort(patients, kind="stable")
    rows, columns, values = [], [], []
    is_wanted = np.isin(patients, patients if wanted is None else patients[wanted])
    order = order[is_wanted[order]]
    for own in np.split(order, np.flatnonzero(np.diff(patients[order])) + 1):
        part = compact[own]
        used = np.unique(part.indices)
        features = part[:, used].toarray().astype(np.float64)
        hat = features @ inverse[np.ix_(used, used)] @ features.T
        identity = np.eye(len(own))
        mixed = np.linalg.solve(identity - hat, identity) - identity
        rows.append(np.repeat(own, len(own)))
        columns.append(np.tile(own, len(own)))
        values.append(mixed.ravel())
    places = (np.concatenate(rows), np.concatenate(columns))
    mixing = sparse.csr_array((np.concatenate(values), places), shape=(len(patients), len(patients)))
    return LeftOutHistories(sparse.csr_array(history + mixing @ history), sparse.csr_array(mixing @ following))


def _occurring(history: Histories) -> np.ndarray:
    """The features that a row has."""
    return np.flatnonzero(np.asarray(abs(sparse.csr_array(history)).sum(axis=0)).ravel())


def _normal_equations(
    history: Histories, following: Histories, penalty: float, seen: np.ndarray
) -> tuple[tuple[np.ndarray, bool], np.ndarray]:
    """The Cholesky factor of X'X + penalty I, and X'Y, in float64, over the features `seen`."""
    if penalty <= 0:
        raise UserError(f"the penalty of item-item scores must be above 0, got {penalty}")
    compact = sparse.csr_array(history)[:, seen].astype(np.float64)
    gram = (compact.T @ compact).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    return cho_factor(gram, overwrite_a=True), (compact.T @ sparse.csr_array(following).astype(np.float64)).toarray()


def best_penalty(
    history: Histories, following: Histories, patients: np.ndarray, penalties: Sequence[float] = PENALTIES
) -> float:
    """Of `penalties` the one whose scores of left-out patients have the least squared error; the smallest of equals.

    history (N, F), following (N, C), patients (N,) as in `leave_patients_out`. Where there are more than MOST_ROWS
    rows, as many random ones are scored, with the weights of all.
    """
    history, following = sparse.csr_array(history), sparse.csr_array(following)
    scored = np.random.default_rng(0).permutation(history.shape[0])[:MOST_ROWS]
    wanted = following[scored].toarray()
    errors = [_error(history, following, patients, penalty, scored, wanted) for penalty in penalties]
    return float(penalties[int(np.argmin(errors))])


def best_event_weight(
    history: Histories,
    events: Histories,
    following: Histories,
    patients: np.ndarray,
    penalty: float,
    weights: Sequence[float] = EVENT_WEIGHTS,
) -> float:
    """By how much the columns of `events` (N, E) are to be scaled beside those of `history`: of `weights` the one whose
    scores of left-out patients have the least squared error, the smallest of equals; 0 reads no event. A weight w is a
    ridge of its own for events, penalty / w^2. Arguments as in `best_penalty`."""
    history, following = sparse.csr_array(history), sparse.csr_array(following)
    scored = np.random.default_rng(0).permutation(history.shape[0])[:MOST_ROWS]
    wanted = following[scored].toarray()
    errors = []
    for weight in weights:
        both = sparse.csr_array(sparse.hstack([history, weight * sparse.csr_array(events)])) if weight else history
        errors.append(_error(both, following, patients, penalty, scored, wanted))
    return float(weights[int(np.argmin(errors))])


def _error(
    history: sparse.csr_array,
    following: sparse.csr_array,
    patients: np.ndarray,
    penalty: float,
    scored: np.ndarray,
    wanted: np.ndarray,
) -> float:
    """The squared error of the rows `scored`, whose targets are `wanted`, each as if its patient had not been there."""
    left_out = leave_patients_out(history, following, penalty, patients, scored)
    part = LeftOutHistories(left_out.history[scored], left_out.following[scored])
    scores = part.scores(item_item_weights(history, following, penalty))
    return float(np.square(wanted - scores).sum())
