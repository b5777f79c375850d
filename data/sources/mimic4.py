"""MIMIC-IV (Johnson et al. 2023), module hosp: admissions, patients and diagnoses_icd, in ICD-9-CM and ICD-10-CM.

Hospitals changed from ICD-9 to ICD-10 in October 2015, so one patient may have both. `code_system` says what to do:
`icd9` and `icd10` keep the rows of that version only, `to-icd9` and `to-icd10` translate the others by the GEMs, and
`mixed` is another word for `to-icd10`.
Access to the full database needs a data use agreement with PhysioNet; a demo of 100 patients is open.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from data.codes.code_columns import by_ontology, mark_primary, resolve_codes
from data.codes.gem import by_gem
from data.codes.leading_zeros import with_leading_zeros
from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import load_ontology
from data.sources.shared.discharge_notes import next_admissions, read_mimic4_notes, visits_with_notes
from data.sources.shared.mimic import (
    ADMISSION,
    ADMISSIONS,
    PATIENT,
    VERSIONED_CODES,
    admission_visits,
    diagnoses_table,
    read_mimic_table,
)
from data.sources.shared.options import add_code_system, add_diagnosis_options, add_kind, add_past_notes, add_rules
from data.sources.shared.source_command import Arguments, SourceCommand, check_notes_are_read, column_forms
from data.table_files.columns import ColumnForms, column
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

CODE_SYSTEMS = ("icd9", "icd10", "to-icd9", "to-icd10", "mixed")
PATIENTS = (
    PATIENT,
    column("gender", Meaning.SEX),
    column("anchor_age", Meaning.AGE),
    column("anchor_year", Meaning.WHOLE),
    column("dod", Meaning.TIME, may_be_empty=True),
    column("anchor_year_group", Meaning.WORD, optional=True),
)
_SYSTEM_OF_VERSION = {9: "icd9cm", 10: "icd10cm"}


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
) -> tuple[list[Patient], list[InputFile], str]:
    """The cohort, the files it was read from, and the system (`icd9cm` or `icd10cm`) its codes are in.

    `folder` holds the tables of module hosp, or a folder `hosp` that does. `code_system` is one of CODE_SYSTEMS; None
    is enough where all rows have one version. With `notes`, the file `discharge` of MIMIC-IV-Note or its folder, visits
    are the admissions that have a discharge summary (see `data.sources.shared.discharge_notes`); with `past_notes`, for
    histories, all admissions with the summaries they have. `rules`: of a paper, for the notes. Raises ValueError where
    versions are mixed and none is chosen, and ValueError or FileNotFoundError where a table cannot be used.
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
    return build_cohort(visits, codes, ledger, texts=texts), files, system


def _read_diagnoses(
    folder: Path, code_system: str | None, ledger: Ledger, zeros: str | None, granularity: str
) -> tuple[pl.DataFrame, str, InputFile]:
    """Canonical codes, their system, and the file. Its millions of rows as text are freed on return."""
    table = read_mimic_table(folder, "diagnoses_icd", (PATIENT, ADMISSION, *VERSIONED_CODES), ledger)
    ledger.read("diagnoses", table.rows.height)
    return *resolve_versions(table.rows, code_system, ledger, zeros=zeros, granularity=granularity), table.file


def resolve_versions(
    rows: pl.DataFrame,
    code_system: str | None,
    ledger: Ledger,
    stay: str = "hadm_id",
    zeros: str | None = None,
    granularity: str = "full",
) -> tuple[pl.DataFrame, str]:
    """The diagnoses of both versions as one table of canonical codes, and the ontology they are in.

    `rows`: subject_id, the id of the `stay`, seq_num, icd_code, icd_version. `zeros`: what the user says of ICD-9 codes
    without leading zeros; `granularity`: of the task (`by_ontology`). `mixed` is `to-icd10`. Translations prefer what
    the rows of the wanted version hold (`data.codes.gem`). Raises ValueError as `read_mimic4` does.
    """
    code_system = _choose(rows["icd_version"], code_system)
    table = mark_primary(diagnoses_table(rows, "icd_code", stay, keep=["icd_version"]))
    # Codes that need no translation come first: what the hospital itself uses decides where the GEM leaves a choice.
    by_own_first = sorted(
        _SYSTEM_OF_VERSION, key=lambda version: _SYSTEM_OF_VERSION[version] != _target_of(code_system)
    )
    codes: dict[int, pl.DataFrame] = {}
    native: dict[str, int] = {}
    for version in by_own_first:
        codes[version] = _codes_of_version(table, version, code_system, ledger, zeros, granularity, native)
        native = dict(codes[version]["code"].value_counts().iter_rows())
    of_no_version = table.filter(~pl.col("icd_version").is_in(list(_SYSTEM_OF_VERSION)).fill_null(False))
    ledger.drop("diagnoses", "icd_version is neither 9 nor 10", of_no_version.height)
    return pl.concat(codes[version] for version in _SYSTEM_OF_VERSION), _target_of(code_system)


