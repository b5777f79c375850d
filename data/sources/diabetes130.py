"""Diabetes 130-US Hospitals (Strack et al. 2014; UCI Machine Learning Repository, data set 296).

One CSV, one row per inpatient encounter with up to three ICD-9 codes. It has no dates: encounters are ordered by their
id, and `days_before` stays null. `?` marks a missing value; ages come in brackets of ten years, of which the middle is
taken.
"""

import argparse
from pathlib import Path

import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import load_ontology
from data.sources.shared.events.of_diabetes130 import KINDS, read_diabetes130_events
from data.sources.shared.events.options import add_events
from data.sources.shared.options import add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile

DIAGNOSES = ("diag_1", "diag_2", "diag_3")
COLUMNS = (
    column("encounter_id", Meaning.NUMBER_ID),
    column("order", Meaning.WHOLE, header="encounter_id"),
    column("patient_nbr", Meaning.NUMBER_ID),
    column("gender", Meaning.SEX),
    column("age", Meaning.AGE),
    *(column(name, Meaning.CODE) for name in DIAGNOSES),
)


def read_diabetes130(
    path: str | Path,
    ledger: Ledger,
    forms: ColumnForms | None = None,
    granularity: str = "full",
    kinds: tuple[str, ...] = (),
) -> tuple[list[Patient], list[InputFile], pl.DataFrame | None]:
    """The cohort in ICD-9-CM, the file it was read from, and the names of its events (of `kinds`).

    Raises UserError or FileNotFoundError where the file cannot be used (see `read_columns`).
    """
    source = read_columns(path, COLUMNS, ledger, forms)
    rows = source.rows
    ledger.read("visits", rows.height)
    ledger.read("diagnoses", rows.height * len(DIAGNOSES))
    ledger.read("patients", rows["patient_nbr"].drop_nulls().n_unique())
    rows = _one_row_per_encounter(rows, ledger)
    visits = rows.select(
        patient_id="patient_nbr",
        admission_id="encounter_id",
        order="order",
        sex="gender",
        age="age",
        day=pl.lit(None, dtype=pl.Int64),
    )
    diagnoses = rows.unpivot(DIAGNOSES, index=["patient_nbr", "encounter_id"]).rename(
        {"patient_nbr": "patient_id", "encounter_id": "admission_id", "variable": "position", "value": "raw"}
    )
    codes = resolve_codes(diagnoses, by_ontology(load_ontology("icd9cm"), granularity), "icd9cm", ledger)
    events = read_diabetes130_events(path, kinds, visits, ledger, forms) if kinds else None
    cohort = build_cohort(visits, codes, ledger, events=None if events is None else events.rows)
    return cohort, [source.file], None if events is None else events.names


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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare diabetes130`."""
    add_diagnosis_options(parser, "FILE", "diabetic_data.csv or .csv.gz", zeros=False)
    add_events(parser, KINDS)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, event_names = read_diabetes130(
        arguments.input, ledger, column_forms(arguments), arguments.granularity, tuple(arguments.events)
    )
    return Source(
        name="diabetes130",
        system="icd9cm",
        patients=patients,
        ledger=ledger,
        files=files,
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="diabetes130",
    help="""\
Diabetes 130-US Hospitals: diabetic_data.csv, plain or gzipped.

  mera prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit
  mera prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130-events --every-visit \\
      --events drugs,labs
      with antidiabetic drugs and high A1C and glucose of the visits before (docs/events.md)""",
    add_options=add_options,
    read=read_source,
)
