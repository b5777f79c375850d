"""Predictions that a simple model is sure of and nobody coded, each made without the patient it is about.

The patients of all splits are dealt into FOLDS; for each fold a ridge regression on hashed words of the note, or on the
codes of the history, learns from the others and scores it. Sure are the highest scores of a code, as many as have nine
in ten right; those among them that are not coded are places to look: a missing code, or one left out on purpose.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from data.task import SPLITS, Task

FOLDS = 5
PRECISION = 0.9
MOST_EXAMPLES, MOST_CODES, FEWEST_EXAMPLES = 10_000, 300, 20
FEATURES = 1 << 11
_PENALTY = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Confident:
    """Sure predictions."""

    examples: int
    codes: int
    """Codes that were predicted: those with FEWEST_EXAMPLES examples, at most MOST_CODES."""
    sure: int
    not_coded: int
    by_code: dict[str, tuple[int, int]]
    """Code -> sure predictions of it and those that are not coded, where there are some, the most first."""


def confident_predictions(task: Task) -> Confident | None:
    """Of at most MOST_EXAMPLES examples; None where no code has FEWEST_EXAMPLES of them."""
    rows = [row for name in SPLITS for row in task.splits[name]]
    rows = sorted(rows, key=lambda row: hashlib.sha256(row["example_id"].encode()).digest())[:MOST_EXAMPLES]
    column = task.column
    pairs = [(place, column[code]) for place, row in enumerate(rows) for code in row["targets"] if code in column]
    counts = np.bincount([code for _, code in pairs], minlength=len(column))
    chosen = np.argsort(-counts, kind="stable")[:MOST_CODES]
    chosen = chosen[counts[chosen] >= FEWEST_EXAMPLES]
    if not len(chosen):
        return None
    place_of = {int(code): place for place, code in enumerate(chosen)}
    coded_NC = np.zeros((len(rows), len(chosen)), dtype=bool)
    for row_number, code in pairs:
        if code in place_of:
            coded_NC[row_number, place_of[code]] = True
    folds = np.array([int(hashlib.sha256(row["patient_id"].encode()).hexdigest(), 16) % FOLDS for row in rows])
    scores_NC = out_of_fold_scores(_features(rows), coded_NC, folds)
    sure_NC = sure_predictions(scores_NC, coded_NC)
    missing_C = (sure_NC & ~coded_NC).sum(axis=0)
    order = [place for place in np.argsort(-missing_C, kind="stable") if missing_C[place]]
    return Confident(
        examples=len(rows),
        codes=len(chosen),
        sure=int(sure_NC.sum()),
        not_coded=int(missing_C.sum()),
        by_code={task.codes[chosen[place]]: (int(sure_NC[:, place].sum()), int(missing_C[place])) for place in order},
    )


def out_of_fold_scores(features: sp.csr_matrix, coded_NC: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(N, C) float32: scores of each row by the ridge regression of the other folds; -inf where there is no other."""
    scores_NC = np.full(coded_NC.shape, -np.inf, dtype=np.float32)
    for fold in np.unique(folds):
        test, train = folds == fold, folds != fold
        if not train.any():
            continue
        known, targets = features[train], coded_NC[train].astype(np.float32)
        gram = (known.T @ known).toarray() + _PENALTY * np.eye(known.shape[1], dtype=np.float32)
        weights = np.linalg.solve(gram, np.asarray(known.T @ targets))
        scores_NC[test] = features[test] @ weights
    return scores_NC


def sure_predictions(scores_NC: np.ndarray, coded_NC: np.ndarray) -> np.ndarray:
    """(N, C) bool: the highest scores of each code, the most of them among which PRECISION are coded."""
    order_NC = np.argsort(-scores_NC, axis=0, kind="stable")
    hits_NC = np.cumsum(np.take_along_axis(coded_NC, order_NC, axis=0), axis=0)
    rank_N1 = np.arange(1, len(scores_NC) + 1)[:, None]
    last_C = np.where(hits_NC >= PRECISION * rank_N1, rank_N1, 0).max(axis=0)
    sure_NC = np.zeros(scores_NC.shape, dtype=bool)
    np.put_along_axis(sure_NC, order_NC, rank_N1 <= last_C, axis=0)
    return sure_NC


def _features(rows: list[dict]) -> sp.csr_matrix:  # type: ignore[type-arg]  # rows of datasets have no types
    """(N, FEATURES) float32: tf-idf of the note's words and of the codes before, hashed."""
    texts = [
        " ".join([row["text"] or "", *(f"dx_{code}" for visit in row["history"] or [] for code in visit["codes"])])
        for row in rows
    ]
    hashed = HashingVectorizer(
        n_features=FEATURES, alternate_sign=False, norm=None, token_pattern=r"[^\s,;:()]+", dtype=np.float32
    ).transform(texts)
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(hashed).astype(np.float32)
    return sp.csr_matrix(weighted)
