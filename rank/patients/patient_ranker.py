"""What ranks patients, whatever it is made of: a language model, a baseline, several of them fused."""

import datetime
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import polars as pl

from data.cohorts.notes.plain_text import plain_text
from data.cohorts.notes.text_rules import clean_text
from data.task_folder.features import PatientRow, VisitRow
from mera.evaluation.coding_rules import CodingRules
from mera.system.errors import UserError
from mera.system.terminal import progress_bar
from rank.decision import DecisionRule
from rank.patients.code_reader import CodeReader
from rank.patients.coding_check import CheckedSets, RuleUse, check_sets
from rank.patients.event_reader import EventReader
from rank.patients.notices import InputNotice
from rank.patients.patient_frame import Frame, FrameColumns, as_given, as_polars, no_answer, patients_of_frame
from rank.patients.patient_input import (
    NO_USABLE_CODE,
    GivenVisits,
    read_age,
    read_days,
    read_sex,
    require_known,
    require_seen,
)
from rank.patients.phenotypes import Phenotype, any_of
from rank.patients.reasons import Reason, strongest, without_each_part
from rank.patients.trained_on import TrainedOn

SETTINGS_FILE, RULES_FILE = "ranking.json", "rules.parquet"

Tell = Callable[[str], None]
"""Takes a sentence that a user should read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedCode:
    code: str
    definition: str
    score: float
    """larger is more likely; of stage two the logit of the code's token, plus what the wide part says (rank/wide)"""
    probability: float
    predicted: bool
    """the score is above the threshold (of stage two EOV's), and with `rules="apply"` the coding rules leave the code
    in the set"""
    known: bool
    """the code stands in the history"""
    rules: tuple[str, ...] | None = None
    """the coding rules that the code breaks in the predicted set; None where they were not asked for"""
    because: tuple[Reason, ...] | None = None
    """what of the patient changes the probability most; None where it was not asked for"""


