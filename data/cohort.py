"""Patients and their visits in memory: what every adapter makes of its source."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import polars as pl

from data.ledger import Ledger

Evidence = tuple[str, int, int]
"""A code and the characters `[start, end)` of the note that support it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One admission."""

    admission_id: str
    codes: tuple[str, ...]
    """Canonical, without repeats, in the source's order."""
    age: int | None = None
    day: int | None = None
    """Days since any fixed date; None where the source has no dates."""
    text: str | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """One patient, visits oldest first."""

    patient_id: str
    sex: str | None
    """`F`, `M` or None."""
    visits: tuple[Visit, ...]


VISIT_COLUMNS = ("patient_id", "admission_id", "order", "sex", "age", "day")
"""What an adapter's visits table holds; `order` sorts the visits of one patient."""
DIAGNOSIS_COLUMNS = ("patient_id", "admission_id", "position", "code")
"""What a diagnoses table holds once its codes are resolved; `position` sorts the codes of one visit."""


def build_cohort(visits: pl.DataFrame, diagnoses: pl.DataFrame, ledger: Ledger) -> list[Patient]:
    """Put visits and patients together, in the order of their ids, whatever the order of the rows.

    `visits` has VISIT_COLUMNS with one row per visit, less what the adapter dropped and told the ledger. `diagnoses`
    has DIAGNOSIS_COLUMNS; rows whose visit is not in `visits` are dropped and counted, and so are repeats within a
    visit, visits without a code, and patients without a visit.
    """
    key = ["patient_id", "admission_id"]
    known = diagnoses.join(visits, on=key, how="semi")
    ledger.drop("diagnoses", "visit dropped or not listed", diagnoses.height - known.height)
    ordered = known.sort([*key, "position", "code"], nulls_last=True)
    unique = ordered.unique([*key, "code"], keep="first", maintain_order=True)
    ledger.drop("diagnoses", "repeated in its visit", ordered.height - unique.height)
    codes_of = unique.group_by(key, maintain_order=True).agg("code")
    joined = visits.join(codes_of, on=key, how="inner").sort("patient_id", "order", "admission_id", nulls_last=True)
    ledger.drop("visits", "without a usable code", visits.height - joined.height)
    patients = list(_patients(joined))
    ledger.drop("patients", "without a usable visit", visits["patient_id"].n_unique() - len(patients))
    return patients


def _patients(joined: pl.DataFrame) -> Iterator[Patient]:
    """`joined`: a row per visit, sorted by patient, then in time."""
    for patient_id, rows in groupby(joined.iter_rows(named=True), key=itemgetter("patient_id")):
        visits = list(rows)
        sexes = {row["sex"] for row in visits if row["sex"] is not None}
        yield Patient(
            patient_id=patient_id,
            sex=sexes.pop() if len(sexes) == 1 else None,
            visits=tuple(
                Visit(admission_id=row["admission_id"], codes=tuple(row["code"]), age=row["age"], day=row["day"])
                for row in visits
            ),
        )
