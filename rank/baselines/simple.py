"""What every model has to beat: popularity, the patient's own history, and a linear model, without a training loop.
RETAIN and a Transformer encoder are in rank/baselines/neural.py.

Each function returns scores for the validation and the test split; larger is more likely.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from data.task import Task
from mera.evaluation.metrics import f1, mean_over_rows, predict_label_count, rank_targets, recall_at_k, row_recall
from rank.patients.visit_events import event_columns, events_of

EVALUATED = ("validation", "test")
RIDGE_PENALTIES = (10.0, 100.0, 1000.0)
MAX_WORDS = 4000


@dataclass(frozen=True, slots=True)
class BaselineScores:
    """(N, C) float32 for each evaluated split, and what was chosen on validation."""

    validation: np.ndarray
    test: np.ndarray
    chosen: Mapping[str, float | str]
    training: list[dict[str, float]] | None = None
    """the losses and validation recalls of a model that trains, epoch by epoch"""


def popularity(task: Task) -> BaselineScores:
    """Every patient gets the codes in the order of their frequency among the training targets (log of count + 1)."""
    prior = task.log_prior
    scores = {split: np.tile(prior, (len(task.splits[split]), 1)) for split in EVALUATED}
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen={})


def own_history(task: Task) -> BaselineScores:
    """The number of earlier visits with the code; ties, and codes never seen, by popularity."""
    prior = task.log_prior
    tie_break = 0.5 * prior / max(float(prior.max()), 1.0)
    scores = {split: _visit_counts(task, split, task.column) + tie_break for split in EVALUATED}
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen={})


def linear(task: Task) -> BaselineScores:
    """Closed-form ridge regression from the input to the target codes (one output per code).

    Features: visits with each code (`history_columns`), the last visit's codes, the same of events where the task has
    any, age, sex, and TF-IDF of the words of a note where the task has notes. The penalty is chosen by recall@20 on
    validation.
    """
    vectorizer = _fit_words(task)
    column = history_columns(task)
    features = {split: _features(task, split, column, vectorizer) for split in ("train", *EVALUATED)}
    targets = task.targets("train").astype(np.float32)
    best: tuple[float, float, Ridge] | None = None
    for penalty in RIDGE_PENALTIES:
        # Penalties are for a few thousand rows; scaling keeps them meaningful for a hundred or a hundred thousand.
        scaled = penalty * len(targets) / 10_000
        model = Ridge(alpha=scaled, solver="cholesky").fit(features["train"], targets)
        recall = recall_at_k(model.predict(features["validation"]), task.targets("validation"), 20)
        if best is None or recall > best[0]:
            best = (recall, scaled, model)
    assert best is not None, "there is at least one penalty"
    _, penalty, model = best
    scores = {split: model.predict(features[split]).astype(np.float32) for split in EVALUATED}
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen={"ridge_penalty": penalty})


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


def history_columns(task: Task) -> dict[str, int]:
    """code -> column of what the linear and the neural baselines read: the candidates in their order, then the other
    codes that a history of train holds.

    A code that only histories of test hold has no column: nothing could be learnt of it.
    """
    others = set(task.other_code_table["code"])
    trained: set[str] = set()
    if others:
        trained = {code for row in task.splits["train"]["history"] for visit in row for code in visit["codes"]}
    return {code: column for column, code in enumerate([*task.codes, *sorted(trained & others)])}


def has_history(task: Task) -> bool:
    return any(len(history) for history in task.splits["train"]["history"])


def _visit_counts(task: Task, split: str, column: Mapping[str, int]) -> np.ndarray:
    counts = np.zeros((len(task.splits[split]), len(column)), dtype=np.float32)
    for row, history in enumerate(task.splits[split]["history"]):
        for visit in history:
            counts[row, [column[code] for code in set(visit["codes"]) if code in column]] += 1
    return counts


def _last_visit(task: Task, split: str, column: Mapping[str, int]) -> np.ndarray:
    present = np.zeros((len(task.splits[split]), len(column)), dtype=np.float32)
    for row, history in enumerate(task.splits[split]["history"]):
        if history:
            present[row, [column[code] for code in history[-1]["codes"] if code in column]] = 1
    return present


def _event_counts(task: Task, split: str, columns: Mapping[str, int], last: bool = False) -> np.ndarray:
    """(N, E) float32: visits of the history with each event, or of its last visit alone."""
    counts = np.zeros((len(task.splits[split]), len(columns)), dtype=np.float32)
    for row, history in enumerate(task.splits[split]["history"]):
        for visit in history[-1:] if last else history:
            counts[row, events_of(visit, columns)] += 1
    return counts


def _fit_words(task: Task) -> TfidfVectorizer | None:
    notes = [text for text in task.splits["train"]["text"] if text]
    if not notes:
        return None
    return TfidfVectorizer(max_features=MAX_WORDS, ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32).fit(notes)


def _features(task: Task, split: str, column: Mapping[str, int], vectorizer: TfidfVectorizer | None) -> np.ndarray:
    rows = task.splits[split]
    age = np.array([value if value is not None else 60 for value in rows["age"]], dtype=np.float32)[:, None] / 100
    female = np.array([value == "F" for value in rows["sex"]], dtype=np.float32)[:, None]
    blocks: list[np.ndarray] = [age, female]
    if has_history(task):
        blocks += [np.log1p(_visit_counts(task, split, column)), _last_visit(task, split, column)]
    events = event_columns(task)
    if events:
        blocks += [np.log1p(_event_counts(task, split, events)), _event_counts(task, split, events, last=True)]
    if vectorizer is not None:
        blocks.append(vectorizer.transform([text or "" for text in rows["text"]]).toarray())
    return np.hstack(blocks)
