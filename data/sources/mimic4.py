"""MIMIC-IV (Johnson et al. 2023), module hosp: admissions, patients and diagnoses_icd, in ICD-9-CM and ICD-10-CM.

Hospitals changed from ICD-9 to ICD-10 in October 2015, so one patient may have both. `code_system` says what to do:
`icd9` and `icd10` keep the rows of that version only, `to-icd9` and `to-icd10` translate the others by the GEMs, and
`mixed` is another word for `to-icd10`.
Access to the full database needs a data use agreement with PhysioNet; a demo of 100 patients is open.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.source import Source
from data.ledger import Ledger
from data.sources.shared.discharge_notes import next_admissions, read_mimic4_notes, visits_with_notes
from data.sources.shared.events.of_mimic import MIMIC4, read_mimic_events
from data.sources.shared.events.options import add_events
from data.sources.shared.icd_versions import CODE_SYSTEMS, resolve_versions
from data.sources.shared.mimic import (
    ADMISSION,
    ADMISSIONS,
    PATIENT,
    VERSIONED_CODES,
    admission_visits,
    read_mimic_table,
)
from data.sources.shared.options import add_code_system, add_diagnosis_options, add_kind, add_past_notes, add_rules
from data.sources.shared.source_command import Arguments, SourceCommand, check_notes_are_read, column_forms
from data.table_files.columns import ColumnForms, column
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

PATIENTS = (
    PATIENT,
    column("gender", Meaning.SEX),
    column("anchor_age", Meaning.AGE),
    column("anchor_year", Meaning.WHOLE),
    column("dod", Meaning.TIME, may_be_empty=True),
    column("anchor_year_group", Meaning.WORD, optional=True),
)


def read_mimic4(
    folder: str | Path,
    ledger: Ledger,
    code_system: str | None = None,
    notes: str | Path | None = None,
    past_notes: bool = False,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    rules: str | None = None,
    kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], str, pl.DataFrame | None]:
    """The cohort, the files it was read from, the system (`icd9cm` or `icd10cm`) its codes are in, and the names of
    its events.

    `folder` holds the tables of module hosp, or a folder `hosp` that does. `code_system` is one of CODE_SYSTEMS; None
    is enough where all rows have one version. With `notes`, the file `discharge` of MIMIC-IV-Note or its folder, visits
    are the admissions that have a discharge summary (see `data.sources.shared.discharge_notes`); with `past_notes`, for
    histories, all admissions with the summaries they have. `rules`: of a paper, for the notes. `kinds`: of events.
    Raises UserError where versions are mixed and none is chosen, and UserError or FileNotFoundError where a table
    cannot be used.
    """
    folder = Path(folder) / "hosp" if (Path(folder) / "hosp").is_dir() else Path(folder)
    admissions = read_mimic_table(folder, "admissions", ADMISSIONS, ledger, forms)
    patients = read_mimic_table(folder, "patients", PATIENTS, ledger, forms)
    codes, system, diagnoses = _read_diagnoses(folder, code_system, ledger, zeros, granularity)
    visits = admission_visits(admissions.rows, patients.rows, ledger, after_death=rules is not None)
    files = [admissions.file, patients.file, diagnoses]
    texts = None
    if notes is not None:
        date_format = None if forms is None else forms.date_format
        next_ones = next_admissions(visits) if past_notes else None
        texts, file = read_mimic4_notes(notes, ledger, next_ones, date_format, rules)
        visits = visits_with_notes(visits, texts, ledger, required=not past_notes)
        files.append(file)
    events = None
    if kinds:
        events, more = read_mimic_events(folder, MIMIC4, kinds, visits, ledger, forms)
        files += more
    cohort = build_cohort(visits, codes, ledger, texts=texts, events=None if events is None else events.rows)
    return cohort, files, system, None if events is None else events.names


def _read_diagnoses(
    folder: Path, code_system: str | None, ledger: Ledger, zeros: str | None, granularity: str
) -> tuple[pl.DataFrame, str, InputFile]:
    """Canonical codes, their system, and the file. Its millions of rows as text are freed on return."""
    table = read_mimic_table(folder, "diagnoses_icd", (PATIENT, ADMISSION, *VERSIONED_CODES), ledger)
    ledger.read("diagnoses", table.rows.height)
    return *resolve_versions(table.rows, code_system, ledger, zeros=zeros, granularity=granularity), table.file


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare mimic4`."""
    add_diagnosis_options(parser, "FOLDER", "folder with the tables, or the one above hosp")
    add_code_system(parser, CODE_SYSTEMS)
    add_kind(parser, "coding: with the discharge summaries of --notes")
    parser.add_argument("--notes", metavar="FILE", help="discharge.csv.gz of MIMIC-IV-Note, or its folder")
    add_past_notes(parser)
    add_rules(parser, ("edin",))
    add_events(parser)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    check_notes_are_read(arguments, kind, "--notes", arguments.notes)
    if (kind == "coding" or arguments.past_notes) and arguments.notes is None:
        asked = "--past-notes" if arguments.past_notes else "--kind coding"
        raise UserError(f"{asked} needs --notes: discharge.csv.gz of MIMIC-IV-Note, or the folder that holds it")
    patients, files, system, event_names = read_mimic4(
        arguments.input,
        ledger,
        arguments.code_system,
        arguments.notes,
        arguments.past_notes,
        column_forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
        arguments.rules,
        arguments.events,
    )
    return Source(
        name="mimic4",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options={"code_system": arguments.code_system or system.removesuffix("cm")},
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="mimic4",
    help="""\
MIMIC-IV: the folder hosp with admissions, patients and diagnoses_icd, as .csv or .csv.gz.

  mera prepare mimic4 --input mimiciv/3.1/hosp --code-system to-icd10 --output prepared/mimic4
  mera prepare mimic4 --input mimiciv/3.1/hosp --code-system icd9 --output prepared/mimic4-icd9
  mera prepare mimic4 --input mimiciv/3.1/hosp --notes mimic-iv-note/2.2/note --kind coding \\
      --code-system icd10 --output prepared/mimic4-coding
      --rules edin --split-file mimiciv_icd10_split.feather: the preparation and test patients of a paper
  mera prepare mimic4 --input mimiciv/3.1/hosp --notes mimic-iv-note/2.2/note --past-notes --max-history 10 \\
      --code-system to-icd10 --output prepared/mimic4-notes
      next diagnoses, with the discharge summaries of the visits before
  mera prepare mimic4 --input mimiciv/3.1/hosp --events procedures,drugs,labs --code-system to-icd10 \\
      --output prepared/mimic4-events
      next diagnoses, with procedures, drugs and abnormal labs of the visits before (docs/events.md)""",
    add_options=add_options,
    read=read_source,
    chet_sizes=(8000, 1000, 1000),
)
