"""Diabetes 130-US Hospitals (Strack et al. 2014; UCI Machine Learning Repository, data set 296).

One CSV, one row per inpatient encounter with up to three ICD-9 codes. It has no dates: encounters are ordered by their
id, and `days_before` stays null. `?` marks a missing value; ages come in brackets of ten years, of which the middle is
taken.
"""

from pathlib import Path

import polars as pl

from data.code_columns import by_ontology, resolve_codes
from data.cohort import Patient, build_cohort
from data.csv_tables import InputFile, read_table, stripped
from data.ledger import Ledger
from data.ontology import load_ontology

DIAGNOSES = ("diag_1", "diag_2", "diag_3")
COLUMNS = ("encounter_id", "patient_nbr", "gender", "age", *DIAGNOSES)


def read_diabetes130(path: str | Path, ledger: Ledger) -> tuple[list[Patient], list[InputFile]]:
    """The cohort in ICD-9-CM, and the file it was read from.

    Raises ValueError or FileNotFoundError where the file cannot be used (see `read_table`).
    """
    source = read_table(path, COLUMNS)
    rows = stripped(source, missing=("", "?"))
    ledger.read("visits", rows.height)
    ledger.read("diagnoses", rows.height * len(DIAGNOSES))
    ledger.read("patients", rows["patient_nbr"].drop_nulls().n_unique())
    rows = _one_row_per_encounter(rows, ledger)
    visits = rows.select(
        patient_id="patient_nbr",
        admission_id="encounter_id",
        order=pl.col("encounter_id").cast(pl.Int64, strict=False),
        sex=pl.col("gender").replace_strict({"Female": "F", "Male": "M"}, default=None, return_dtype=pl.String),
        age=pl.col("age").str.extract(r"^\[(\d{1,3})-\d+\)$").cast(pl.Int64) + 5,
        day=pl.lit(None, dtype=pl.Int64),
    )
    diagnoses = rows.unpivot(DIAGNOSES, index=["patient_nbr", "encounter_id"]).rename(
        {"patient_nbr": "patient_id", "encounter_id": "admission_id", "variable": "position", "value": "raw"}
    )
    return build_cohort(
        visits, resolve_codes(diagnoses, by_ontology(load_ontology("icd9cm")), "icd9cm", ledger), ledger
    ), [source.file]


def _one_row_per_encounter(rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    named = rows.drop_nulls(["encounter_id", "patient_nbr"])
    _drop_visits(ledger, "without an encounter or patient id", rows.height - named.height)
    # Sorted first, so that of two rows with one id the same one stays whatever their order in the file.
    unique = named.sort(pl.all(), nulls_last=True).unique(["encounter_id"], keep="first", maintain_order=True)
    _drop_visits(ledger, "duplicate encounter id", named.height - unique.height)
    patients = rows["patient_nbr"].drop_nulls().n_unique()
    ledger.drop("patients", "without a usable encounter", patients - unique["patient_nbr"].n_unique())
    return unique


def _drop_visits(ledger: Ledger, reason: str, count: int) -> None:
    ledger.drop("visits", reason, count)
    ledger.drop("diagnoses", f"visit {reason}", count * len(DIAGNOSES))
