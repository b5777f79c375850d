"""Ranking a task's candidates for a note: `NoteRanker.load("runs/laa_mrl").rank(text="Flash pulmonary edema.")`.

N texts, C candidates, V vectors of candidates, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from bi_encoder.checkpoint import ModelRecord, load_bi_encoder
from bi_encoder.evidence.attended_spans import Span, evidence_spans
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.texts import ExampleRow, QueryText, query_text
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_as_recorded, reading_once, score_texts
from bi_encoder.scoring.prior import Prior
from bi_encoder.scoring.similarities import CodeVectors
from bi_encoder.search.note_prediction.run_parts import find_parts
from bi_encoder.search.note_prediction.texts_of_codes import TextsOfCodes
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
    """Cosine similarity divided by the temperature, with the popularity prior."""
    probability: float | None
    """None where the run fitted no calibration."""
    predicted: bool
    """The score is above the run's threshold."""
    known: bool
    """The code stands in the history."""
    evidence: tuple[Span, ...]
    """Where in the note the model looked; empty without label attention or without a note."""


class NoteRanker:
    """A bi-encoder with the candidates of its task: their vectors, its prior, its threshold and its calibration."""

    def __init__(
        self,
        model: BiEncoder,
        record: ModelRecord,
        vectors: CodeVectors,
        definitions: Sequence[str],
        train_counts: np.ndarray,
        *,
        ontology: str | None = None,
        edition: str | None = None,
        reads: str | None = None,
        calibration: Calibration | None = None,
    ):
        """definitions (C), train_counts (C,) int. `reads`: `coding` for notes, `diagnosis` for histories; None where
        nothing is known of it. `ontology`: of the codes that histories may have beside the candidates; `edition`: what
        its edition is called."""
        self.model, self.record, self.vectors = model.eval(), record, vectors
        self.codes, self.definitions = list(record.codes), list(definitions)
        self.reads, self.calibration, self.ontology, self.edition = reads, calibration, ontology, edition
        self.texts = TextsOfCodes(self.codes, self.definitions, ontology)
        prior = Prior(weight=record.prior_weight, offsets=record.prior_offsets)
        self.prior = prior.of_codes(train_counts)
        """(C,) float32"""

    @classmethod
    def load(cls, source: str | Path, task: Task | None = None) -> "NoteRanker":
        """A run of bi_encoder/train.py, its checkpoint or an export of it. `task`: where its candidates are to be taken
        from, instead of the run's folder. Raises UserError where they are nowhere, or another task's."""
        parts = find_parts(source)
        model, record = load_bi_encoder(parts.checkpoint, None if task is None else task.codes)
        facts = parts.facts()
        about_task, calibration = facts.get("task"), facts.get("calibration")
        about_task = about_task if isinstance(about_task, dict) else {}
        if task is not None:
            table, about_task = task.code_table, dict(task.info)
            vectors = embed_as_recorded(model, task, record)
        else:
            if not parts.candidates.is_file() or not parts.index.is_file():
                raise UserError(
                    f"{source} holds the model alone, without the candidates that its run has; give the run's folder, "
                    "or the task that it was trained on with --task"
                )
            table = pl.read_parquet(parts.candidates)
            index = CodeIndex.load(parts.index, model_fingerprint=model.fingerprint(), codes=record.codes)
            owner = torch.from_numpy(index.groups.owner.astype(np.int64)).to(model.device)
            vectors = CodeVectors(embeddings=torch.from_numpy(index.embeddings).to(model.device), owner=owner)
        return cls(
            model,
            record,
            vectors,
            [text or "" for text in table["definition"]],
            table["train_count"].to_numpy(),
            ontology=_text(about_task.get("ontology")),
            edition=_text(about_task.get("edition")),
            reads=_text(about_task.get("kind")),
            calibration=Calibration(**calibration) if isinstance(calibration, Mapping) else None,
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
    ) -> ExampleRow:
        """`history`: visits, oldest first, each a list of codes, written with or without a dot. Raises UserError where
        there is neither note nor history, the model was trained on the other of them (unless `allow_unknown`), or a
        code is none of the model's edition."""
        note = text if text is not None and text.strip() else None
        visits = [[self.texts.read(code) for code in visit if code.strip()] for visit in history]
        if note is None and not any(visits):
            raise UserError("nothing to rank from: give a note or a history")
        if not allow_unknown:
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
        }

    def rank_rows(
        self, rows: Sequence[ExampleRow], top: int | None = None, batch_size: int = 16, progress: str | None = None
    ) -> list[list[RankedNoteCode]]:
        """Each row's candidates (or the first `top`), most likely first. Notes with label attention, which reads them
        for their evidence too, one after the other, each read once; others `batch_size` at a time. `progress` names a
        progress bar."""
        if self.model.attention is None or not any(row["text"] for row in rows):
            return self.ranked(rows, self.score(rows, batch_size, progress), top)
        with reading_once(self.model):
            return [self.ranked([row], self.score([row]), top)[0] for row in progress_bar(rows, progress, "note")]

    def score(self, rows: Sequence[ExampleRow], batch_size: int = 16, progress: str | None = None) -> np.ndarray:
        """(N, C) float32, with the popularity prior. `progress` names a progress bar."""
        record = self.record
        texts = [query.text for query in map(self._query, rows)]
        windows = tokenize_windows(self.model.tokenizer, texts, record.max_query_tokens, record.window_overlap)
        width = self.model.hidden_size
        scores: np.ndarray = score_texts(
            self.model,
            windows,
            self.vectors.embeddings,
            widths=[width],
            temperature=record.temperature,
            overlap=record.window_overlap,
            rerank=record.rerank_candidates,
            owner=None if self.vectors.is_one_each else self.vectors.owner,
            rerank_views=record.rerank_views,
            definition_weight=record.definition_weight,
            batch_size=batch_size,
            progress=progress,
        )[width]
        return scores + self.prior

    def ranked(
        self, rows: Sequence[ExampleRow], scores: np.ndarray, top: int | None = None
    ) -> list[list[RankedNoteCode]]:
        """Each row's candidates (or the first `top`), most likely first; scores (N, C) as `score` has them."""
        return [self._ranked(row, scores[number], top) for number, row in enumerate(rows)]

    def _ranked(self, row: ExampleRow, scores: np.ndarray, top: int | None) -> list[RankedNoteCode]:
        """scores (C,)."""
        order = np.argsort(-scores, kind="stable")[:top]
        threshold = np.inf if self.record.threshold is None else self.record.threshold
        known = {code for visit in row["history"] for code in visit["codes"]}
        return [
            RankedNoteCode(
                code=self.codes[column],
                definition=self.definitions[column],
                score=float(scores[column]),
                probability=self._probability(float(scores[column])),
                predicted=bool(scores[column] > threshold),
                known=self.codes[column] in known,
                evidence=tuple(spans),
            )
            for column, spans in zip(order.tolist(), self._evidence(row, order), strict=True)
        ]

    def _evidence(self, row: ExampleRow, columns: np.ndarray) -> list[list[Span]]:
        query = self._query(row)
        if self.model.attention is None or query.note_start is None or not len(columns):
            return [[] for _ in columns]
        vectors = self.vectors.of_codes(columns)
        return evidence_spans(
            self.model,
            query,
            vectors.embeddings,
            max_tokens=self.record.max_query_tokens,
            overlap=self.record.window_overlap,
            owner=vectors.owner,
        )

    def _query(self, row: ExampleRow) -> QueryText:
        return query_text(row, self.texts)

    def _probability(self, score: float) -> float | None:
        if self.calibration is None or self.record.threshold is None:
            return None
        margin = score - self.record.threshold
        return float(1.0 / (1.0 + np.exp(-(self.calibration.slope * margin + self.calibration.intercept))))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
