"""What every model has to beat first: popularity, and the patient's own history.

Each function fits on a task and returns scores for the validation and the test split; larger is more likely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.task import Task
from data.task_folder.features import PatientRow
from mera.evaluation.metrics import f1, mean_over_rows, predict_label_count, rank_targets, row_recall
from mera.runs.fitted_contents import Contents
from rank.baselines.fitted.model import FittedBaseline
from rank.baselines.history_columns import HistoryColumns

EVALUATED = ("validation", "test")


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
