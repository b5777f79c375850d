"""What a patient's ranking hangs on: each code's probability minus the one without a part of the patient, everything
else as it is (occlusion: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901).

It shows what the model makes of the patient, not what a disease comes from; of two parts that say the same, the model
may do without either, and then neither shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.task_folder.features import PatientRow, VisitRow

REASONS = 3
"""Of each code."""
LEAST_CHANGE = 0.0005
"""Of a probability, below which it prints as nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    part: str
    """a code of the history, or an event of it (`drug:furosemide`)"""
    change: float
    """the probability minus the one without the part; negative where the part speaks against the code"""

    def __str__(self) -> str:
        """`428.0 +12.3`, in points of percent."""
        return f"{self.part} {100 * self.change:+.1f}"


def without_each_visit(row: PatientRow) -> list[PatientRow]:
    visits = row["history"] or []
    return [{**row, "history": [*visits[:place], *visits[place + 1 :]]} for place in range(len(visits))]


def without_each_part(row: PatientRow) -> dict[str, PatientRow]:
    """Part -> the patient without it: each code and event out of all visits that have it (a visit of nothing else goes
    with it). Age and sex stay: where every patient of training has one, a model has not learnt what none means."""
    visits = row["history"] or []
    codes = dict.fromkeys(code for visit in visits for code in visit["codes"])
    events = dict.fromkeys(event for visit in visits for event in visit.get("events") or ())
    return {
        part: {**row, "history": [rest for visit in visits if (rest := _without(visit, part)) is not None]}
        for part in (*codes, *events)
    }


def _without(visit: VisitRow, part: str) -> VisitRow | None:
    rest: VisitRow = {**visit, "codes": [code for code in visit["codes"] if code != part]}
    if "events" in visit:
        rest["events"] = [event for event in visit["events"] if event != part]
    return rest if rest["codes"] or rest.get("events") or visit.get("text") else None


def strongest(parts: Sequence[str], changes: np.ndarray) -> tuple[Reason, ...]:
    """changes (P,), of one code: the REASONS parts that change it most, whether up or down."""
    order = np.argsort(-np.abs(changes), kind="stable")[:REASONS]
    reasons = [Reason(part=parts[place], change=float(changes[place])) for place in order]
    return tuple(reason for reason in reasons if abs(reason.change) >= LEAST_CHANGE)
