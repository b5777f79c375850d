"""What a practitioner does in a minute with notes: a dictionary of phrases, and linear models of words and letters.

Each is fitted on the training notes, its setting chosen on validation by mean average precision. N examples, C codes.
"""

from collections.abc import Sequence

import numpy as np

from bi_encoder.baselines.dictionary import Dictionary, PhraseCounts, known_phrases
from bi_encoder.baselines.retrieval_baselines import ChosenSetting, Ranking
from bi_encoder.baselines.word_features import Ridge, Svm, WordFeatures
from bi_encoder.evidence.attended_spans import EVIDENCE_CODES, EVIDENCE_ROWS
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import query_texts
from data.task import Task
from mera.evaluation.metrics import mean_average_precision

SMOOTHINGS = (0.5, 1.0, 2.0)
RIDGE_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
SVM_COSTS = (0.3, 1.0, 3.0)
MOST_NOTES = 20_000
"""Training notes that are read, the first ones: the linear models take the products of all pairs of them."""


def dictionary(task: Task) -> Ranking[ChosenSetting]:
    """Names of codes, and phrases that annotators marked or that mostly stand with a code, by their precision."""
    notes, targets = _texts(task, "train"), task.target_columns("train")[:MOST_NOTES]
    names, marked = all_names(task), _marked_words(task)
    phrases = known_phrases(names, notes, targets, marked)
    candidates, settings = {}, {}
    for negated in (False, True):
        counts = PhraseCounts.of(phrases, notes, targets, len(names), leave_out_negated=negated)
        for smoothing in SMOOTHINGS:
            name = f"smoothing {smoothing:g}, negated phrases {'left out' if negated else 'kept'}"
            candidates[name], settings[name] = counts.dictionary(smoothing), (negated, smoothing)
    validation = _texts(task, "validation")
    scores = {name: each.scores(validation) for name, each in candidates.items()}
    chosen, best = _choose(task, scores)
    test = candidates[best].scores(_texts(task, "test"))

    def of_fold(rows: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        read = rows[rows < len(notes)]
        known, true = [notes[row] for row in read], [targets[row] for row in read]
        spans = None if marked is None else [marked[row] for row in read]
        negated, smoothing = settings[best]
        known_of_fold = known_phrases(names, known, true, spans)
        counts = PhraseCounts.of(known_of_fold, known, true, len(names), leave_out_negated=negated)
        return counts.dictionary(smoothing).scores(texts)

    evidence = _evidence(task, candidates[best], test)
    return Ranking(validation=scores[best], test=test, chosen=chosen, of_fold=of_fold, evidence=evidence)


def words_and_letters(task: Task) -> Ranking[ChosenSetting]:
    """Ridge regression or support vector machines on TF-IDF of words and of letters."""
    notes = _texts(task, "train")
    features = WordFeatures(notes, min_rows=min(2, len(notes)))
    train, validation, test = (features(texts) for texts in (notes, _texts(task, "validation"), _texts(task, "test")))
    targets = task.targets("train")[:MOST_NOTES]
    kinds: dict[str, tuple[type[Ridge] | type[Svm], float]] = {
        f"ridge, penalty {penalty:g}": (Ridge, penalty) for penalty in RIDGE_PENALTIES
    }
    kinds |= {f"support vector machines, cost {cost:g}": (Svm, cost) for cost in SVM_COSTS}
    models = {name: kind(train, targets, strength) for name, (kind, strength) in kinds.items()}
    scores = {name: model.scores(validation) for name, model in models.items()}
    chosen, best = _choose(task, scores)

    def of_fold(rows: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        read = rows[rows < len(notes)]
        known = [notes[row] for row in read]
        words = WordFeatures(known, min_rows=min(2, len(known)))
        kind, strength = kinds[best]
        return kind(words(known), targets[read], strength).scores(words(texts))

    return Ranking(validation=scores[best], test=models[best].scores(test), chosen=chosen, of_fold=of_fold)


def _texts(task: Task, split: str) -> list[str]:
    texts = [query.text for query in query_texts(task, split)]
    return texts[:MOST_NOTES] if split == "train" else texts


def _marked_words(task: Task) -> list[list[tuple[int, str]]] | None:
    """For each training note (column, words) of its evidence; None where the task has none."""
    column, rows = task.column, task.splits["train"].select(range(min(MOST_NOTES, len(task.splits["train"]))))
    if "evidence" not in rows.column_names:
        return None
    marked: list[list[tuple[int, str]]] = []
    for text, evidence in zip(rows["text"], rows["evidence"], strict=True):
        spans = [span for span in evidence or () if span["code"] in column]
        marked.append([(column[span["code"]], text[span["start"] : span["end"]]) for span in spans])
    return marked if any(marked) else None


def _choose(task: Task, scores: dict[str, np.ndarray]) -> tuple[ChosenSetting, str]:
    """scores: setting -> (N, C) of validation."""
    targets = task.targets("validation")
    quality = {name: mean_average_precision(of_setting, targets) for name, of_setting in scores.items()}
    best = max(quality, key=lambda name: quality[name])
    read = min(MOST_NOTES, len(task.splits["train"]))
    return ChosenSetting(setting=best, training_notes=read, validation_map=quality), best


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
