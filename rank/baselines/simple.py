"""What every model has to beat: popularity, the patient's own history, and a linear model, without a training loop.
RETAIN and a Transformer encoder are in rank/baselines/neural.

Each function fits on a task and returns scores for the validation and the test split; larger is more likely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from data.task import Task
from data.task_folder.features import PatientRow
from mera.evaluation.metrics import (
    f1,
    mean_over_rows,
    predict_label_count,
    rank_targets,
    recall_at_k,
    row_recall,
    telling_k,
)
from mera.runs.fitted_contents import Contents
from rank.baselines.fitted.model import FittedBaseline
from rank.baselines.history_columns import HistoryColumns
from rank.patients.visit_events import events_of

EVALUATED = ("validation", "test")
RIDGE_PENALTIES = (10.0, 100.0, 1000.0)
MAX_WORDS = 4000
UNKNOWN_AGE = 60


@dataclass(frozen=True, slots=True)
class BaselineScores:
    """(N, C) float32 for each evaluated split, and what was chosen on validation."""

    validation: np.ndarray
    test: np.ndarray
    chosen: Mapping[str, float | str]
    training: list[dict[str, float]] | None = None
    """the losses and validation recalls of a model that trains, epoch by epoch"""
    model: FittedBaseline | None = None
    """what scored them, and scores others; None where it is not kept"""


def scored_by(
    model: FittedBaseline,
    task: Task,
    chosen: Mapping[str, float | str],
    training: list[dict[str, float]] | None = None,
) -> BaselineScores:
    validation, test = (model.scores(list(task.splits[split])) for split in EVALUATED)
    return BaselineScores(validation=validation, test=test, chosen=chosen, training=training, model=model)


@dataclass(frozen=True, kw_only=True)
class Popularity:
    """Every patient gets the codes in the order of their frequency among the training targets (log of count + 1)."""

    log_prior: np.ndarray
    """(C,) float32"""
    kind = "popularity"

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        return np.tile(self.log_prior, (len(rows), 1))

    def contents(self) -> Contents:
        return Contents(settings={}, arrays={"log_prior": self.log_prior})

    @classmethod
    def from_contents(cls, contents: Contents, _: HistoryColumns) -> "Popularity":
        return cls(log_prior=contents.arrays["log_prior"])


def popularity(task: Task) -> BaselineScores:
    """See `Popularity`."""
    return scored_by(Popularity(log_prior=task.log_prior), task, {})


@dataclass(frozen=True, kw_only=True)
class OwnHistory:
    """The number of earlier visits with the code; ties, and codes never seen, by popularity."""

    columns: HistoryColumns
    log_prior: np.ndarray
    """(C,) float32"""
    kind = "own-history"

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        tie_break = 0.5 * self.log_prior / max(float(self.log_prior.max()), 1.0)
        scores: np.ndarray = _visit_counts(rows, self.columns.of_candidates) + tie_break
        return scores

    def contents(self) -> Contents:
        return Contents(settings={}, arrays={"log_prior": self.log_prior})

    @classmethod
    def from_contents(cls, contents: Contents, columns: HistoryColumns) -> "OwnHistory":
        return cls(columns=columns, log_prior=contents.arrays["log_prior"])


def own_history(task: Task) -> BaselineScores:
    """See `OwnHistory`."""
    return scored_by(OwnHistory(columns=HistoryColumns.of_task(task), log_prior=task.log_prior), task, {})


@dataclass(frozen=True, kw_only=True)
class LinearFeatures:
    """What the linear model reads: visits with each code, the last visit's codes, the same of events where there are
    any, age, sex, and TF-IDF of the words of a note where the task has notes."""

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

    def of(self, rows: Sequence[PatientRow]) -> np.ndarray:
        """(N, K) float32, K features."""
        ages = [UNKNOWN_AGE if row["age"] is None else row["age"] for row in rows]
        age = np.array(ages, dtype=np.float32)[:, None] / 100
        female = np.array([row["sex"] == "F" for row in rows], dtype=np.float32)[:, None]
        blocks: list[np.ndarray] = [age, female]
        if self.reads_history:
            codes = self.columns.of_codes
            blocks += [np.log1p(_visit_counts(rows, codes)), _last_visit(rows, codes)]
        if self.columns.events:
            events = self.columns.of_events
            blocks += [np.log1p(_event_counts(rows, events)), _event_counts(rows, events, last=True)]
        if self.words is not None:
            blocks.append(self.words.transform([row["text"] or "" for row in rows]).toarray())
        return np.hstack(blocks)


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
        scores: np.ndarray = (self.features.of(rows) @ self.weights.T + self.intercepts).astype(np.float32)
        return scores

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
    of_train, of_validation = (features.of(list(task.splits[split])) for split in ("train", "validation"))
    targets = task.targets("train").astype(np.float32)
    best: tuple[float, float, Ridge] | None = None
    for penalty in RIDGE_PENALTIES:
        # Penalties are for a few thousand rows; scaling keeps them meaningful for a hundred or a hundred thousand.
        scaled = penalty * len(targets) / 10_000
        model = Ridge(alpha=scaled, solver="cholesky").fit(of_train, targets)
        recall = recall_at_k(model.predict(of_validation), task.targets("validation"), telling_k(len(task.codes)))
        if best is None or recall > best[0]:
            best = (recall, scaled, model)
    assert best is not None, "there is at least one penalty"
    _, penalty, model = best
    weights, intercepts = (np.asarray(part, dtype=np.float32) for part in (model.coef_, model.intercept_))
    fitted = Linear(features=features, weights=weights.reshape(len(task.codes), -1), intercepts=intercepts)
    return scored_by(fitted, task, {"ridge_penalty": penalty})


def choice_quality(scores: np.ndarray, targets: np.ndarray) -> float:
    """What weights and objectives are chosen by on validation: the mean of recall@10, recall@20 and weighted F1 at
    label count. Where there are few candidates, recall@20 alone sees nearly all of them.

    scores (N, C), targets (N, C) bool.
    """
    ranking = rank_targets(scores, targets, 20)
    predicted = np.zeros_like(targets)
    np.put_along_axis(predicted, ranking.top, predict_label_count(ranking), axis=1)
    recalls = [mean_over_rows(row_recall(ranking, k)) for k in (10, 20)]
    return float(np.mean([*recalls, f1(predicted, targets, "weighted")]))


def has_history(task: Task) -> bool:
    return any(len(history) for history in task.splits["train"]["history"])


def _visit_counts(rows: Sequence[PatientRow], column: Mapping[str, int]) -> np.ndarray:
    counts = np.zeros((len(rows), len(column)), dtype=np.float32)
    for number, row in enumerate(rows):
        for visit in row["history"]:
            counts[number, [column[code] for code in set(visit["codes"]) if code in column]] += 1
    return counts


def _last_visit(rows: Sequence[PatientRow], column: Mapping[str, int]) -> np.ndarray:
    present = np.zeros((len(rows), len(column)), dtype=np.float32)
    for number, row in enumerate(rows):
        if row["history"]:
            present[number, [column[code] for code in row["history"][-1]["codes"] if code in column]] = 1
    return present


def _event_counts(rows: Sequence[PatientRow], columns: Mapping[str, int], last: bool = False) -> np.ndarray:
    """(N, E) float32: visits of the history with each event, or of its last visit alone."""
    counts = np.zeros((len(rows), len(columns)), dtype=np.float32)
    for number, row in enumerate(rows):
        for visit in row["history"][-1:] if last else row["history"]:
            counts[number, events_of(visit, columns)] += 1
    return counts
