"""A linear model of the input: ridge regression in closed form, one output per code.

Shape suffixes: N rows, K features, C candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from sklearn.feature_extraction.text import TfidfVectorizer

from data.task import Task
from data.task_folder.features import PatientRow
from mera.evaluation.metrics import recall_at_k, telling_k
from mera.runs.fitted_contents import Contents
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.history_matrices import HistoryMatrices, history_matrices, task_matrices
from rank.baselines.simple import BaselineScores, has_history, scored_by
from rank.patients.visit_events import events_of

RIDGE_PENALTIES = (10.0, 100.0, 1000.0)
MAX_WORDS = 4000
UNKNOWN_AGE = 60


@dataclass(frozen=True, kw_only=True)
class LinearFeatures:
    """What the linear model reads: visits with each code, the last visit's codes, the same of events where there are
    any, age, sex, and TF-IDF of the words of a note where the task has notes. Of very many codes the linked ones
    (rank/baselines/history_columns.py)."""

    columns: HistoryColumns
    reads_history: bool
    words: TfidfVectorizer | None

    @classmethod
    def of_task(cls, task: Task) -> "LinearFeatures":
        notes = [text for text in task.splits["train"]["text"] if text]
        words = None
        if notes:
            words = TfidfVectorizer(max_features=MAX_WORDS, ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
            words.fit(notes)
        return cls(columns=HistoryColumns.of_task(task), reads_history=has_history(task), words=words)

    def of(self, rows: Sequence[PatientRow], matrices: HistoryMatrices | None = None) -> sparse.csr_array:
        """(N, K) float32. `matrices`: those of the rows, where they are at hand."""
        matrices = history_matrices(rows, self.columns) if matrices is None else matrices
        ages, female = np.nan_to_num(matrices.age, nan=UNKNOWN_AGE) / 100, np.nan_to_num(matrices.female)
        blocks = [sparse.csr_array(np.column_stack([ages, female]))]
        if self.reads_history:
            blocks += [matrices.linked_counts.log1p(), matrices.linked_last]
        if self.columns.events:
            blocks += [_event_counts(rows, self.columns.of_events).log1p(), matrices.last_events]
        if self.words is not None:
            blocks.append(sparse.csr_array(self.words.transform([row["text"] or "" for row in rows])))
        return sparse.csr_array(sparse.hstack(blocks))


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A weighted sum of features for each code."""

    features: LinearFeatures
    weights: np.ndarray
    """(C, K) float32"""
    intercepts: np.ndarray
    """(C,) float32"""
    kind = "linear"

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        scores: np.ndarray = self.features.of(rows) @ self.weights.T + self.intercepts
        return scores.astype(np.float32, copy=False)

    def contents(self) -> Contents:
        arrays, lists, words = {"weights": self.weights, "intercepts": self.intercepts}, {}, self.features.words
        if words is not None:
            lists["words"] = words.get_feature_names_out().tolist()
            arrays["word_weights"] = words.idf_
        return Contents(settings={"reads_history": self.features.reads_history}, arrays=arrays, lists=lists)

    @classmethod
    def from_contents(cls, contents: Contents, columns: HistoryColumns) -> "Linear":
        words = None
        if "words" in contents.lists:
            words = TfidfVectorizer(
                vocabulary=contents.lists["words"], ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32
            )
            words.idf_ = contents.arrays["word_weights"]
        features = LinearFeatures(columns=columns, reads_history=bool(contents.settings["reads_history"]), words=words)
        return cls(features=features, weights=contents.arrays["weights"], intercepts=contents.arrays["intercepts"])


def linear(task: Task) -> BaselineScores:
    """Closed-form ridge regression from the input (`LinearFeatures`) to the target codes, one output per code. The
    penalty is chosen by recall@20 (of few candidates `telling_k`) on validation."""
    features = LinearFeatures.of_task(task)
    train = task_matrices(task, "train", features.columns)
    of_train = features.of(list(task.splits["train"]), train)
    of_validation = features.of(list(task.splits["validation"]))
    wanted, k = task.targets("validation"), telling_k(len(task.codes))
    equations = RidgeEquations.of(of_train, train.targets)
    best: tuple[float, float, Linear] | None = None
    for penalty in RIDGE_PENALTIES:
        # Penalties are for a few thousand rows; scaling keeps them meaningful for a hundred or a hundred thousand.
        scaled = penalty * of_train.shape[0] / 10_000
        weights, intercepts = equations.solved(scaled)
        recall = recall_at_k(of_validation @ weights.T + intercepts, wanted, k)
        if best is None or recall > best[0]:
            best = (recall, scaled, Linear(features=features, weights=weights, intercepts=intercepts))
    assert best is not None, "there is at least one penalty"
    _, penalty, fitted = best
    return scored_by(fitted, task, {"ridge_penalty": penalty})


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeEquations:
    """Normal equations of sparse features, made once for all penalties: no (N, K) or (N, C) matrix is dense, so that a
    hundred thousand rows take the memory of one. The intercepts are not penalised: features and targets are taken as
    differences from their means."""

    gram: np.ndarray
    """(K, K) float64"""
    cross: np.ndarray
    """(K, C) float64"""
    mean_features: np.ndarray
    """(K,)"""
    mean_targets: np.ndarray
    """(C,)"""

    @classmethod
    def of(cls, features: sparse.csr_array, targets: sparse.csr_array) -> "RidgeEquations":
        """features (N, K), targets (N, C)"""
        features, targets = features.astype(np.float64), targets.astype(np.float64)
        mean_features, mean_targets = (np.asarray(each.mean(axis=0)).ravel() for each in (features, targets))
        gram, cross = (features.T @ features).toarray(), (features.T @ targets).toarray()
        gram -= np.outer(features.shape[0] * mean_features, mean_features)
        cross -= np.outer(features.shape[0] * mean_features, mean_targets)
        return cls(gram=gram, cross=cross, mean_features=mean_features, mean_targets=mean_targets)

    def solved(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """weights (C, K) and intercepts (C,), float32"""
        penalised = self.gram.copy()
        penalised[np.diag_indices_from(penalised)] += penalty
        weights = cho_solve(cho_factor(penalised, overwrite_a=True), self.cross)
        intercepts = self.mean_targets - self.mean_features @ weights
        return np.ascontiguousarray(weights.T, dtype=np.float32), intercepts.astype(np.float32)


def _event_counts(rows: Sequence[PatientRow], columns: Mapping[str, int]) -> sparse.csr_array:
    """(N, E) float32: of each row the visits with each event."""
    numbers = [[number for visit in row["history"] for number in events_of(visit, columns)] for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in numbers], dtype=np.int64)])
    joined = np.fromiter((number for row in numbers for number in row), dtype=np.int64, count=starts[-1])
    counts = sparse.csr_array((np.ones(len(joined), dtype=np.float32), joined, starts), shape=(len(rows), len(columns)))
    counts.sum_duplicates()
    return counts
