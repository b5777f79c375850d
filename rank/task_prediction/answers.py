"""What the engine of stage two answers to `mera serve`. N patients, C candidates, V visits of one patient."""

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

import numpy as np

from data.codes.book.display.code_page import CodePage, code_page
from data.task_folder.features import PatientRow
from mera.commands.serve.answering import NotThere
from mera.system.errors import UserError
from rank.patients.coding_check import RuleUse
from rank.patients.patient_input import GO_ON
from rank.patients.patient_ranker import PatientRanker, RankedCode
from rank.patients.reasons import without_each_visit


class VisitGiven(TypedDict):
    codes: list[str]
    """For a model of events those too: `drug:furosemide`."""
    days_before: int | None


class PatientGiven(TypedDict):
    """A patient, with the fields that `mera.commands.serve.messages.Patient` has checked."""

    history: list[VisitGiven]
    age: int | None
    sex: str | None
    text: str | None


class VisitEffect(TypedDict):
    visit: int
    """Counted from 1, the oldest."""
    change: float
    """Probability with it minus probability without it."""


class PatientAnswers:
    """Answers of one ranker."""

    def __init__(self, ranker: PatientRanker):
        self.ranker = ranker
        self.rules: RuleUse = "none" if ranker.coding_rules is None else "check"

    def about(self) -> Mapping[str, object]:
        trained_on = self.ranker.trained_on
        definitions = self.ranker.definitions
        return {
            "kind": "patients",
            "model": self.ranker.called,
            "edition": trained_on.edition,
            "reads_history": trained_on.history is not False,
            "reads_notes": bool(trained_on.note),
            "has_rules": self.rules == "check",
            "events": [{"code": event, "definition": name} for event, name in self.ranker.events.items()],
            "candidates": [{"code": code, "definition": definitions[code]} for code in self.ranker.candidates],
        }

    def rank(self, request: Mapping[str, object]) -> Mapping[str, object]:
        """`patients`, `top`, `explain` -> for each patient the codes. Raises UserError, naming the patient by number
        where there are several, where the model cannot read one."""
        patients = cast("Sequence[PatientGiven]", request["patients"])
        rows = [self._row(patient, number, len(patients)) for number, patient in enumerate(patients, start=1)]
        unread: list[str] = []
        scores, eov = self.ranker.score(rows, tell=unread.append)
        ranked = self.ranker.ranked(rows, scores, eov, cast("int", request["top"]), self.rules)
        predicted = self.ranker.num_predicted(rows, scores, eov, self.rules)
        answers = []
        for number, (row, codes, patient) in enumerate(zip(rows, ranked, patients, strict=True)):
            given = self.ranker.given([visit["codes"] for visit in patient["history"]])
            effects = self.effects(row, scores[number], eov[number], given.usable) if request["explain"] else None
            unknown = self.ranker.reader.unknown(given.codes)
            events = (event for visit in row["history"] for event in visit.get("events", ()))
            answers.append(
                {
                    "codes": [self._code(place, code, effects) for place, code in enumerate(codes, start=1)],
                    "predicted": int(predicted[number]),
                    "unknown_codes": sorted(set(unknown)),
                    "unread_events": self.ranker.event_reader.unread(events),
                    "unread": unread if len(rows) == 1 else [],
                }
            )
        return {"patients": answers, "unread": unread}

    def code(self, request: Mapping[str, object]) -> CodePage:
        """Raises NotThere where neither the edition nor the candidates have the code."""
        known = {code: self.ranker.definitions[code] for code in self.ranker.candidates}
        page = code_page(self.ranker.reader.read(str(request["code"])), self.ranker.reader.system, known)
        if page is None:
            raise NotThere("the model's edition has no such code")
        return page

    def warm_up(self) -> None:
        """Read the edition, which the first code that is no candidate, and the first page of a code, need."""
        code_page(self.ranker.candidates[0], self.ranker.reader.system, {})

    def effects(
        self, row: PatientRow, scores: np.ndarray, eov: np.ndarray, numbers: Sequence[int]
    ) -> dict[str, list[VisitEffect]]:
        """Candidate -> what each visit does to its probability: that of the patient minus that of the patient without
        the visit, everything else as it is. scores (C,), eov (): of the patient; `numbers`: of the row's visits among
        those that were given, from 0."""
        changes_VC = self.ranker.changes_without(without_each_visit(row), scores, eov)
        return {
            code: [
                VisitEffect(visit=number + 1, change=float(change))
                for number, change in zip(numbers, changes, strict=True)
            ]
            for code, changes in zip(self.ranker.candidates, changes_VC.T, strict=True)
        }

    def _row(self, patient: PatientGiven, number: int, of: int) -> PatientRow:
        try:
            return self.ranker.row(
                [visit["codes"] for visit in patient["history"]],
                days_before=[visit["days_before"] for visit in patient["history"]],
                age=patient["age"],
                sex=patient["sex"],
                text=patient["text"],
            )
        except UserError as error:
            reason = str(error).removesuffix(f"; {GO_ON}")  # an option of the command's
            raise UserError(reason if of == 1 else f"patient {number}: {reason}") from None

    def _code(
        self, place: int, code: RankedCode, effects: Mapping[str, list[VisitEffect]] | None
    ) -> Mapping[str, object]:
        return {
            "place": place,
            "code": code.code,
            "definition": code.definition,
            "probability": code.probability,
            "score": code.score,
            "predicted": code.predicted,
            "known": code.known,
            "rules": None if code.rules is None else list(code.rules),
            "moved_by": None if effects is None else effects[code.code],
        }
