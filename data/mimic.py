"""What MIMIC-III and MIMIC-IV have in common: admissions with times, deaths and ages."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from data.csv_tables import SourceTable, find_table, read_table, stripped
from data.ledger import Ledger

OLDEST_AGE = 90
"""MIMIC hides ages over 89 (by impossible birth dates, or one value for all); they become this one."""


def read_mimic_table(
    folder: str | Path, name: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> SourceTable:
    """Table `name` of a MIMIC folder, values stripped, empty ones null (errors as in `data.csv_tables`)."""
    source = read_table(find_table(folder, name), columns, optional=optional)
    return replace(source, rows=stripped(source))


def admission_visits(admissions: pl.DataFrame, patients: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The visits table for `build_cohort`, one row per usable admission; what is unusable goes to the ledger.

    `admissions`: subject_id, hadm_id, admittime, deathtime. `patients`: subject_id, gender, dod, and for the age either
    dob or anchor_age and anchor_year; all strings. With anchor_year_group, `period` is the year of the admission as
    nearly as MIMIC-IV tells it (to about three years); else it is null, because dates are shifted patient by patient.
    """
    ledger.read("visits", admissions.height)
    ledger.read("patients", admissions["subject_id"].drop_nulls().n_unique())
    named = admissions.drop_nulls(["subject_id", "hadm_id"])
    ledger.drop("visits", "without an admission or patient id", admissions.height - named.height)
    # Sorted first, so that of two rows with one id the same one stays whatever their order in the file.
    unique = named.sort(pl.all(), nulls_last=True).unique(["subject_id", "hadm_id"], keep="first", maintain_order=True)
    ledger.drop("visits", "duplicate admission", named.height - unique.height)
    timed = unique.with_columns(parse_time("admittime"), parse_time("deathtime")).drop_nulls(["admittime"])
    ledger.drop("visits", "without an admission time", unique.height - timed.height)
    people = patients.sort(pl.all(), nulls_last=True).unique(["subject_id"], keep="first", maintain_order=True)
    joined = timed.join(people.with_columns(parse_time("dod")), on="subject_id", how="left", maintain_order="left")
    dead = (pl.col("deathtime") < pl.col("admittime")) | (pl.col("dod").dt.date() < pl.col("admittime").dt.date())
    alive = joined.filter(~dead.fill_null(False))
    ledger.drop("visits", "death before admission", joined.height - alive.height)
    ledger.drop(
        "patients",
        "without a usable admission",
        admissions["subject_id"].drop_nulls().n_unique() - alive["subject_id"].n_unique(),
    )
    return alive.select(
        patient_id="subject_id",
        admission_id="hadm_id",
        order=pl.col("admittime").dt.epoch("s"),
        sex=pl.when(pl.col("gender").str.to_uppercase().is_in(["F", "M"])).then(pl.col("gender").str.to_uppercase()),
        age=_age_from_birth() if "dob" in patients.columns else _age_from_anchor(),
        day=pl.col("admittime").dt.epoch("d").cast(pl.Int64),
        period=_real_year() if "anchor_year_group" in patients.columns else pl.lit(None, dtype=pl.Int64),
    )


def diagnoses_table(
    rows: pl.DataFrame, code_column: str, stay: str = "hadm_id", keep: Sequence[str] = ()
) -> pl.DataFrame:
    """A table of diagnoses with the names that `resolve_codes` and `build_cohort` expect, and the columns to `keep`."""
    return rows.select(
        *keep,
        patient_id="subject_id",
        admission_id=stay,
        position=pl.col("seq_num").cast(pl.Int64, strict=False),
        raw=code_column,
    )


def parse_time(column: str) -> pl.Expr:
    """Date and time, or a date alone (midnight); anything else becomes null."""
    return pl.coalesce(
        pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False),
        pl.col(column).str.to_datetime("%Y-%m-%d", strict=False),
    )


def _real_year() -> pl.Expr:
    """The first year of the patient's anchor_year_group (`2011 - 2013`) plus the years since the anchor."""
    first = pl.col("anchor_year_group").str.extract(r"^(\d{4})").cast(pl.Int64, strict=False)
    return first + pl.col("admittime").dt.year() - pl.col("anchor_year").cast(pl.Int64, strict=False)


def _age_from_birth() -> pl.Expr:
    birth, admission = parse_time("dob"), pl.col("admittime")
    same_month = admission.dt.month() == birth.dt.month()
    before_birthday = (admission.dt.month() < birth.dt.month()) | (same_month & (admission.dt.day() < birth.dt.day()))
    years = admission.dt.year() - birth.dt.year() - before_birthday.cast(pl.Int32)
    return years.cast(pl.Int64).clip(0, OLDEST_AGE)


def _age_from_anchor() -> pl.Expr:
    anchor_age = pl.col("anchor_age").cast(pl.Int64, strict=False)
    anchor_year = pl.col("anchor_year").cast(pl.Int64, strict=False)
    return (anchor_age + pl.col("admittime").dt.year() - anchor_year).clip(0, OLDEST_AGE)
