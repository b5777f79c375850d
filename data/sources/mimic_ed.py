"""MIMIC-IV-ED (Johnson et al. 2023): emergency department stays, their discharge diagnoses and the triage.

A visit is an ED stay (edstays), coded in ICD-9-CM or ICD-10-CM (diagnosis, up to nine codes, the first the main one).
The note of a stay is what triage wrote down: the chief complaint, then acuity, pain and vital signs, those that are
there. Ages and deaths are in the table patients of MIMIC-IV `hosp`, which `--hosp` names; without it ages are unknown.
Access needs a data use agreement with PhysioNet; a demo of 100 patients is open.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from data.cohorts.cohort import Patient, build_cohort, with_people
from data.cohorts.source import Source
from data.ledger import Ledger
from data.sources.shared.discharge_notes import next_admissions, read_visit_notes, visits_with_notes
from data.sources.shared.icd_versions import CODE_SYSTEMS, resolve_versions
from data.sources.shared.mimic import PATIENT, VERSIONED_CODES, read_mimic_table
from data.sources.shared.options import add_code_system, add_diagnosis_options, add_kind, add_past_notes
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, column
from data.table_files.meanings import LARGEST_AGE, OLDEST_AGE, Meaning
from data.table_files.stored_files import InputFile

STAY = column("stay_id", Meaning.NUMBER_ID)
STAYS = (PATIENT, STAY, column("intime", Meaning.TIME), column("gender", Meaning.SEX))
SIGNS = {
    "acuity": "acuity",
    "pain": "pain",
    "temperature": "temperature",
    "heartrate": "heart rate",
    "resprate": "respiratory rate",
    "o2sat": "oxygen saturation",
    "sbp": "systolic blood pressure",
    "dbp": "diastolic blood pressure",
}
"""Column of triage -> what a note calls it."""
TRIAGE = (
    PATIENT,
    STAY,
    column("chiefcomplaint", Meaning.TEXT),
    *(column(name, Meaning.WORD, optional=True, may_be_empty=True) for name in SIGNS),
)
PATIENTS = (
    PATIENT,
    column("anchor_age", Meaning.AGE),
    column("anchor_year", Meaning.WHOLE),
    column("dod", Meaning.TIME, may_be_empty=True),
)


def read_mimic_ed(
    folder: str | Path,
    ledger: Ledger,
    *,
    hosp: str | Path | None = None,
    code_system: str | None = None,
    notes: bool = False,
    past_notes: bool = False,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
) -> tuple[list[Patient], list[InputFile], str]:
    """The cohort, the files it was read from, and the ontology of its codes.

    `folder`: of the tables, or the one above `ed`. `hosp`: of MIMIC-IV's patients. `code_system`: of CODE_SYSTEMS. With
    `notes` visits are stays with a chief complaint or a vital sign, with `past_notes` all. Raises FileNotFoundError or
    UserError where a table cannot be used.
    """
    folder = Path(folder) / "ed" if (Path(folder) / "ed").is_dir() else Path(folder)
    stays = read_mimic_table(folder, "edstays", STAYS, ledger, forms)
    diagnoses = read_mimic_table(folder, "diagnosis", (PATIENT, STAY, *VERSIONED_CODES), ledger, forms)
    files = [stays.file, diagnoses.file]
    people = None
    if hosp is not None:
        inner = Path(hosp) / "hosp"
        table = read_mimic_table(inner if inner.is_dir() else hosp, "patients", PATIENTS, ledger, forms)
        people = table.rows
        files.append(table.file)
    visits = _visits(stays.rows, people, ledger)
    ledger.read("diagnoses", diagnoses.rows.height)
    codes, system = resolve_versions(
        diagnoses.rows, code_system, ledger, stay="stay_id", zeros=zeros, granularity=granularity
    )
    texts = None
    if notes or past_notes:
        triage = read_mimic_table(folder, "triage", TRIAGE, ledger, forms)
        files.append(triage.file)
        rows = triage.rows.join(stays.rows.select("stay_id", "intime").unique("stay_id"), on="stay_id", how="left")
        next_ones = next_admissions(visits) if past_notes else None
        texts = read_visit_notes(_triage_notes(rows), "edstays, intime", ledger, next_ones)
        visits = visits_with_notes(visits, texts, ledger, required=not past_notes, what="triage note")
    return build_cohort(visits, codes, ledger, texts=texts), files, system


def _visits(stays: pl.DataFrame, people: pl.DataFrame | None, ledger: Ledger) -> pl.DataFrame:
    ledger.read("visits", stays.height)
    everyone = stays["subject_id"].drop_nulls().n_unique()
    ledger.read("patients", everyone)
    named = stays.drop_nulls(["subject_id", "stay_id"])
    ledger.drop("visits", "without a patient or stay id", stays.height - named.height)
    unique = named.sort(pl.all(), nulls_last=True).unique("stay_id", keep="first", maintain_order=True)
    ledger.drop("visits", "duplicate stay", named.height - unique.height)
    timed = unique.drop_nulls("intime")
    ledger.drop("visits", "without a time", unique.height - timed.height)
    age = pl.lit(None, pl.Int64)
    if people is not None:
        timed = with_people(timed, people, "subject_id", ledger)
        dead = (pl.col("dod").dt.date() < pl.col("intime").dt.date()).fill_null(False)
        ledger.drop("visits", "death before admission", timed.filter(dead).height)
        timed = timed.filter(~dead)
        age = pl.col("anchor_age") + pl.col("intime").dt.year() - pl.col("anchor_year")
    ledger.drop("patients", "without a usable stay", everyone - timed["subject_id"].n_unique())
    return timed.select(
        patient_id="subject_id",
        admission_id="stay_id",
        order=pl.col("intime").dt.epoch("s"),
        sex="gender",
        age=pl.when(age <= LARGEST_AGE).then(age.clip(upper_bound=OLDEST_AGE)).otherwise(age),
        day=pl.col("intime").dt.epoch("d").cast(pl.Int64),
    )


def _triage_notes(rows: pl.DataFrame) -> Iterator[tuple[str, str, str, str, str]]:
    """Stay (as the note's id too), patient, stay, time of arrival and text."""
    times = rows["intime"].dt.strftime("%Y-%m-%d %H:%M:%S")
    for row, time in zip(rows.iter_rows(named=True), times, strict=True):
        signs = [f"{name} {row[column]}" for column, name in SIGNS.items() if row.get(column)]
        complaint = f"Chief complaint: {row['chiefcomplaint']}." if row["chiefcomplaint"] else ""
        vitals = f"{', '.join(signs).capitalize()}." if signs else ""
        stay = row["stay_id"] or ""
        yield stay, row["subject_id"] or "", stay, time or "", " ".join(filter(None, (complaint, vitals)))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare mimic-ed`."""
    add_diagnosis_options(parser, "FOLDER", "folder with the tables, or the one above ed")
    add_code_system(parser, CODE_SYSTEMS)
    parser.add_argument("--hosp", metavar="FOLDER", help="of MIMIC-IV's table patients, for ages and deaths")
    add_kind(parser, "coding: from the triage: chief complaint, acuity, pain and vital signs")
    add_past_notes(parser)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, system = read_mimic_ed(
        arguments.input,
        ledger,
        hosp=arguments.hosp,
        code_system=arguments.code_system,
        notes=kind == "coding",
        past_notes=arguments.past_notes,
        forms=column_forms(arguments),
        zeros=arguments.codes_without_zeros,
        granularity=arguments.granularity,
    )
    options = {"code_system": arguments.code_system or system.removesuffix("cm")}
    return Source(name="mimic-ed", system=system, patients=patients, ledger=ledger, files=files, options=options)


SOURCE = SourceCommand(
    name="mimic-ed",
    help="""\
MIMIC-IV-ED: the folder ed with edstays, diagnosis and triage, as .csv or .csv.gz.

  mera prepare mimic-ed --input mimic-iv-ed/2.2/ed --hosp mimiciv/3.1/hosp --code-system to-icd10 --output prepared/ed
  mera prepare mimic-ed --input mimic-iv-ed/2.2/ed --code-system icd10 --kind coding --output prepared/ed-triage
      codes of the stay from what triage wrote down""",
    add_options=add_options,
    read=read_source,
)
