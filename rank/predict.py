"""Ranking patients with a trained checkpoint: `Ranker.load("runs/rank/checkpoint").rank([["428.0"], ["584.9"]])`."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task_folder.features import PatientRow, VisitRow
from mera.evaluation.coding_rules import CodingRules
from mera.language_models.code_tokens import EOV, CodeTokens, marker_id, token_ids
from mera.language_models.models import open_checkpoint
from mera.system.errors import UserError
from mera.system.terminal import progress_bar
from rank.candidate_head import read_candidates_only, score_prompts
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.decoding import decode, scores_of_decoded
from rank.patients.code_reader import CodeReader
from rank.patients.coding_check import RuleUse, check_sets
from rank.patients.event_reader import EventReader, split_events
from rank.patients.patient_frame import Frame, FrameColumns, as_given, as_polars, patients_of_frame
from rank.patients.patient_input import given_codes, read_age, read_days, read_sex, require_known, require_seen
from rank.patients.phenotypes import Phenotype, any_of
from rank.patients.trained_on import TrainedOn
from rank.prompt import Prompt, PromptBuilder
from rank.wide.recurrence import SeenCodes, add_recurrence, seen_codes
from rank.wide.storage import load_wide_part, save_wide_part
from rank.wide.wide_part import WideScorer

FILE_NAME, RECURRENCE_FILE, RULES_FILE = "ranking.json", "recurrence.npy", "rules.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedCode:
    code: str
    definition: str
    score: float
    """logit of the code's token, plus what the wide part says of the code (rank/wide)"""
    probability: float
    predicted: bool
    """the score is above the EOV threshold, and with `rules="apply"` the coding rules leave the code in the set"""
    known: bool
    """the code stands in the history"""
    rules: tuple[str, ...] | None = None
    """the coding rules that the code breaks in the predicted set; None where they were not asked for"""


class StoredParts(TypedDict):
    """What the checkpoint of every kind of ranker holds beside the model, its tokenizer and its candidates."""

    definitions: dict[str, str]
    prompt: PromptConfig
    rule: DecisionRule
    trained_on: TrainedOn
    rules: pl.DataFrame | None


