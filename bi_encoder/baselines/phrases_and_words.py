"""What a practitioner does in a minute with notes: a dictionary of phrases, and linear models of words and letters.

Each is fitted on the training notes, its setting chosen on validation by mean average precision. With `refit` the model
of that setting that scores test is fitted again, on the notes of train and validation. N examples, C codes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from bi_encoder.baselines.dictionary import Dictionary, PhraseCounts
from bi_encoder.baselines.notes import Notes, texts_of
from bi_encoder.baselines.phrase_trees import FOLDS, PhraseTrees
from bi_encoder.baselines.phrases.finder import MatchRule, PhraseFinder
from bi_encoder.baselines.phrases.known import known_phrases
from bi_encoder.baselines.retrieval_baselines import ChosenSetting, Ranking
from bi_encoder.baselines.word_features import Ridge, Svm, WordFeatures, WordModel
from bi_encoder.evidence.attended_spans import EVIDENCE_CODES, EVIDENCE_ROWS
from bi_encoder.index.word_translation import learn_meanings
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import query_texts
from data.task import Task
from mera.evaluation.fusion_trees import ROUNDS
from mera.evaluation.metrics import mean_average_precision

SMOOTHINGS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
RIDGE_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
SVM_COSTS = (0.3, 1.0, 3.0)
FITTED_ON, REFITTED_ON = ("train",), ("train", "validation")
MOST_NOTES_OF_TREES = 5_000
"""Training notes that the phrase trees read: some 20 ms for each with 60,000 phrases."""


def dictionary(task: Task, refit: bool = False) -> Ranking[ChosenSetting]:
    """Names of codes, and phrases that annotators marked or that mostly stand with a code, by their precision."""
    notes, names = Notes.of(task, FITTED_ON), all_names(task)
    settings = {
        _in_words(rule, smoothing): (rule, smoothing)
        for rule in (MatchRule(longest, negated) for longest in (False, True) for negated in (False, True))
        for smoothing in SMOOTHINGS
    }
    chosen, scores = _choose(task, notes, _of_each_setting(task, notes, names, settings))

    def fitted(read: Notes) -> Dictionary:
        rule, smoothing = settings[chosen.setting]
        return Dictionary.fit(names, read.texts, read.targets, read.marked, smoothing=smoothing, rule=rule)

    read = Notes.of(task, REFITTED_ON) if refit else notes
    model = fitted(read)
    test = model.scores(texts_of(task, "test"))
    return Ranking(
        validation=scores,
        test=test,
        model=model,
        chosen=replace(chosen, training_notes=len(read)),
        of_fold=lambda rows, texts: fitted(notes.of_rows(rows)).scores(texts),
        evidence=_evidence(task, model, test),
    )


def words_and_letters(task: Task, refit: bool = False) -> Ranking[ChosenSetting]:
    """Ridge regression or support vector machines on TF-IDF of words and of letters."""
    notes, num_codes = Notes.of(task, FITTED_ON), len(task.codes)
    kinds: dict[str, tuple[type[Ridge] | type[Svm], float]] = {
        f"ridge, penalty {penalty:g}": (Ridge, penalty) for penalty in RIDGE_PENALTIES
    }
    kinds |= {f"support vector machines, cost {cost:g}": (Svm, cost) for cost in SVM_COSTS}

    def fitted(read: Notes, settings: Iterable[str]) -> Iterator[WordModel]:
        """The model of each setting, fitted on `read`."""
        words = WordFeatures.fit(read.texts, min_rows=min(2, len(read.texts)))
        known = words(read.texts)
        true = np.zeros((len(read.texts), num_codes), dtype=bool)
        for row, columns in enumerate(read.targets):
            true[row, columns] = True
        for kind, strength in map(kinds.__getitem__, settings):
            yield WordModel(words=words, linear=kind.fit(known, true, strength))

    validation = texts_of(task, "validation")
    of_each = ((name, model.scores(validation)) for name, model in zip(kinds, fitted(notes, kinds), strict=True))
    chosen, scores = _choose(task, notes, of_each)
    read = Notes.of(task, REFITTED_ON) if refit else notes
    model = next(fitted(read, [chosen.setting]))
    return Ranking(
        validation=scores,
        test=model.scores(texts_of(task, "test")),
        model=model,
        chosen=replace(chosen, training_notes=len(read)),
        of_fold=lambda rows, texts: next(fitted(notes.of_rows(rows), [chosen.setting])).scores(texts),
    )


def phrase_trees(task: Task, refit: bool = False) -> Ranking[ChosenSetting]:
    """The dictionary's phrases, in whatever order and with whatever endings, weighed by boosted trees."""
    names, meanings = all_names(task), learn_meanings(task.translations)
    notes = Notes.of(task, FITTED_ON, joined=True, most=MOST_NOTES_OF_TREES)
    model = PhraseTrees.fit(names, notes, meanings)
    setting = f"{ROUNDS} trees, {FOLDS} folds"
    chosen, validation = _choose(task, notes, [(setting, model.scores(texts_of(task, "validation")))])
    read = notes
    if refit:
        read = Notes.of(task, REFITTED_ON, joined=True, most=MOST_NOTES_OF_TREES)
        model = PhraseTrees.fit(names, read, meanings)
    test = model.scores(texts_of(task, "test"))
    return Ranking(
        validation=validation,
        test=test,
        model=model,
        chosen=replace(chosen, training_notes=len(read)),
        of_fold=lambda rows, texts: PhraseTrees.fit(names, notes.of_rows(rows), meanings).scores(texts),
        evidence=_evidence(task, model, test),
    )


