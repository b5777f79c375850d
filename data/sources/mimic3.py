"""MIMIC-III (Johnson et al. 2016): ADMISSIONS, PATIENTS and DIAGNOSES_ICD, all in ICD-9-CM; notes
in NOTEEVENTS.

Access to the full database needs a data use agreement with PhysioNet; a demo of 100 patients is open.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.codes.leading_zeros import with_leading_zeros
from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.notes.text_rules import RULES
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import load_ontology
from data.sources.shared.discharge_notes import next_admissions, read_mimic3_notes, visits_with_notes
from data.sources.shared.events.of_mimic import MIMIC3, read_mimic_events
from data.sources.shared.events.options import add_events
from data.sources.shared.mdace import read_mdace
from data.sources.shared.mimic import (
    ADMISSION,
    ADMISSIONS,
    PATIENT,
    admission_visits,
    diagnoses_table,
    read_mimic_table,
)
from data.sources.shared.options import add_diagnosis_options, add_kind, add_past_notes, add_rules
from data.sources.shared.source_command import Arguments, SourceCommand, check_notes_are_read, column_forms
from data.table_files.columns import ColumnForms, column
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

PATIENTS = (
    PATIENT,
    column("gender", Meaning.SEX),
    column("dob", Meaning.TIME),
    column("dod", Meaning.TIME, may_be_empty=True),
)
DIAGNOSES = (PATIENT, ADMISSION, column("seq_num", Meaning.WHOLE), column("icd9_code", Meaning.CODE))


def read_mimic3(
    folder: str | Path,
    ledger: Ledger,
    notes: str | Path | None = None,
    past_notes: bool = False,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    rules: str | None = None,
    evidence: str | Path | None = None,
    kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], pl.DataFrame | None]:
    """The cohort in ICD-9-CM, the files it was read from, and the names of its events.

    `folder` holds the tables as .csv or .csv.gz, names and headers in any case. With `notes`, the file NOTEEVENTS or
    its folder, visits are the admissions that have a discharge summary (see `data.sources.shared.discharge_notes`);
    with `past_notes`, for histories, all admissions with the summaries they have. `forms`: what the user says of the
    columns; `zeros`: of codes without leading zeros (`data.codes.leading_zeros`); `granularity`: of the task
    (`by_ontology`). `rules`: of a paper, for the notes; `evidence`: the folder of MDACE's charts; `kinds`: of
    events. Raises FileNotFoundError or UserError where a file cannot be used.
    """
    admissions = read_mimic_table(folder, "ADMISSIONS", ADMISSIONS, ledger, forms)
    patients = read_mimic_table(folder, "PATIENTS", PATIENTS, ledger, forms)
    diagnoses = read_mimic_table(folder, "DIAGNOSES_ICD", DIAGNOSES, ledger, forms)
    ledger.read("diagnoses", diagnoses.rows.height)
    visits = admission_visits(admissions.rows, patients.rows, ledger, after_death=rules is not None)
    files = [admissions.file, patients.file, diagnoses.file]
    resolve = by_ontology(load_ontology("icd9cm"), granularity)
    texts, spans = None, {}
    if notes is not None:
        date_format = None if forms is None else forms.date_format
        mdace = None if evidence is None else read_mdace(evidence, ledger)
        next_ones = next_admissions(visits) if past_notes else None
        texts, file, places = read_mimic3_notes(notes, ledger, next_ones, date_format, rules, mdace)
        visits = visits_with_notes(visits, texts, ledger, required=not past_notes)
        files.append(file)
        if mdace is not None:
            spans = mdace.evidence(places, resolve, ledger)
            files.append(mdace.file)
    rows = with_leading_zeros(diagnoses_table(diagnoses.rows, "icd9_code"), "icd9cm", ledger, zeros)
    codes = resolve_codes(rows, resolve, "icd9cm", ledger)
    events = None
    if kinds:
        events, more = read_mimic_events(folder, MIMIC3, kinds, visits, ledger, forms)
        files += more
    cohort = build_cohort(visits, codes, ledger, spans, texts, None if events is None else events.rows)
    joined = sum(len(visit.evidence) for patient in cohort for visit in patient.visits)
    ledger.change("evidence for a code that its admission lacks, left out", sum(map(len, spans.values())) - joined)
    return cohort, files, None if events is None else events.names


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare mimic3`."""
    add_diagnosis_options(parser, "FOLDER", "folder with the tables")
    add_kind(parser, "coding: with the discharge summaries of NOTEEVENTS")
    parser.add_argument("--notes", metavar="FILE", help="NOTEEVENTS.csv.gz or its folder (default: in --input)")
    add_past_notes(parser)
    add_rules(parser, RULES)
    add_events(parser)
    parser.add_argument(
        "--evidence", metavar="FOLDER", help="coding: MDACE's charts (.json), whose evidence is put on the notes"
    )


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    check_notes_are_read(arguments, kind, "--notes", arguments.notes)
    if arguments.evidence is not None and (kind != "coding" or arguments.rules is not None):
        raise UserError("--evidence counts characters of the notes as they are: it goes with --kind coding, no --rules")
    notes = (arguments.notes or arguments.input) if kind == "coding" or arguments.past_notes else None
    patients, files, event_names = read_mimic3(
        arguments.input,
        ledger,
        notes,
        arguments.past_notes,
        column_forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
        arguments.rules,
        arguments.evidence,
        arguments.events,
    )
    return Source(
        name="mimic3",
        system="icd9cm",
        patients=patients,
        ledger=ledger,
        files=files,
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="mimic3",
    help="""\
MIMIC-III: the folder with ADMISSIONS, PATIENTS and DIAGNOSES_ICD, as .csv or .csv.gz.

  mera prepare mimic3 --input mimic-iii/1.4 --output prepared/mimic3
  mera prepare mimic3 --input mimic-iii/1.4 --protocol chet --output prepared/mimic3-chet
  mera prepare mimic3 --input mimic-iii/1.4 --kind coding --output prepared/mimic3-coding
      discharge summaries of NOTEEVENTS, in the same folder or named by --notes
  mera prepare mimic3 --input mimic-iii/1.4 --kind coding --rules edin --split-file mimiciii_clean_splits.feather \\
      --output prepared/mimic3-clean
      the test patients and preparation of a paper
  mera prepare mimic3 --input mimic-iii/1.4 --kind coding --evidence MDACE/data/Inpatient/ICD-9 \\
      --output prepared/mimic3-evidence
  mera prepare mimic3 --input mimic-iii/1.4 --past-notes --output prepared/mimic3-notes
      next diagnoses, with the discharge summaries of the visits before
  mera prepare mimic3 --input mimic-iii/1.4 --events procedures,drugs,labs --output prepared/mimic3-events
      next diagnoses, with procedures, drugs and abnormal labs of the visits before (docs/events.md)""",
    add_options=add_options,
    read=read_source,
    chet_sizes=(6000, 493, 1000),
)