class Ranker:
    """A model, its tokenizer, its candidates and its threshold: all that ranking a patient needs."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        candidates: Sequence[str],
        definitions: dict[str, str],
        prompt: PromptConfig,
        rule: DecisionRule,
        recurrence: np.ndarray,
        trained_on: TrainedOn | None = None,
        rules: pl.DataFrame | None = None,
        wide: WideScorer | None = None,
        events: Mapping[str, str] | None = None,
    ):
        """`model` reads candidates only (rank/candidate_head.py); `recurrence` (C, 3); `wide`: the full wide part of
        the model, if it has one; `trained_on`: None where nothing is known of it;
        `rules`: the coding rules of the candidates, as a prepared task has them; `events`: those with a token."""
        self.model, self.tokenizer = model, tokenizer
        self.candidates, self.definitions = list(candidates), definitions
        self.prompt, self.rule, self.recurrence = prompt, rule, recurrence
        self.wide = wide
        self.column = {code: index for index, code in enumerate(self.candidates)}
        self.trained_on = trained_on or TrainedOn()
        self.rule_table = rules if rules is not None and rules.height else None
        self.coding_rules = (
            None if self.rule_table is None else CodingRules.of(self.rule_table.iter_rows(), self.candidates)
        )
        self.reader = CodeReader(definitions, self.trained_on)
        self.builder = PromptBuilder(tokenizer, prompt, definitions, events)
        self.event_reader = EventReader(self.builder.events)

    @classmethod
    def load(cls, checkpoint: str | Path, device: str | None = None) -> "Ranker":
        """Read a checkpoint of rank/train.py, or the one in a run's folder. Raises ValueError where there is none."""
        path = Path(checkpoint)
        if (path / "checkpoint" / FILE_NAME).is_file():
            path = path / "checkpoint"
        if not (path / FILE_NAME).is_file():
            below = sorted(found.parent.parent for found in path.glob(f"*/*/checkpoint/{FILE_NAME}"))
            meant = f"; did you mean {below[0]}?" if below else ""
            raise UserError(
                f"{path} has no {FILE_NAME}: give a run of rank/train.py, or its checkpoint directory{meant}"
            )
        saved = json.loads((path / FILE_NAME).read_text(encoding="utf-8"))
        model, tokenizer = open_checkpoint(path, device)
        read_candidates_only(model, token_ids(tokenizer, saved["candidates"]), marker_id(tokenizer, EOV))
        model.eval()  # its new head too
        return cls(
            model,
            tokenizer,
            saved["candidates"],
            recurrence=np.load(path / RECURRENCE_FILE, allow_pickle=False),
            wide=load_wide_part(path),
            events=CodeTokens.load(path).events,
            **stored_parts(path, saved),
        )

    def save_settings(self, checkpoint: str | Path) -> None:
        """Write what `load` needs beside the model's own files."""
        np.save(Path(checkpoint) / RECURRENCE_FILE, self.recurrence)
        if self.wide is not None:
            save_wide_part(self.wide, checkpoint)
        self._write_settings(Path(checkpoint) / FILE_NAME)

    def _write_settings(self, path: Path, **more: object) -> None:
        """What `stored_parts` reads; `more`: settings that only this kind of ranker has."""
        settings = {
            "candidates": self.candidates,
            "prompt": asdict(self.prompt),
            "rule": asdict(self.rule),
            **more,
            "trained_on": asdict(self.trained_on),
        }
        if self.rule_table is not None:
            self.rule_table.write_parquet(path.with_name(RULES_FILE))
        path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    def add_definitions(self, definitions: Mapping[str, str]) -> None:
        """What prompts that write definitions shall say of codes without a token: those of a history that are no
        candidates. The definition of a code that has a token stays as it was trained."""
        self.builder.definitions = {**definitions, **self.builder.definitions}

    def prompts(self, rows: Sequence[PatientRow]) -> list[Prompt]:
        """What the model reads of rows as in a prepared task; `rank.prompt.reading_sentences` says what it does not."""
        return [self.builder.build(row) for row in rows]

    def score(
        self, rows: Sequence[PatientRow], batch_size: int = 64, prompts: Sequence[Prompt] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C) and EOV (N,) of rows as in a prepared task: one forward pass each. `prompts`: those of the
        rows, where they have been built."""
        ids = self._prompt_ids(rows, prompts)
        scores, eov = score_prompts(self.model, ids, self.tokenizer.pad_token_id, batch_size)
        if self.wide is not None:
            scores, eov = self.wide.add(scores, eov, [self.wide.tables.patient(row, self.column) for row in rows])
        return add_recurrence(scores, self._seen(rows), self.recurrence), eov

    def decode(
        self,
        rows: Sequence[PatientRow],
        batch_size: int = 64,
        max_codes: int = 40,
        prompts: Sequence[Prompt] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C) and thresholds (N,) by writing code after code until EOV (rank/decoding.py); `prompts` as in
        `score`."""
        ids, shape = self._prompt_ids(rows, prompts), (len(rows), len(self.candidates))
        bonus = np.zeros((len(rows), shape[1] + 1), dtype=np.float32)
        if self.wide is not None:
            bonus = self.wide.bonus([self.wide.tables.patient(row, self.column) for row in rows])
        add_recurrence(bonus, self._seen(rows), self.recurrence)
        gate = 1.0 if self.wide is None else float(self.wide.weights.gate[0])
        written, first_scores = [], np.empty(shape, dtype=np.float32)
        for start in progress_bar(range(0, len(rows), batch_size), "decoding", "batch"):
            batch = slice(start, start + batch_size)
            written_in_batch, first_scores[batch] = decode(
                self.model,
                ids[batch],
                bonus[batch],
                token_ids(self.tokenizer, self.candidates),
                self.rule,
                self.tokenizer.pad_token_id,
                max_codes,
                gate,
            )
            written += written_in_batch
        return scores_of_decoded(written, first_scores)

    def rank(
        self,
        history: Sequence[Sequence[str]],
        *,
        days_before: Sequence[str | float | None] | None = None,
        age: str | float | None = None,
        sex: str | None = None,
        text: str | None = None,
        top: int | None = None,
        allow_unknown: bool = False,
        rules: RuleUse = "none",
    ) -> list[RankedCode]:
        """All candidates (or the first `top`), most likely first. The arguments are as `row` and `ranked` take them."""
        row = self.row(history, days_before=days_before, age=age, sex=sex, text=text, allow_unknown=allow_unknown)
        return self.ranked([row], *self.score([row]), top=top, rules=rules)[0]

    def rank_frame(
        self,
        frame: Frame,
        *,
        patient: str,
        code: str,
        time: str,
        age: str | None = None,
        sex: str | None = None,
        at: datetime.date | int | None = None,
        top: int | None = 20,
        batch_size: int = 64,
        allow_unknown: bool = False,
        rules: RuleUse = "none",
    ) -> Frame:
        """The patients of a pandas or Polars frame, ranked: a frame of the same kind, with a row for each patient and
        code: `patient` as it was called, `place`, and the fields of `RankedCode`.

        `patient`, `code`, `time`, `age`, `sex`: columns, as `rank.patients.patient_frame.FrameColumns` describes them,
        `at` as `patients_of_frame` there. Raises UserError as these do, and as `row` does, naming the patient's number.
        """
        columns = FrameColumns(patient=patient, code=code, time=time, age=age, sex=sex)
        patients = patients_of_frame(as_polars(frame), columns, at)
        rows = []
        for number, each in enumerate(patients, start=1):
            try:
                rows.append(
                    self.row(
                        each.history,
                        days_before=each.days_before,
                        age=each.age,
                        sex=each.sex,
                        allow_unknown=allow_unknown,
                    )
                )
            except UserError as error:
                raise UserError(f"patient {number} of the frame: {error}") from None
        scores, eov = self.score(rows, batch_size)
        ranked = self.ranked(rows, scores, eov, top, rules)
        fields = [
            {patient: each.patient, "place": place, **asdict(one)}
            for each, codes in zip(patients, ranked, strict=True)
            for place, one in enumerate(codes, start=1)
        ]
        table = pl.DataFrame(fields, infer_schema_length=None)
        return as_given(table.drop("rules") if rules == "none" and fields else table, frame)

    def row(
        self,
        history: Sequence[Sequence[str]],
        *,
        days_before: Sequence[str | float | None] | None = None,
        age: str | float | None = None,
        sex: str | None = None,
        text: str | None = None,
        allow_unknown: bool = False,
    ) -> PatientRow:
        """A patient as a row of a prepared task has it.

        `history`: visits, oldest first, each a list of codes, written with or without a dot, and for a model of events
        of those too (`drug:furosemide`); `days_before`: one whole number per visit, which must not ascend; `age`: whole
        years; `sex`: `F` or `M`; `text`: a note.

        Raises ValueError where nothing at all is given, a value is none of these, there are events and the model reads
        none, it does not know most of the codes, or has never seen a note or a history that is given; of these last,
        `allow_unknown` makes warnings.
        """
        text = text if text and text.strip() else None
        given = [split_events(visit) for visit in given_codes(history)]
        visits = self.reader.visits([codes for codes, _ in given])
        events = self.event_reader.visits([events for _, events in given])
        if not any(visits) and not any(events) and text is None and age is None and sex is None:
            raise UserError("nothing to rank from: give a history, a note, or at least age and sex")
        days = [None] * len(visits) if days_before is None else read_days(days_before, len(visits))
        require_seen(self.reader, history=any(visits), note=text is not None, allow_unknown=allow_unknown)
        require_known(self.reader, visits, allow_unknown=allow_unknown)
        past = [VisitRow(codes=codes, days_before=day) for codes, day in zip(visits, days, strict=True)]
        if self.builder.events:
            for visit, told in zip(past, events, strict=True):
                visit["events"] = told
        return {"age": read_age(age), "sex": read_sex(sex), "history": past, "text": text}

    def ranked(
        self,
        rows: Sequence[PatientRow],
        scores: np.ndarray,
        eov: np.ndarray,
        top: int | None = None,
        rules: RuleUse = "none",
    ) -> list[list[RankedCode]]:
        """Each row's candidates (or the first `top`), most likely first, from what `score` found.

        `rules`: `check` marks the coding rules that a predicted set breaks, `apply` also takes away the codes that are
        wrong by them (`mera.evaluation.coding_rules.mend`). Raises UserError where the checkpoint holds none.
        """
        probabilities, thresholds = self.rule.probabilities(scores, eov), self.rule.thresholds(scores, eov)
        checked = check_sets(rows, scores, scores > thresholds[:, None], self.coding_rules, rules)
        ranked = []
        for index, row in enumerate(rows):
            known = {code for visit in row["history"] or [] for code in visit["codes"]}
            order = np.argsort(-scores[index], kind="stable")[:top]
            ranked.append(
                [
                    RankedCode(
                        code=self.candidates[column],
                        definition=self.definitions[self.candidates[column]],
                        score=float(scores[index, column]),
                        probability=float(probabilities[index, column]),
                        predicted=bool(checked.predicted[index, column]),
                        known=self.candidates[column] in known,
                        rules=None if rules == "none" else tuple(checked.marks[index].get(int(column), ())),
                    )
                    for column in order
                ]
            )
        return ranked

    def phenotype_probabilities(self, phenotype: Phenotype, scores: np.ndarray, eov: np.ndarray) -> np.ndarray:
        """(N,) probability that any code under the phenotype's prefixes comes next, from what `score` found."""
        return any_of(self.rule.probabilities(scores, eov), phenotype.columns(self.candidates))

    def _prompt_ids(self, rows: Sequence[PatientRow], prompts: Sequence[Prompt] | None) -> list[list[int]]:
        return [prompt.ids for prompt in (self.prompts(rows) if prompts is None else prompts)]

    def _seen(self, rows: Sequence[PatientRow]) -> list[SeenCodes]:
        return [seen_codes(row["history"], self.column) for row in rows]


def stored_parts(checkpoint: Path, saved: Mapping[str, Any]) -> StoredParts:
    """`saved`: the settings in the checkpoint, as JSON has them."""
    rules = checkpoint / RULES_FILE
    return StoredParts(
        definitions=CodeTokens.load(checkpoint).definitions,
        prompt=PromptConfig(**saved["prompt"]),
        rule=DecisionRule(**saved["rule"]),
        trained_on=TrainedOn.read(saved.get("trained_on", {})),
        rules=pl.read_parquet(rules) if rules.is_file() else None,
    )
