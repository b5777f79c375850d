"""Ranking a task's candidates for a note: `NoteRanker.load("runs/laa_mrl").rank(text="Flash pulmonary edema.")`.

N texts, C candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NotRequired

import numpy as np

from bi_encoder.evidence.attended_spans import Span
from bi_encoder.inputs.texts import SEX_WORDS, ExampleRow, query_text
from bi_encoder.search.note_prediction.scorers.open_scorer import open_scorer
from bi_encoder.search.note_prediction.scorers.scorer import NoteScorer
from bi_encoder.search.note_prediction.texts_of_codes import TextsOfCodes
from data.cohorts.notes.plain_text import PlainText, plain_text
from data.cohorts.notes.text_rules import clean_note
from data.table_files.meanings import LARGEST_AGE
from data.task import Task
from mera.system.errors import UserError
from mera.system.terminal import progress_bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """probability = sigmoid(slope * (score - threshold) + intercept)."""

    slope: float
    intercept: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedNoteCode:
    code: str
    definition: str
    score: float
    """As the run scores: of a bi-encoder the cosine divided by the temperature, with its prior."""
    probability: float | None
    """None where the run fitted no calibration."""
    predicted: bool
    """The score is above the run's threshold."""
    known: bool | None
    """The code stands in the history; None where there is none, as beside a note."""
    evidence: tuple[Span, ...]
    """Where in the note it was found; empty where the model cannot say, or without a note."""


class NoteRow(ExampleRow):
    """An example, whose `text` is plain."""

    kept: NotRequired[PlainText | None]
    """Of a note as records keep it, how `text` was made of it; a prepared task has plain notes alone."""


