"""Patients to rank, from a table of one's own: every visit in it is history, and none is a target."""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from data.cohorts.cohort import Patient, visits_in_order
from data.ledger import Ledger, LedgerRecord
from data.ontology import Ontology
from data.sources.shared.own_table.code_versions import TRANSLATED
from data.sources.shared.own_table.table_columns import SYSTEMS, TableColumns
from data.sources.table import read_user_table
from data.table_files.columns import ColumnForms
from data.table_files.meanings import LARGEST_AGE, aged
from data.table_files.times import completed_years
from data.task_folder.features import PatientRow, VisitRow
from mera.system.errors import UserError

_EPOCH = datetime.date(1970, 1, 1)
FURTHEST = 30 * 365
"""Days from a last visit to the one to predict."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPatients:
    """Rows as a model of next diagnoses reads them, and who they are."""

    patient_ids: list[str]
    rows: list[PatientRow]
    account: LedgerRecord
    """What was read, dropped and changed, as in task.json."""


def read_new_patients(
    path: str | Path,
    columns: TableColumns,
    *,
    system: str | None,
    edition: Ontology | None = None,
    at: str | None = None,
    separator: str | None = None,
    code_separator: str | None = None,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    event_separator: str | None = None,
    icd10_from: str | None = None,
) -> NewPatients:
    """The patients of a table in the forms that `mera prepare table` reads, each with all its visits, oldest first.

    `system`: the codes' edition (`icd9cm`, `icd10cm`, `icd10who`), or `edition` in its place. `at`: the day of the
    visit to predict, to which `days_before` counts: a date, or a number where the table's times are days; None: that of
    each patient's own last visit, be it without a usable code. Age is that of this day, by the last visit that has one.
    Raises UserError where the table cannot be read, or a visit lies after `at`.
    """
    ledger = Ledger()
    has_both = columns.code_version is not None or icd10_from is not None
    names = {value: name for name, value in (TRANSLATED if has_both else SYSTEMS).items()}
    try:
        table = read_user_table(
            path,
            columns,
            ledger,
            None if system is None else names.get(system, system),
            separator,
            code_separator,
            past_notes=columns.text is not None,
            forms=forms,
            zeros=zeros,
            granularity=granularity,
            edition=edition,
            event_separator=event_separator,
            icd10_from=icd10_from,
        )
    except UserError as error:
        raise UserError(_in_our_options(str(error))) from None
    patients = table.cohort(ledger)
    with_notes, with_events = columns.text is not None, bool(columns.events())
    day = None if at is None else _day(at)
    last = _last_known(table.visits, day)
    last_days = [last[patient.patient_id].day for patient in patients]
    if day is not None and any(known is not None and day < known for known in last_days):
        raise UserError("--at lies before the last visit of a patient; leave the later visits out, or give a later day")
    if day is not None and any(known is not None and day - known > FURTHEST for known in last_days):
        raise UserError(
            f"--at lies more than {FURTHEST // 365} years after the last visit of a patient; give a date where the "
            f"table's times are dates, and a number where they are days"
        )
    today = (datetime.date.today() - _EPOCH).days  # a number of days is none since 1970, and hardly as large
    ledger.change("patient whose last visit lies after today", sum((known or 0) > today for known in last_days))
    ledger.change(
        "age of an earlier visit, where the last has none", sum(last[each.patient_id].is_carried for each in patients)
    )
    return NewPatients(
        patient_ids=[patient.patient_id for patient in patients],
        rows=[
            _row(patient, last[patient.patient_id], with_notes=with_notes, with_events=with_events)
            for patient in patients
        ],
        account=ledger.record(),
    )


def _in_our_options(sentence: str) -> str:
    """What `mera prepare table` says of a column of codes, where the edition is the model's and no option."""
    sentence = re.sub(r": is it --code-system \w+\?$", "; the model reads those of its own edition", sentence)
    return re.sub(r", and --code-system to-\w+ translates them, .*", ", and they are translated", sentence)


def _day(at: str) -> int:
    """Days since 1970 of a date, or the number itself."""
    try:
        return int(at) if at.lstrip("-").isdigit() else (datetime.date.fromisoformat(at) - _EPOCH).days
    except ValueError:
        raise UserError(f"--at must be a date as 2026-01-31, or a number of days, got {at!r}") from None


class _LastKnown(NamedTuple):
    """Of a patient: the day of the last visit; the age at the last visit that has one, and its day; the day to predict,
    and the age on it where the birth date is known."""

    day: int | None
    age: int | None
    age_day: int | None
    is_carried: bool
    """whether a later visit has no age"""
    now: int | None
    exact_age: int | None

    @property
    def age_now(self) -> int | None:
        if self.exact_age is not None:
            return min(self.exact_age, LARGEST_AGE)
        if self.age is None or self.age_day is None or self.now is None:
            return self.age
        return aged(self.age, self.now - self.age_day)


def _last_known(visits: pl.DataFrame, at: int | None) -> dict[str, _LastKnown]:
    """By patient; `visits` with VISIT_COLUMNS and `birth_date`, those without a usable code too; `at`: the day to
    predict, None: that of the last visit."""
    has_age = pl.col("age").is_not_null()
    last = (
        visits_in_order(visits)
        .group_by("patient_id", maintain_order=True)
        .agg(
            pl.col("day").max(),
            pl.col("age").filter(has_age).last(),
            age_day=pl.col("day").filter(has_age).last(),
            is_carried=has_age.any() & ~has_age.last(),
            birth=pl.col("birth_date").filter(has_age).last(),
        )
        .with_columns(now="day" if at is None else pl.lit(at))
        .with_columns(exact_age=completed_years(pl.col("birth"), pl.col("now").cast(pl.Int32).cast(pl.Date)))
        .drop("birth")
    )
    return {patient_id: _LastKnown(*known) for patient_id, *known in last.iter_rows()}


def _row(patient: Patient, last: _LastKnown, *, with_notes: bool, with_events: bool) -> PatientRow:
    now = last.now
    history: list[VisitRow] = []
    for visit in patient.visits:
        days_before = None if visit.day is None or now is None else now - visit.day
        past: VisitRow = {"codes": visit.codes, "days_before": days_before}
        if with_notes:
            past["text"] = None if visit.text is None else str(visit.text)
        if with_events:
            past["events"] = visit.events
        history.append(past)
    return {"age": last.age_now, "sex": patient.sex, "history": history, "text": None}
