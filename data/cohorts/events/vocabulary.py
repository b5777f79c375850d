"""Which events a task keeps: those of past visits that enough training patients have.

An event stands only in the histories of later visits, never in the example that predicts its own visit. The last visit
of a patient is in no history, so its events are dropped before any example is made.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from data.cohorts.cohort import Patient, Visit
from data.ledger import Ledger
from data.task_folder.task_info import EventFacts
from mera.system.errors import UserError

NAME_SCHEMA: dict[str, pl.DataType] = {column: pl.String() for column in ("event", "kind", "name")}
"""One row per event that the source knows."""


def keep_past_events(
    parts: Mapping[str, Sequence[Patient]], min_patients: int, ledger: Ledger
) -> tuple[dict[str, list[Patient]], set[str]]:
    """Split -> its patients with the events of past visits alone, and of these with the ones that the past visits of
    `min_patients` patients of train have; and which they are. All others are counted; visits and codes stay.

    Raises UserError where no event is left.
    """
    past = {
        name: [_with_events(patient, "of the last visit, which is to be predicted", ledger) for patient in patients]
        for name, patients in parts.items()
    }
    counts = Counter(
        event for patient in past["train"] for event in {each for visit in patient.visits for each in visit.events}
    )
    frequent = {event for event, count in counts.items() if count >= min_patients}
    if not frequent:
        raise UserError(
            f"--events found nothing that the past visits of {min_patients} training patients have; lower "
            "--min-event-patients, or leave --events out"
        )
    reason = f"in the past visits of fewer than {min_patients} training patients"
    kept = {
        name: [_with_events(patient, reason, ledger, frequent) for patient in patients]
        for name, patients in past.items()
    }
    return kept, frequent


def _with_events(patient: Patient, reason: str, ledger: Ledger, wanted: set[str] | None = None) -> Patient:
    """`patient` with the `wanted` events alone; None: with all but those of the last visit."""

    def thin(visit: Visit) -> Visit:
        if wanted is None:
            events = () if visit is patient.visits[-1] else visit.events
        else:
            events = tuple(event for event in visit.events if event in wanted)
        if len(events) == len(visit.events):
            return visit
        ledger.drop("events", reason, len(visit.events) - len(events))
        return visit._replace(events=events)

    return patient._replace(visits=tuple(map(thin, patient.visits)))


def event_facts(
    kinds: Iterable[str], min_patients: int, names: pl.DataFrame, patients: Iterable[Patient]
) -> EventFacts:
    """For task.json. `names`: NAME_SCHEMA, of the events that are kept."""
    past = [visit for patient in patients for visit in patient.visits[:-1]]
    return {
        "kinds": list(kinds),
        "min_patients": min_patients,
        "vocabulary": dict(sorted(names["kind"].value_counts().iter_rows())),
        "visits_with_events": sum(bool(visit.events) for visit in past),
        "visits_without_events": sum(not visit.events for visit in past),
    }


def cohort_digest(patients: Sequence[Patient]) -> str:
    """sha256 of all that is known of the patients; without events the same as before there were any."""
    digest = hashlib.sha256(repr(patients).encode())
    events = [visit.events for patient in patients for visit in patient.visits]
    if any(events):
        digest.update(repr(events).encode())
    return digest.hexdigest()