class NoteRanker:
    """A model of notes (or histories) with the candidates of its task and its calibration."""

    def __init__(
        self,
        scorer: NoteScorer,
        codes: Sequence[str],
        definitions: Sequence[str],
        *,
        ontology: str | None = None,
        edition: str | None = None,
        reads: str | None = None,
        met: Mapping[str, bool] | None = None,
        calibration: Calibration | None = None,
        text_rules: str | None = None,
    ):
        """codes, definitions (C). `reads`: `coding` for notes, `diagnosis` for histories; None where nothing is known
        of it. `ontology`: of the codes that histories may have beside the candidates; `edition`: what its edition is
        called. `met`: whether the run's patients had an `age`, a `sex`; empty where nothing is known of it;
        `text_rules`: by which its notes were cleaned (`data.cohorts.notes.text_rules`)."""
        self.scorer, self.codes, self.definitions = scorer, list(codes), list(definitions)
        self.met = met or {}
        self.predicted_above: float | None = None
        """A probability of one's own above which codes are predicted; None: the run's threshold."""
        self.reads, self.calibration, self.ontology, self.edition = reads, calibration, ontology, edition
        self.text_rules = text_rules
        self.texts = TextsOfCodes(self.codes, self.definitions, ontology)

    @classmethod
    def load(cls, source: str | Path, task: Task | None = None) -> "NoteRanker":
        """A run on notes (`open_scorer`), or a bi-encoder's checkpoint or an export of it. `task`: where the
        candidates are taken from where there is a checkpoint alone. Raises UserError where they are nowhere, or another
        task's."""
        opened = open_scorer(source, task)
        about_task, calibration = opened.facts.get("task"), opened.facts.get("calibration")
        about_task = about_task if isinstance(about_task, dict) else {}
        return cls(
            opened.scorer,
            opened.candidates["code"].to_list(),
            [text or "" for text in opened.candidates["definition"]],
            ontology=_text(about_task.get("ontology")),
            edition=_text(about_task.get("edition")),
            reads=_text(about_task.get("kind")),
            met=opened.met,
            calibration=Calibration(**calibration) if isinstance(calibration, Mapping) else None,
            text_rules=_text(about_task.get("text_rules")),
        )

    def rank(
        self,
        history: Sequence[Sequence[str]] = (),
        *,
        days_before: Sequence[int | None] | None = None,
        age: int | None = None,
        sex: str | None = None,
        text: str | None = None,
        top: int | None = None,
        allow_unknown: bool = False,
    ) -> list[RankedNoteCode]:
        """All candidates (or the first `top`), most likely first, for one note, or one history where there is none.
        Raises UserError as `row` does."""
        row = self.row(history, days_before=days_before, age=age, sex=sex, text=text, allow_unknown=allow_unknown)
        return self.rank_rows([row], top)[0]

    def row(
        self,
        history: Sequence[Sequence[str]] = (),
        *,
        days_before: Sequence[int | None] | None = None,
        age: int | None = None,
        sex: str | None = None,
        text: str | None = None,
        allow_unknown: bool = False,
    ) -> NoteRow:
        """`history`: visits, oldest first, each a list of codes, written with or without a dot. Raises UserError where
        there is neither note nor history, an age or a sex is none, a code is none of the model's edition, or the model
        was trained without what is given (unless `allow_unknown`)."""
        kept = None if text is None else clean_note(plain_text(text), self.text_rules)
        note = kept.text if kept is not None and kept.text.strip() else None
        visits = [[self.texts.read(code) for code in visit if code.strip()] for visit in history]
        if note is None and not any(visits):
            empty = "the note is empty" if text is not None else "give a note or a history"
            raise UserError(f"nothing to rank from: {empty}")
        if age is not None and not 0 <= age <= LARGEST_AGE:
            raise UserError(f"an age is 0 to {LARGEST_AGE} years")
        if sex not in (None, *SEX_WORDS):
            raise UserError("a sex is F or M, or left out where it is unknown")
        if not allow_unknown:
            given = {"age": age is not None, "sex": sex is not None}
            never = [name for name, is_given in given.items() if is_given and self.met.get(name) is False]
            if never:
                raise UserError(f"the model was trained on notes without {' and '.join(never)}; leave it out")
            if self.reads == "coding" and any(visits) and note is not None:
                raise UserError("the model was trained on notes, and reads no history beside one; leave --history out")
            if self.reads == "coding" and note is None:
                raise UserError("the model was trained on notes, and there is none: give one with --text or --file")
            if self.reads == "diagnosis" and note is not None:
                raise UserError("the model was trained on histories, so it cannot read a note: give --history")
        days = [None] * len(visits) if days_before is None else list(days_before)
        if len(days) != len(visits):
            raise UserError(f"there are {len(days)} numbers of days for {len(visits)} visits")
        return {
            "age": age,
            "sex": sex,
            "text": note,
            "history": [{"codes": codes, "days_before": day} for codes, day in zip(visits, days, strict=True)],
            "kept": kept,
        }

    def rank_rows(
        self, rows: Sequence[NoteRow], top: int | None = None, batch_size: int = 16, progress: str | None = None
    ) -> list[list[RankedNoteCode]]:
        """Each row's candidates (or the first `top`), most likely first. Notes that a model reads for their evidence
        too go one after the other, each read once; others `batch_size` at a time. `progress` names a progress bar."""
        if not self.scorer.reads_for_evidence or not any(row["text"] for row in rows):
            return self.ranked(rows, self.score(rows, batch_size, progress), top)
        with self.scorer.reading_once():
            return [self.ranked([row], self.score([row]), top)[0] for row in progress_bar(rows, progress, "note")]

    def score(self, rows: Sequence[NoteRow], batch_size: int = 16, progress: str | None = None) -> np.ndarray:
        """(N, C) float32. `progress` names a progress bar."""
        return self.scorer.scores([query_text(row, self.texts) for row in rows], batch_size, progress)

    def ranked(self, rows: Sequence[NoteRow], scores: np.ndarray, top: int | None = None) -> list[list[RankedNoteCode]]:
        """As `rank_rows`, with scores (N, C) as `score` has them. Evidence points into a note as it was kept."""
        return [self._ranked(row, scores[number], top) for number, row in enumerate(rows)]

    def _ranked(self, row: NoteRow, scores: np.ndarray, top: int | None) -> list[RankedNoteCode]:
        """scores (C,)."""
        order = np.argsort(-scores, kind="stable")[:top]
        kept, query = row.get("kept"), query_text(row, self.texts)
        known = {code for visit in row["history"] for code in visit["codes"]}
        return [
            RankedNoteCode(
                code=self.codes[column],
                definition=self.definitions[column],
                score=float(scores[column]),
                probability=self._probability(float(scores[column])),
                predicted=self._is_predicted(float(scores[column])),
                known=self.codes[column] in known if row["history"] else None,
                evidence=tuple(span if kept is None else _in_original(kept, span) for span in spans),
            )
            for column, spans in zip(order.tolist(), self.scorer.evidence(query, order), strict=True)
        ]

    @property
    def least_probability(self) -> float | None:
        """Above which a code is predicted; None where the run fitted no calibration."""
        return self._probability(self.scorer.threshold or 0.0) if self.predicted_above is None else self.predicted_above

    def _is_predicted(self, score: float) -> bool:
        if self.predicted_above is not None:
            return (self._probability(score) or 0.0) > self.predicted_above
        return self.scorer.threshold is not None and score > self.scorer.threshold

    def predict_above(self, probability: float) -> None:
        """Raises UserError where the run fitted no calibration, and so has no probabilities."""
        if self.calibration is None or self.scorer.threshold is None:
            raise UserError("the model has no calibration, and so no probabilities; leave --threshold out")
        self.predicted_above = probability

    def _probability(self, score: float) -> float | None:
        if self.calibration is None or self.scorer.threshold is None:
            return None
        margin = score - self.scorer.threshold
        return float(1.0 / (1.0 + np.exp(-(self.calibration.slope * margin + self.calibration.intercept))))


def _in_original(note: PlainText, span: Span) -> Span:
    start, end = note.original(span.start, span.end)
    return replace(span, start=start, end=end)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
