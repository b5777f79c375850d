"""From patients to the examples of a task."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data.cohort import Patient, Visit
from data.ledger import Ledger
from data.ontology import Ontology
from data.task import SPLITS

Row = dict[str, Any]
"""One example with the keys of `data.task.FEATURES`."""


def drop_patients(
    patients: Iterable[Patient], keep: Callable[[Patient], bool], reason: str, ledger: Ledger
) -> list[Patient]:
    """The patients that `keep` approves; the others are counted with their visits and diagnoses under `reason`."""
    kept = []
    for patient in patients:
        if keep(patient):
            kept.append(patient)
            continue
        ledger.drop("patients", reason)
        ledger.drop("visits", f"patient: {reason}", len(patient.visits))
        ledger.drop("diagnoses", f"patient: {reason}", sum(len(visit.codes) for visit in patient.visits))
    return kept


def coarsen_to_categories(patients: Iterable[Patient], ontology: Ontology, ledger: Ledger) -> list[Patient]:
    """Every code replaced by its category; codes that become the same within a visit are counted."""
    return [
        replace(patient, visits=tuple(_coarse_visit(visit, ontology, ledger) for visit in patient.visits))
        for patient in patients
    ]


def diagnosis_rows(
    patients: Iterable[Patient], split_of: Mapping[str, str], every_visit: bool = False
) -> dict[str, list[Row]]:
    """split -> rows: the codes of the last visit from the visits before it.

    With `every_visit`, each visit of a training patient but the first is the target of a row too.
    """
    rows: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for patient in patients:
        split = split_of[patient.patient_id]
        last = len(patient.visits) - 1
        first = 1 if every_visit and split == "train" else last
        rows[split] += [_row(patient, index) for index in range(first, last + 1)]
    return rows


def coding_rows(patients: Iterable[Patient], split_of: Mapping[str, str]) -> dict[str, list[Row]]:
    """split -> rows: the codes of each visit from its note, without a history."""
    rows: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for patient in patients:
        rows[split_of[patient.patient_id]] += [
            _row(patient, index, with_history=False) for index in range(len(patient.visits))
        ]
    return rows


def occurring_codes(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """The codes among histories and targets of any split, sorted."""
    every_row = [row for split in rows.values() for row in split]
    targets = {code for row in every_row for code in row["targets"]}
    return sorted(targets | {code for row in every_row for visit in row["history"] for code in visit["codes"]})


def _row(patient: Patient, index: int, with_history: bool = True) -> Row:
    target = patient.visits[index]
    history = patient.visits[:index] if with_history else ()
    return {
        "example_id": f"{patient.patient_id}:{target.admission_id}",
        "patient_id": patient.patient_id,
        "age": target.age,
        "sex": patient.sex,
        "history": [{"codes": list(visit.codes), "days_before": _days_between(visit, target)} for visit in history],
        "text": None if with_history else target.text,
        "targets": list(target.codes),
        "evidence": []
        if with_history
        else [{"code": code, "start": start, "end": end} for code, start, end in target.evidence],
    }


def _days_between(visit: Visit, target: Visit) -> int | None:
    return None if visit.day is None or target.day is None else target.day - visit.day


def _coarse_visit(visit: Visit, ontology: Ontology, ledger: Ledger) -> Visit:
    codes = tuple(dict.fromkeys(ontology.groups(code)["category"] for code in visit.codes))
    ledger.drop("diagnoses", "same category twice in its visit", len(visit.codes) - len(codes))
    return replace(visit, codes=codes)
