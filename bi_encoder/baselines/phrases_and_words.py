"""What a practitioner does in a minute with notes: a dictionary of phrases, and linear models of words and letters.

Each is fitted on the training notes, its setting chosen on validation by mean average precision. With `refit` the model
of that setting that scores test is fitted again, on the notes of train and validation. N examples, C codes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from bi_encoder.baselines.dictionary import Dictionary, PhraseCounts, known_phrases
from bi_encoder.baselines.retrieval_baselines import ChosenSetting, Ranking
from bi_encoder.baselines.word_features import Ridge, Svm, WordFeatures
from bi_encoder.evidence import EVIDENCE_CODES, EVIDENCE_ROWS
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import query_texts
from data.task import Task
from mera.evaluation.metrics import mean_average_precision

SMOOTHINGS = (0.5, 1.0, 2.0)
RIDGE_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
SVM_COSTS = (0.3, 1.0, 3.0)
FITTED_ON, REFITTED_ON = ("train",), ("train", "validation")
MOST_NOTES = 20_000
"""Training notes that are read, the first ones: the linear models take the products of all pairs of them."""


def dictionary(task: Task, refit: bool = False) -> Ranking[ChosenSetting]:
    """Names of codes, and phrases that annotators marked or that mostly stand with a code, by their precision."""
    candidates = _dictionaries(task, FITTED_ON)
    validation = _texts(task, "validation")
    scores = {name: each.scores(validation) for name, each in candidates.items()}
    chosen, best = _choose(task, scores, refit)
    fitted = _dictionaries(task, REFITTED_ON)[best] if refit else candidates[best]
    test = fitted.scores(_texts(task, "test"))
    return Ranking(validation=scores[best], test=test, chosen=chosen, evidence=_evidence(task, fitted, test))


def words_and_letters(task: Task, refit: bool = False) -> Ranking[ChosenSetting]:
    """Ridge regression or support vector machines on TF-IDF of words and of letters."""
    features, models = _linear_models(task, FITTED_ON)
    validation = features(_texts(task, "validation"))
    scores = {name: model().scores(validation) for name, model in models.items()}
    chosen, best = _choose(task, scores, refit)
    if refit:
        features, models = _linear_models(task, REFITTED_ON)
    return Ranking(validation=scores[best], test=models[best]().scores(features(_texts(task, "test"))), chosen=chosen)


def _dictionaries(task: Task, splits: Sequence[str]) -> dict[str, Dictionary]:
    """Setting -> the dictionary of the notes of `splits`."""
    notes = _texts(task, *splits)
    targets = [row for split in splits for row in task.target_columns(split)][:MOST_NOTES]
    names = all_names(task)
    phrases = known_phrases(names, notes, targets, _marked_words(task, splits))
    dictionaries = {}
    for negated in (False, True):
        counts = PhraseCounts.of(phrases, notes, targets, len(names), leave_out_negated=negated)
        for smoothing in SMOOTHINGS:
            name = f"smoothing {smoothing:g}, negated phrases {'left out' if negated else 'kept'}"
            dictionaries[name] = counts.dictionary(smoothing)
    return dictionaries


def _linear_models(task: Task, splits: Sequence[str]) -> tuple[WordFeatures, dict[str, Callable[[], Ridge | Svm]]]:
    """The features of the notes of `splits`, and setting -> what fits its model on them."""
    notes = _texts(task, *splits)
    features = WordFeatures(notes, min_rows=min(2, len(notes)))
    read = features(notes)
    targets = np.concatenate([task.targets(split) for split in splits])[:MOST_NOTES]
    models: dict[str, Callable[[], Ridge | Svm]] = {
        f"ridge, penalty {penalty:g}": partial(Ridge, read, targets, penalty) for penalty in RIDGE_PENALTIES
    }
    models |= {f"support vector machines, cost {cost:g}": partial(Svm, read, targets, cost) for cost in SVM_COSTS}
    return features, models


def _texts(task: Task, *splits: str) -> list[str]:
    """Of several splits one after the other; no more than MOST_NOTES to fit on."""
    texts = [query.text for split in splits for query in query_texts(task, split)]
    return texts[:MOST_NOTES] if "train" in splits else texts


def _marked_words(task: Task, splits: Sequence[str]) -> list[list[tuple[int, str]]] | None:
    """For each note of `splits` (column, words) of its evidence; None where the task has none."""
    column = task.column
    marked: list[list[tuple[int, str]]] = []
    for split in splits:
        rows = task.splits[split].select(range(min(MOST_NOTES, len(task.splits[split]))))
        if "evidence" not in rows.column_names:
            return None
        for text, evidence in zip(rows["text"], rows["evidence"], strict=True):
            spans = [span for span in evidence or () if span["code"] in column]
            marked.append([(column[span["code"]], text[span["start"] : span["end"]]) for span in spans])
    return marked[:MOST_NOTES] if any(marked) else None


def _choose(task: Task, scores: dict[str, np.ndarray], refit: bool) -> tuple[ChosenSetting, str]:
    """scores: setting -> (N, C) of validation."""
    targets = task.targets("validation")
    quality = {name: mean_average_precision(of_setting, targets) for name, of_setting in scores.items()}
    best = max(quality, key=lambda name: quality[name])
    read = sum(len(task.splits[split]) for split in (REFITTED_ON if refit else FITTED_ON))
    return ChosenSetting(setting=best, training_notes=min(MOST_NOTES, read), validation_map=quality), best


def _evidence(task: Task, fitted: Dictionary, scores: np.ndarray) -> dict[str, dict[str, list[list[int]]]] | None:
    """scores (N, C): places of the best codes of the first rows, in the note alone."""
    evidence = {}
    for row, query in enumerate(query_texts(task, "test")[:EVIDENCE_ROWS]):
        if query.note_start is None:
            continue
        spans = fitted.spans(query.text[query.note_start :])
        best = np.argsort(-scores[row], kind="stable")[:EVIDENCE_CODES]
        places = {column: [[span.start, span.end] for span in spans if span.column == column] for column in best}
        evidence[str(row)] = {task.codes[column]: of_code for column, of_code in places.items() if of_code}
    return evidence or None
