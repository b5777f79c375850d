"""Notes of past visits for `diagnosis` tasks: which may be told, and how many there are.

A note is told only as part of a history, so never in the example that predicts its own visit. The last visit of a
patient is no history of anything: its note is dropped before any example is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from data.cohorts.cohort import Patient, Visit
from data.cohorts.near_duplicates import near_duplicates
from data.ledger import Ledger
from data.task import SPLITS
from mera.system.errors import UserError


def only_past_notes(patients: Sequence[Patient], split_of: Mapping[str, str], ledger: Ledger) -> list[Patient]:
    """The patients with the notes that may be told; their visits and codes stay as they are, every note is counted.

    Without a note are then each patient's last visit, and visits of train and validation whose note nearly repeats one
    that a later split is told (`data.cohorts.near_duplicates`). Test keeps every past note. Raises ValueError where none is
    left.
    """
    told = _without_notes(
        patients,
        lambda patient, visit: visit is patient.visits[-1],
        "of the last visit, which is to be predicted",
        ledger,
    )
    places = [
        (patient.patient_id, visit.admission_id, SPLITS.index(split_of[patient.patient_id]))
        for patient in told
        for visit in patient.visits
        if visit.text is not None
    ]
    texts = (str(visit.text) for patient in told for visit in patient.visits if visit.text is not None)
    copies = near_duplicates(texts, [split for _, _, split in places]) if places else []
    copied = {places[index][:2] for index in copies}
    told = _without_notes(
        told,
        lambda patient, visit: (patient.patient_id, visit.admission_id) in copied,
        "nearly the same as one in a later split",
        ledger,
    )
    if not note_counts(told)["visits_with_a_note"]:
        raise UserError("--past-notes found no note of any past visit; is it the right file for these patients?")
    return told


def note_counts(patients: Sequence[Patient]) -> dict[str, int]:
    """For task.json: past visits (each patient's but the last) with a note, with one made of several, without any."""
    past = [visit for patient in patients for visit in patient.visits[:-1]]
    return {
        "visits_with_a_note": sum(visit.text is not None for visit in past),
        "visits_with_several_notes": sum(visit.num_notes > 1 for visit in past),
        "visits_without_a_note": sum(visit.text is None for visit in past),
    }


def _without_notes(
    patients: Sequence[Patient], doomed: Callable[[Patient, Visit], bool], reason: str, ledger: Ledger
) -> list[Patient]:
    """The notes of the visits that are `doomed` go, and are counted; the visits stay."""

    def rid(patient: Patient, visit: Visit) -> Visit:
        if visit.text is None or not doomed(patient, visit):
            return visit
        ledger.drop("notes", reason, visit.num_notes)
        return replace(visit, text=None, num_notes=0)

    return [replace(patient, visits=tuple(rid(patient, visit) for visit in patient.visits)) for patient in patients]
