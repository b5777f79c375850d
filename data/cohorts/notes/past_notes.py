"""Notes of past visits for `diagnosis` tasks: which ones a model may read, and how many there are.

A note stands only in the histories of later visits, never in the example that predicts its own visit. The last visit
of a patient is in no history, so its note is dropped before any example is made.
"""

from collections.abc import Callable, Mapping, Sequence

from data.cohorts.cohort import Patient, Visit
from data.cohorts.notes.near_duplicates import near_duplicates
from data.cohorts.notes.note_marks import MADE_PLAIN
from data.cohorts.notes.plain_text import plain_text
from data.ledger import Ledger
from data.task import SPLITS
from data.task_folder.task_info import NoteCounts
from mera.system.errors import UserError


def only_past_notes(patients: Sequence[Patient], split_of: Mapping[str, str], ledger: Ledger) -> list[Patient]:
    """The patients without the notes that no model may read, each of which is counted; visits and codes stay.

    Dropped are the note of each patient's last visit, and notes of train and validation that nearly repeat one in a
    history of a later split (`data.cohorts.notes.near_duplicates`). Test keeps every past note. Those that examples
    will hold in plain form (`data.cohorts.examples`) are counted. Raises UserError where
    no note is left.
    """
    patients = _without_notes(
        patients,
        lambda patient, visit: visit is patient.visits[-1],
        "of the last visit, which is to be predicted",
        ledger,
    )
    places = [
        (patient.patient_id, visit.admission_id, SPLITS.index(split_of[patient.patient_id]))
        for patient in patients
        for visit in patient.visits
        if visit.text is not None
    ]
    texts = (str(visit.text) for patient in patients for visit in patient.visits if visit.text is not None)
    copies = near_duplicates(texts, [split for _, _, split in places]) if places else []
    copied = {places[index][:2] for index in copies}
    patients = _without_notes(
        patients,
        lambda patient, visit: (patient.patient_id, visit.admission_id) in copied,
        "nearly the same as one in a later split",
        ledger,
    )
    kept = (str(visit.text) for patient in patients for visit in patient.visits if visit.text is not None)
    ledger.change(MADE_PLAIN, sum(plain_text(text).text != text for text in kept))
    if not note_counts(patients)["visits_with_a_note"]:
        raise UserError("--past-notes found no note of any past visit; is it the right file for these patients?")
    return patients


def note_counts(patients: Sequence[Patient]) -> NoteCounts:
    """For task.json: past visits (each patient's but the last) with a note, with one made of several, without any."""
    past = [visit for patient in patients for visit in patient.visits[:-1]]
    return {
        "visits_with_a_note": sum(visit.text is not None for visit in past),
        "visits_with_several_notes": sum(visit.num_notes > 1 for visit in past),
        "visits_without_a_note": sum(visit.text is None for visit in past),
    }


def _without_notes(
    patients: Sequence[Patient], is_dropped: Callable[[Patient, Visit], bool], reason: str, ledger: Ledger
) -> list[Patient]:
    """The patients without the notes of the visits where `is_dropped` holds, which are counted; all visits stay."""

    def without_note(patient: Patient, visit: Visit) -> Visit:
        if visit.text is None or not is_dropped(patient, visit):
            return visit
        ledger.drop("notes", reason, visit.num_notes)
        return visit._replace(text=None, num_notes=0)

    return [
        patient._replace(visits=tuple(without_note(patient, visit) for visit in patient.visits)) for patient in patients
    ]
