"""What MIMIC-III and MIMIC-IV have in common: admissions with times, deaths and ages."""

from pathlib import Path

import polars as pl

from data.csv_tables import SourceTable, find_table, read_table
from data.ledger import Ledger

OLDEST_AGE = 90
"""MIMIC hides ages over 89 (by impossible birth dates, or one value for all); they become this one."""

DIAGNOSIS_KEY = {"subject_id": "patient_id", "hadm_id": "admission_id", "seq_num": "position"}


def read_mimic_table(folder: str | Path, name: str, columns: list[str]) -> SourceTable:
    """Table `name` of a MIMIC folder, values stripped, empty ones null (errors as in `data.csv_tables`)."""
    source = read_table(find_table(folder, name), columns)
    rows = source.rows.with_columns(pl.all().str.strip_chars().replace({"": None}))
    return SourceTable(rows=rows, file_name=source.file_name, sha256=source.sha256)


def admission_visits(admissions: pl.DataFrame, patients: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The visits table for `build_cohort`, one row per usable admission; what is unusable goes to the ledger.

    `admissions`: subject_id, hadm_id, admittime, deathtime. `patients`: subject_id, gender, dod, and for the age either
    dob or anchor_age and anchor_year; all strings.
    """
    ledger.read("visits", admissions.height)
    ledger.read("patients", admissions["subject_id"].drop_nulls().n_unique())
    named = admissions.drop_nulls(["subject_id", "hadm_id"])
    ledger.drop("visits", "without an admission or patient id", admissions.height - named.height)
    # Sorted first, so that of two rows with one id the same one stays whatever their order in the file.
    unique = named.sort(pl.all(), nulls_last=True).unique(["subject_id", "hadm_id"], keep="first", maintain_order=True)
    ledger.drop("visits", "duplicate admission", named.height - unique.height)
    timed = unique.with_columns(_time("admittime"), _time("deathtime")).drop_nulls(["admittime"])
    ledger.drop("visits", "without an admission time", unique.height - timed.height)
    people = patients.sort(pl.all(), nulls_last=True).unique(["subject_id"], keep="first", maintain_order=True)
    joined = timed.join(people.with_columns(_time("dod")), on="subject_id", how="left", maintain_order="left")
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
    )


def diagnoses_table(rows: pl.DataFrame, code_column: str) -> pl.DataFrame:
    """DIAGNOSES_ICD with the names that `resolve_codes` and `build_cohort` expect."""
    names = {**DIAGNOSIS_KEY, code_column: "raw"}
    return rows.rename(names).with_columns(pl.col("position").cast(pl.Int64, strict=False)).select(names.values())


def _time(column: str) -> pl.Expr:
    """Date and time, or a date alone (midnight); anything else becomes null."""
    return pl.coalesce(
        pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False),
        pl.col(column).str.to_datetime("%Y-%m-%d", strict=False),
    )


def _age_from_birth() -> pl.Expr:
    birth, admission = _time("dob"), pl.col("admittime")
    same_month = admission.dt.month() == birth.dt.month()
    before_birthday = (admission.dt.month() < birth.dt.month()) | (same_month & (admission.dt.day() < birth.dt.day()))
    years = admission.dt.year() - birth.dt.year() - before_birthday.cast(pl.Int32)
    return years.cast(pl.Int64).clip(0, OLDEST_AGE)


def _age_from_anchor() -> pl.Expr:
    anchor_age = pl.col("anchor_age").cast(pl.Int64, strict=False)
    anchor_year = pl.col("anchor_year").cast(pl.Int64, strict=False)
    return (anchor_age + pl.col("admittime").dt.year() - anchor_year).clip(0, OLDEST_AGE)