def _target_of(code_system: str) -> str:
    return "icd9cm" if code_system.endswith("icd9") else "icd10cm"


def _codes_of_version(
    rows: pl.DataFrame,
    version: int,
    code_system: str,
    ledger: Ledger,
    zeros: str | None,
    granularity: str,
    native: Mapping[str, int],
) -> pl.DataFrame:
    """Canonical codes of the rows of one version; `native`: how often each code stands in the target's own rows."""
    own, wanted = _SYSTEM_OF_VERSION[version], _target_of(code_system)
    table = rows.filter(pl.col("icd_version") == version).drop("icd_version")
    if own == wanted or code_system.startswith("to-"):
        table = with_leading_zeros(table, own, ledger, zeros)
    if own == wanted:
        return resolve_codes(table, by_ontology(load_ontology(own), granularity), own, ledger)
    if not code_system.startswith("to-"):
        ledger.drop("diagnoses", f"{own} row, not asked for", table.height)
        table = table.clear()
    return resolve_codes(table, by_gem(own, wanted, native), own, ledger)


def _choose(versions: pl.Series, code_system: str | None) -> str:
    counts = {version: int((versions == version).sum()) for version in _SYSTEM_OF_VERSION}
    if code_system is not None:
        if code_system not in CODE_SYSTEMS:
            raise UserError(f"--code-system must be one of {', '.join(CODE_SYSTEMS)}, got {code_system!r}")
        return "to-icd10" if code_system == "mixed" else code_system
    present = [version for version, count in counts.items() if count]
    if len(present) > 1:
        raise UserError(
            f"diagnoses_icd mixes ICD-9 ({counts[9]:,} rows) and ICD-10 ({counts[10]:,} rows); choose with "
            "--code-system: icd9 or icd10 keep one version, to-icd9 or to-icd10 (or mixed) "
            "translate the other by the GEMs"
        )
    if not present:
        raise UserError("diagnoses_icd has no row whose icd_version is 9 or 10")
    return f"icd{present[0]}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare mimic4`."""
    add_diagnosis_options(parser, "FOLDER", "folder with the tables, or the one above hosp")
    add_code_system(parser, CODE_SYSTEMS)
    add_kind(parser, "coding: with the discharge summaries of --notes")
    parser.add_argument("--notes", metavar="FILE", help="discharge.csv.gz of MIMIC-IV-Note, or its folder")
    add_past_notes(parser)
    add_rules(parser, ("edin",))


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    check_notes_are_read(arguments, kind, "--notes", arguments.notes)
    if (kind == "coding" or arguments.past_notes) and arguments.notes is None:
        asked = "--past-notes" if arguments.past_notes else "--kind coding"
        raise UserError(f"{asked} needs --notes: discharge.csv.gz of MIMIC-IV-Note, or the folder that holds it")
    patients, files, system = read_mimic4(
        arguments.input,
        ledger,
        arguments.code_system,
        arguments.notes,
        arguments.past_notes,
        column_forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
        arguments.rules,
    )
    options = {"code_system": arguments.code_system or system.removesuffix("cm")}
    return Source(name="mimic4", system=system, patients=patients, ledger=ledger, files=files, options=options)


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
      next diagnoses, with the discharge summaries of the visits before""",
    add_options=add_options,
    read=read_source,
    chet_sizes=(8000, 1000, 1000),
)