class PatientRanker(ABC):
    """Its candidates, what it was trained on, and the rule of its decisions: all but the model that scores.

    N patients, C candidates.
    """

    called: str
    """Such as `LightGBM on pairs`."""
    reads_unknown_codes = "so it makes nothing of them"
    """What becomes of codes of a history that the model does not know."""
    predicted_above: float | None = None
    """A probability of one's own above which codes are predicted; None: the model's, fitted on validation."""

    def __init__(
        self,
        candidates: Sequence[str],
        definitions: Mapping[str, str],
        rule: DecisionRule,
        trained_on: TrainedOn | None = None,
        rules: pl.DataFrame | None = None,
        events: Mapping[str, str] | None = None,
    ):
        """`definitions`: of all codes that the model reads; `trained_on`: None where nothing is known of it; `rules`:
        the coding rules of the candidates, as a prepared task has them; `events`: event -> name of those that the
        model reads."""
        self.candidates, self.definitions, self.rule = list(candidates), {**definitions}, rule
        self.column = {code: index for index, code in enumerate(self.candidates)}
        self.trained_on = trained_on or TrainedOn()
        self.rule_table = rules if rules is not None and rules.height else None
        self.coding_rules = (
            None if self.rule_table is None else CodingRules.of(self.rule_table.iter_rows(), self.candidates)
        )
        self.reader = CodeReader(self.definitions, self.trained_on)
        self.events = {**(events or {})}
        self.event_reader = EventReader(self.events)

    @abstractmethod
    def score(
        self, rows: Sequence[PatientRow], batch_size: int = 64, tell: Tell | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C) and EOV (N,) of rows as in a prepared task; zeros for the EOV of a model without. `tell` takes
        what the model does not read of the rows, in sentences."""

    @property
    def reads_past_notes(self) -> bool:
        return False

    def add_definitions(self, definitions: Mapping[str, str]) -> None:  # noqa: B027  most models read no definition
        """What a model that reads definitions shall read of codes that it does not know: those of a history that are
        no candidates. Its own stay."""

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
        explain: bool = False,
    ) -> list[RankedCode]:
        """All candidates (or the first `top`), most likely first. The arguments are as `row` and `ranked` take them."""
        row = self.row(history, days_before=days_before, age=age, sex=sex, text=text, allow_unknown=allow_unknown)
        left_out = None if allow_unknown else self.given(history).left_out_sentence
        for sentence in filter(None, (left_out, self.unknown_codes_of(row))):
            warnings.warn(sentence, InputNotice, stacklevel=2)
        return self.ranked([row], *self.score([row], tell=_warn), top=top, rules=rules, explain=explain)[0]

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
        `at` as `patients_of_frame` there. Raises UserError as these do, and as `row` does, naming the patient's number,
        and where `patient` has the name of a column of the answer.
        """
        answered = ("place", *(part.name for part in fields(RankedCode)))
        if patient in answered:
            raise UserError(f"the answer has a column {patient!r} of its own; rename that of the patients")
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
        left_out = sum(len(each.history) - len(row["history"]) for each, row in zip(patients, rows, strict=True))
        unknown = self.reader.unknown(visit["codes"] for row in rows for visit in row["history"])
        told = {
            f"{left_out:,} visits of the frame {NO_USABLE_CODE}": left_out,
            f"{len(unknown):,} codes of the frame are not among the model's, {self.reads_unknown_codes}": len(unknown),
        }
        for sentence in (sentence for sentence, number in told.items() if number):
            warnings.warn(sentence, InputNotice, stacklevel=2)
        if batch_size < 1:
            raise UserError(f"batch_size must be 1 or more, got {batch_size}")
        scores, eov = self.score(rows, batch_size, _warn)
        ranked = self.ranked(rows, scores, eov, top, rules)
        found = [
            {patient: each.patient, "place": place, **asdict(one)}
            for each, codes in zip(patients, ranked, strict=True)
            for place, one in enumerate(codes, start=1)
        ]
        table = pl.DataFrame(found, infer_schema_length=None) if found else no_answer(patient)
        return as_given(table.drop("because", *(["rules"] if rules == "none" else [])), frame)

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
        of those too (`drug:furosemide`); those without any (`GivenVisits.usable`) are left out; `days_before`: one
        whole number per visit, which must not ascend; `age`: whole years; `sex`: `F` or `M`; `text`: a note.

        Raises UserError where nothing at all is given, a value is none of these, there are events and the model reads
        none, it does not know most of the codes, or has never seen a note or a history that is given; of these last,
        `allow_unknown` makes warnings.
        """
        text = clean_text(plain_text(text or "").text, self.trained_on.text_rules)
        text = text if text.strip() else None
        given = self.given(history)
        visits = given.codes
        if not any(visits) and not any(given.events) and text is None and age is None and sex is None:
            raise UserError("nothing to rank from: give a history, a note, or at least age and sex")
        days = [None] * len(visits) if days_before is None else read_days(days_before, len(visits))
        require_seen(self.reader, history=any(visits), note=text is not None, allow_unknown=allow_unknown)
        require_known(self.reader, visits, allow_unknown=allow_unknown)
        past = [VisitRow(codes=codes, days_before=day) for codes, day in zip(visits, days, strict=True)]
        if self.events:
            for visit, told in zip(past, given.events, strict=True):
                visit["events"] = told
        usable = past if allow_unknown else [past[number] for number in given.usable]
        return {"age": read_age(age), "sex": read_sex(sex), "history": usable, "text": text}

    def given(self, history: Sequence[Sequence[str]]) -> GivenVisits:
        """The visits as they are read; raises UserError as `row` does."""
        return GivenVisits.read(history, self.reader, self.event_reader)

    def unknown_codes_of(self, row: PatientRow) -> str | None:
        """A sentence that names the codes of one patient's history that the model does not know; None without any."""
        unknown = sorted(set(self.reader.unknown(visit["codes"] for visit in row["history"])))
        return f"not among the model's codes, {self.reads_unknown_codes}: {', '.join(unknown)}" if unknown else None

    def ranked(
        self,
        rows: Sequence[PatientRow],
        scores: np.ndarray,
        eov: np.ndarray,
        top: int | None = None,
        rules: RuleUse = "none",
        explain: bool = False,
    ) -> list[list[RankedCode]]:
        """Each row's candidates (or the first `top`), most likely first, from what `score` found.

        `rules`: `check` marks the coding rules that a predicted set breaks, `apply` also takes away the codes that are
        wrong by them (`mera.evaluation.coding_rules.mend`). `explain`: with the reasons of each code
        (`rank.patients.reasons`), for which the model reads a patient once more for each code of the history. Raises
        UserError where the checkpoint holds no rules, or `top` is below 1.
        """
        if top is not None and (not isinstance(top, int) or top < 1):
            raise UserError(f"top is how many codes of each patient, 1 or more, or None for all; got {top!r}")
        probabilities, checked = self.rule.probabilities(scores, eov), self._checked(rows, scores, eov, rules)
        ranked = []
        for index, row in enumerate(progress_bar(rows, "explaining" if explain else None, "patient", at_least=8)):
            parts, changes = self._reasons(row, scores[index], eov[index]) if explain else ([], np.zeros(0))
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
                        because=strongest(parts, changes[:, column]) if explain else None,
                    )
                    for column in order
                ]
            )
        return ranked

    def num_predicted(
        self, rows: Sequence[PatientRow], scores: np.ndarray, eov: np.ndarray, rules: RuleUse = "none"
    ) -> np.ndarray:
        """(N,) int: the predicted codes of each row, wherever they stand; arguments as of `ranked`."""
        number: np.ndarray = self._checked(rows, scores, eov, rules).predicted.sum(axis=1)
        return number

    def _checked(self, rows: Sequence[PatientRow], scores: np.ndarray, eov: np.ndarray, rules: RuleUse) -> CheckedSets:
        above = self.predicted_above
        if above is None:
            predicted = scores > self.rule.thresholds(scores, eov)[:, None]
        else:
            predicted = self.rule.probabilities(scores, eov) > above
        return check_sets(rows, scores, predicted, self.coding_rules, rules)

    @property
    def least_probability(self) -> float:
        """Above which a code is predicted."""
        return self.rule.least_probability if self.predicted_above is None else self.predicted_above

    def _reasons(self, row: PatientRow, scores: np.ndarray, eov: np.ndarray) -> tuple[list[str], np.ndarray]:
        """P parts of the patient, and (P, C) what each changes."""
        without = without_each_part(row)
        return list(without), self.changes_without(list(without.values()), scores, eov)

    def changes_without(self, without: Sequence[PatientRow], scores: np.ndarray, eov: np.ndarray) -> np.ndarray:
        """(W, C) the probabilities of a patient minus those of each of `without`, the patient without something.
        scores (C,), eov (): of the patient."""
        if not without:
            return np.zeros((0, len(scores)))
        whole = self.rule.probabilities(scores[None, :], np.atleast_1d(eov))
        return whole - self.rule.probabilities(*self.score(without))

    def phenotype_probabilities(self, phenotype: Phenotype, scores: np.ndarray, eov: np.ndarray) -> np.ndarray:
        """(N,) probability that any code under the phenotype's prefixes comes next, from what `score` found."""
        return any_of(self.rule.probabilities(scores, eov), phenotype.columns(self.candidates))

    def write_settings(self, path: Path, **more: object) -> None:
        """The JSON file `path`, and beside it the coding rules; `more`: settings that only this kind of ranker has."""
        settings = {
            "candidates": self.candidates,
            "rule": asdict(self.rule),
            **more,
            "trained_on": asdict(self.trained_on),
        }
        if self.rule_table is not None:
            self.rule_table.write_parquet(path.with_name(RULES_FILE))
        path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _warn(sentence: str) -> None:
    warnings.warn(sentence, InputNotice, stacklevel=5)


def read_rules(folder: Path) -> pl.DataFrame | None:
    """What `write_settings` wrote beside the settings."""
    rules = folder / RULES_FILE
    return pl.read_parquet(rules) if rules.is_file() else None
