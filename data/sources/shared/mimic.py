"""What MIMIC-III and MIMIC-IV have in common: admissions with times, deaths and ages."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.cohorts.cohort import with_people
from data.ledger import Ledger
from data.sources.shared.in_time import count_overlaps
from data.table_files.columns import Column, ColumnForms, TypedTable, column, read_columns
from data.table_files.meanings import LARGEST_AGE, OLDEST_AGE, Meaning
from data.table_files.stored_files import find_table
from data.table_files.times import completed_years

PATIENT = column("subject_id", Meaning.NUMBER_ID)
ADMISSION = column("hadm_id", Meaning.NUMBER_ID)
ADMISSIONS = (
    PATIENT,
    ADMISSION,
    column("admittime", Meaning.TIME),
    column("deathtime", Meaning.TIME, may_be_empty=True),
    column("dischtime", Meaning.TIME, optional=True, may_be_empty=True),
)
VERSIONED_CODES = (
    column("seq_num", Meaning.WHOLE),
    column("icd_code", Meaning.CODE),
    column("icd_version", Meaning.WHOLE),
)


def read_mimic_table(
    folder: str | Path, name: str, columns: Sequence[Column], ledger: Ledger, forms: ColumnForms | None = None
) -> TypedTable:
    """`columns` of table `name` in a MIMIC folder (errors as in `data.table_files.columns`)."""
    return read_columns(find_table(folder, name), columns, ledger, forms)


def admission_visits(
    admissions: pl.DataFrame, patients: pl.DataFrame, ledger: Ledger, after_death: bool = False
) -> pl.DataFrame:
    """The visits table for `build_cohort`, one row per usable admission; what is unusable goes to the ledger.

    `admissions`: subject_id, hadm_id, admittime, deathtime, perhaps dischtime. `patients`: subject_id, gender, dod, and
    for the age either dob or anchor_age and anchor_year. With anchor_year_group, `period` is the year of the admission
    as nearly as MIMIC-IV tells it (to about three years); else it is null, as dates are shifted patient by patient.
    `after_death`: whether admissions after a recorded death stay.
    """
    ledger.read("visits", admissions.height)
    ledger.read("patients", admissions["subject_id"].drop_nulls().n_unique())
    named = admissions.drop_nulls(["subject_id", "hadm_id"])
    ledger.drop("visits", "without an admission or patient id", admissions.height - named.height)
    # Sorted first, so that of two rows with one id the same one stays whatever their order in the file.
    unique = named.sort(pl.all(), nulls_last=True).unique(["subject_id", "hadm_id"], keep="first", maintain_order=True)
    ledger.drop("visits", "duplicate admission", named.height - unique.height)
    other_time = named.group_by("subject_id", "hadm_id").agg(pl.col("admittime").n_unique())["admittime"] > 1
    ledger.change("admission that stands there with several times, of which the first counts", int(other_time.sum()))
    timed = unique.drop_nulls(["admittime"])
    ledger.drop("visits", "without an admission time", unique.height - timed.height)
    if "dischtime" not in timed.columns:
        timed = timed.with_columns(dischtime=pl.lit(None, dtype=pl.Datetime))
    joined = with_people(timed, patients, "subject_id", ledger)
    dead = (pl.col("deathtime") < pl.col("admittime")) | (pl.col("dod").dt.date() < pl.col("admittime").dt.date())
    alive = joined if after_death else joined.filter(~dead.fill_null(False))
    ledger.drop("visits", "death before admission", joined.height - alive.height)
    ledger.drop(
        "patients",
        "without a usable admission",
        admissions["subject_id"].drop_nulls().n_unique() - alive["subject_id"].n_unique(),
    )
    # Who is older than 89 was born 300 years ago in MIMIC-III; in MIMIC-IV such an age is a mistake.
    has_birth = "dob" in patients.columns
    age = completed_years(pl.col("dob"), pl.col("admittime")) if has_birth else age_from_anchor()
    oldest = age.clip(upper_bound=OLDEST_AGE)
    ages = alive.select(age=age)["age"]
    ledger.change("birth after the admission, the age left out", int((ages < 0).sum()))
    visits = alive.select(
        patient_id="subject_id",
        admission_id="hadm_id",
        order=pl.col("admittime").dt.epoch("s"),
        sex="gender",
        age=pl.when(age >= 0).then(oldest if has_birth else pl.when(age <= LARGEST_AGE).then(oldest).otherwise(age)),
        day=pl.col("admittime").dt.epoch("d").cast(pl.Int64),
        end=pl.col("dischtime").dt.epoch("d").cast(pl.Int64),
        period=_real_year() if "anchor_year_group" in patients.columns else pl.lit(None, dtype=pl.Int64),
    )
    return count_overlaps(visits, ledger)


def diagnoses_table(
    rows: pl.DataFrame, code_column: str, stay: str = "hadm_id", keep: Sequence[str] = ()
) -> pl.DataFrame:
    """A table of diagnoses with the names that `resolve_codes` and `build_cohort` expect, and the columns to `keep`."""
    return rows.select(*keep, patient_id="subject_id", admission_id=stay, position="seq_num", raw=code_column)


def age_from_anchor() -> pl.Expr:
    """Age at `admittime` by anchor_age, the patient's age in anchor_year."""
    return pl.col("anchor_age") + pl.col("admittime").dt.year() - pl.col("anchor_year")


def _real_year() -> pl.Expr:
    """The first year of the patient's anchor_year_group (`2011 - 2013`) plus the years since the anchor."""
    first = pl.col("anchor_year_group").str.extract(r"^(\d{4})").cast(pl.Int64)
    return first + pl.col("admittime").dt.year() - pl.col("anchor_year")
