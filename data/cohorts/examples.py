"""From patients to the examples of a task."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from data.cohorts.cohort import Patient, Visit
from data.cohorts.notes.plain_text import plain_text
from data.cohorts.notes.text_rules import clean_text
from data.task_folder.features import EvidenceSpan, TaskRow, VisitRow


def diagnosis_rows(
    patients: Iterable[Patient],
    every_visit: bool = False,
    max_history: int | None = None,
    primary_only: bool = False,
    first_visits: bool = False,
    past_notes: bool = False,
    events: bool = False,
) -> Iterator[TaskRow]:
    """The codes of the last visit from the visits before it; with `every_visit`, of each visit but the first; with
    `first_visits`, of the first as well, from nothing but age and sex.

    A history holds at most `max_history` visits, the latest. With `primary_only` the targets are the diagnosis listed
    first; a visit whose first diagnosis is no usable code is then no target. With `past_notes` the visits of the
    history, and only they, come with their notes, with `events` with their events.
    """
    for patient in patients:
        last = len(patient.visits) - 1
        targets = set(range(1, last + 1)) if every_visit else {last} - {0}
        for index in sorted(targets | {0} if first_visits else targets):
            target = patient.visits[index]
            codes = target.codes[: target.num_primary] if primary_only else target.codes
            if not codes:
                continue
            visits = patient.visits[:index][-max_history:] if max_history else patient.visits[:index]
            history = [_past_visit(visit, target, past_notes, events) for visit in visits]
            yield _row(patient, target, codes, history=history)


def coding_rows(patients: Iterable[Patient], rules: str | None = None) -> Iterator[TaskRow]:
    """The codes of each visit from its note, without a history. `rules`: of the text (`clean_text`)."""
    for patient in patients:
        for visit in patient.visits:
            spans: list[EvidenceSpan] = [
                {"code": code, "start": start, "end": end} for code, start, end in visit.evidence
            ]
            yield _row(patient, visit, visit.codes, text=clean_text(str(visit.text), rules), evidence=spans)


def occurring_codes(patients: Iterable[Patient]) -> list[str]:
    """The codes of any visit, sorted."""
    return sorted(set(chain.from_iterable(visit.codes for patient in patients for visit in patient.visits)))


def _row(
    patient: Patient,
    target: Visit,
    codes: Sequence[str],
    *,
    history: Sequence[VisitRow] = (),
    text: str | None = None,
    evidence: Sequence[EvidenceSpan] = (),
) -> TaskRow:
    """The example with the targets `codes`, which are all or the first codes of `target`."""
    return {
        "example_id": f"{patient.patient_id}:{target.admission_id}",
        "patient_id": patient.patient_id,
        "age": target.age,
        "sex": patient.sex,
        "history": history,
        "text": text,
        "targets": codes,
        "evidence": evidence,
    }


def _past_visit(visit: Visit, target: Visit, past_notes: bool, events: bool) -> VisitRow:
    """A visit of the history of `target`, with its note and its events where they are asked for."""
    past: VisitRow = {"codes": visit.codes, "days_before": _days_between(visit, target)}
    if past_notes:
        past["text"] = None if visit.text is None else _plain(str(visit.text))
    if events:
        past["events"] = visit.events
    return past


@functools.lru_cache(maxsize=64)
def _plain(text: str) -> str:
    """Kept for a while: a visit's note stands in the history of each later visit."""
    return plain_text(text).text


def _days_between(visit: Visit, target: Visit) -> int | None:
    return None if visit.day is None or target.day is None else target.day - visit.day