def _of_each_setting(
    task: Task, notes: Notes, names: Sequence[Sequence[str]], settings: Mapping[str, tuple[MatchRule, float]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Each setting with its scores of validation; the notes are searched once for each rule."""
    phrases = known_phrases(names, notes.texts, notes.targets, notes.marked)
    finder, validation = PhraseFinder(phrases), texts_of(task, "validation")
    for rule, of_rule in groupby(settings, key=lambda name: settings[name][0]):
        counts = PhraseCounts.of(phrases, notes.texts, notes.targets, notes.marked, len(names), rule, finder)
        found = [finder.phrases_in(text, rule) for text in validation]
        for name in of_rule:
            yield name, counts.dictionary(settings[name][1]).scores_of(found)


def _in_words(rule: MatchRule, smoothing: float) -> str:
    counted = "the longest phrases alone" if rule.longest_alone else "phrases in one another too"
    return f"smoothing {smoothing:g}, {counted}, negated ones {'left out' if rule.leave_out_negated else 'kept'}"


def _choose(task: Task, notes: Notes, scores: Iterable[tuple[str, np.ndarray]]) -> tuple[ChosenSetting, np.ndarray]:
    """scores: settings, fitted on `notes`, with (N, C) of validation, of which the best are returned; no more than two
    are in memory."""
    targets = task.targets("validation")
    quality: dict[str, float] = {}
    best, best_scores = "", np.zeros(0)
    for name, of_setting in scores:
        quality[name] = mean_average_precision(of_setting, targets)
        if not best or quality[name] > quality[best]:
            best, best_scores = name, of_setting
    return ChosenSetting(setting=best, training_notes=len(notes), validation_map=quality), best_scores


def _evidence(
    task: Task, fitted: Dictionary | PhraseTrees, scores: np.ndarray
) -> dict[str, dict[str, list[list[int]]]] | None:
    """scores (N, C): places of the best codes of the first rows, in the note alone."""
    evidence = {}
    for row, query in enumerate(query_texts(task, "test")[:EVIDENCE_ROWS]):
        if query.note_start is None:
            continue
        best = np.argsort(-scores[row], kind="stable")[:EVIDENCE_CODES]
        spans = fitted.evidence(query.text[query.note_start :], best)
        evidence[str(row)] = {
            task.codes[column]: [[span.start, span.end] for span in of_code]
            for column, of_code in zip(best, spans, strict=True)
            if of_code
        }
    return evidence or None
