"""MIMIC-CXR (Johnson et al. 2019): radiology reports joined to the codes of the stay they were made in.

The rule: a study belongs to the stay of its patient whose time, from start to end, both included, holds the study's
(StudyDate and StudyTime of mimic-cxr-2.0.0-metadata; of several images the earliest). Stays are the admissions of
MIMIC-IV `hosp` (admittime to dischtime; diagnoses_icd), or the stays of MIMIC-IV-ED (intime to outtime; diagnosis). Of
several the one that began last counts. The text is the report's findings and impression. The visit of a task is the
study: studies of one stay share its codes, and they are coded long after the study was read.
"""

import argparse
import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from data.cohorts.cohort import Patient, build_cohort, with_people
from data.cohorts.source import Source
from data.ledger import Ledger
from data.sources.shared.icd_versions import CODE_SYSTEMS, resolve_versions
from data.sources.shared.mimic import ADMISSION, PATIENT, VERSIONED_CODES, age_from_anchor, read_mimic_table
from data.sources.shared.options import (
    add_candidates,
    add_code_options,
    add_code_system,
    add_column_options,
    add_split_options,
)
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, column, read_columns
from data.table_files.meanings import Meaning, form_of
from data.table_files.stored_files import InputFile
from data.task_folder.task_info import SourceFacts
from mera.system.errors import UserError

STUDIES = (
    PATIENT,
    column("study_id", Meaning.NUMBER_ID),
    column("studydate", Meaning.TIME),
    column("studytime", Meaning.NUMBER),
)
ED_STAY = column("stay_id", Meaning.NUMBER_ID)
ED_STAYS = (
    PATIENT,
    ED_STAY,
    column("intime", Meaning.TIME),
    column("outtime", Meaning.TIME),
    column("gender", Meaning.SEX),
)
HOSP_STAYS = (PATIENT, ADMISSION, column("admittime", Meaning.TIME), column("dischtime", Meaning.TIME))
PATIENTS = (
    PATIENT,
    column("gender", Meaning.SEX),
    column("anchor_age", Meaning.AGE),
    column("anchor_year", Meaning.WHOLE),
)
SECTIONS = ("findings", "impression")
"""Of a report, as MIMIC-CXR writes them: a heading in capitals, a colon, text."""
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ,()/&.-]{2,}?)[ \t]*:", re.MULTILINE)
_SECTION_HEADINGS = {
    "findings": re.compile(r"FINDING|^CHEST|^PA AND LATERAL|^FRONTAL"),
    "impression": re.compile(r"IMPRESSION|CONCLUSION|^IMP\b"),
}
_REPORT = re.compile(r"(?:^|/)p(\d+)/s(\d+)\.txt$")
RULES = {
    "hosp": "study time within admittime and dischtime of a hosp admission",
    "ed": "study time within intime and outtime of an ED stay",
}


def read_mimic_cxr(
    reports: str | Path,
    metadata: str | Path,
    ledger: Ledger,
    *,
    hosp: str | Path | None = None,
    ed: str | Path | None = None,
    code_system: str | None = None,
    sections: Sequence[str] = SECTIONS,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
) -> tuple[list[Patient], list[InputFile], str, SourceFacts]:
    """The cohort (visits are studies with a note), the files, the ontology of the codes, and facts about the join.

    `reports`: the folder with files/p10/p10000032/s50414267.txt, or mimic-cxr-reports.zip. `metadata`:
    mimic-cxr-2.0.0-metadata.csv(.gz). One of `hosp` and `ed`: the folder of that module's tables. Raises
    FileNotFoundError or UserError where something is missing.
    """
    if (hosp is None) == (ed is None):
        raise UserError("mimic-cxr needs one of --hosp and --ed: where the codes of a study come from")
    files: list[InputFile] = []
    studies = _studies(Path(reports), Path(metadata), sections, ledger, files, forms)
    if hosp is not None:
        kind, (stays, rows) = "hosp", _hosp(Path(hosp), files, ledger, forms)
    else:
        assert ed is not None, "checked above"
        kind, (stays, rows) = "ed", _ed(Path(ed), files, ledger, forms)
    ledger.read("diagnoses", rows.height)
    codes, system = resolve_versions(rows, code_system, ledger, stay="stay_id", zeros=zeros, granularity=granularity)
    timed = studies.drop_nulls("time")
    matched = (
        timed.join(stays, left_on="patient_id", right_on="subject_id", how="inner")
        .filter((pl.col("start") <= pl.col("time")) & (pl.col("time") <= pl.col("end")))
        .sort("patient_id", "admission_id", "start", "stay_id", descending=[False, False, True, True])
        .unique(["patient_id", "admission_id"], keep="first", maintain_order=True)
    )
    _drop(ledger, "without a time in the metadata", studies, timed)
    _drop(ledger, f"inside no {'admission' if kind == 'hosp' else 'ED stay'}", timed, matched)
    with_text = matched.drop_nulls("text")
    _drop(ledger, f"without {' or '.join(sections)}", matched, with_text)
    facts: SourceFacts = {
        "join": {
            "rule": RULES[kind],
            "studies": studies.height,
            "unmatched": studies.height - matched.height,
            "unmatched_share": round(1 - matched.height / studies.height, 4),
        }
    }
    visits = with_text.select(
        "patient_id",
        "admission_id",
        "sex",
        "age",
        "text",
        order=pl.col("time").dt.epoch("s"),
        day=pl.col("time").dt.epoch("d").cast(pl.Int64),
        num_notes=pl.lit(1),
    )
    return build_cohort(visits, _codes_of_studies(codes, with_text, ledger), ledger), files, system, facts


def _drop(ledger: Ledger, reason: str, before: pl.DataFrame, after: pl.DataFrame) -> None:
    ledger.drop("visits", reason, before.height - after.height)
    ledger.drop("notes", reason, before.height - after.height)
    ledger.drop("patients", reason, before["patient_id"].n_unique() - after["patient_id"].n_unique())


def _codes_of_studies(codes: pl.DataFrame, studies: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    of_stay = codes.rename({"admission_id": "stay_id"})
    wanted = of_stay.join(studies, on=["patient_id", "stay_id"], how="semi")
    ledger.drop("diagnoses", "stay without a study", of_stay.height - wanted.height)
    joined = wanted.join(studies.select("patient_id", "stay_id", "admission_id"), on=["patient_id", "stay_id"])
    ledger.add("diagnoses", "stay with several studies", joined.height - wanted.height)
    return joined.drop("stay_id")


def _studies(
    reports: Path,
    metadata: Path,
    sections: Sequence[str],
    ledger: Ledger,
    files: list[InputFile],
    forms: ColumnForms | None,
) -> pl.DataFrame:
    """patient_id, admission_id (the study), text or null, time or null."""
    digest, rows = hashlib.sha256(), {}
    for number, (name, stored) in enumerate(_report_files(reports), start=1):
        report = _REPORT.search(name)
        if report is None:
            continue
        digest.update(f"{report[0]} {hashlib.sha256(stored).hexdigest()}\n".encode())
        try:
            rows[report[1], report[2]] = report_text(stored.decode("utf-8"), sections)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{reports}: file {number} in the order of names is not text in UTF-8 (byte {error.start})"
            ) from None
    if not rows:
        raise FileNotFoundError(f"{reports} holds no reports named p10000032/s50414267.txt")
    files.append(InputFile(file_name=reports.name, sha256=digest.hexdigest()))
    table = read_columns(metadata, STUDIES, ledger, forms)
    files.append(table.file)
    times = _study_times(table.rows, f"{metadata.name}, studytime", ledger)
    listed = pl.DataFrame(
        [(*key, text) for key, text in sorted(rows.items())],
        schema={"patient_id": pl.String, "admission_id": pl.String, "text": pl.String},
        orient="row",
    )
    for unit in ("visits", "notes"):
        ledger.read(unit, listed.height)
    ledger.read("patients", listed["patient_id"].n_unique())
    return listed.join(times, on=["patient_id", "admission_id"], how="left", maintain_order="left")


def _study_times(images: pl.DataFrame, column: str, ledger: Ledger) -> pl.DataFrame:
    """patient_id, admission_id (the study) and time, of several images the earliest, null where none has one.

    `column`: what the ledger calls the clock: hhmmss with a fraction, as a number; 91501.5 is a quarter past nine.
    """
    clock = pl.col("studytime")
    is_clock = clock.is_between(0, 235_960, closed="left") & (clock // 100 % 100 < 60) & (clock % 100 < 60)
    odd = images.filter(~is_clock)["studytime"]
    if len(odd):
        ledger.unreadable(
            column, "a time of day as hhmmss", len(odd), [form_of(f"{number:g}") for number in odd.head(1000)]
        )
    whole = pl.when(is_clock).then(clock).floor().cast(pl.Int64)
    seconds = whole // 10_000 * 3600 + whole // 100 % 100 * 60 + whole % 100
    return (
        images.with_columns(time=pl.col("studydate") + pl.duration(seconds=seconds))
        .group_by(patient_id="subject_id", admission_id="study_id")
        .agg(pl.col("time").min())
    )


def _report_files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("s*.txt")):
            yield (
                file.relative_to(path).as_posix() if file.parent != path else f"{path.name}/{file.name}",
                file.read_bytes(),
            )
    elif path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    yield name, archive.read(name) if name.endswith(".txt") else b""
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            # The library names the member, and with it the patient.
            raise UserError(f"{path} is a damaged or protected zip file; download or copy it again") from None
    else:
        raise FileNotFoundError(f"reports not found: {path}; give the folder files or mimic-cxr-reports.zip")


def _hosp(
    folder: Path, files: list[InputFile], ledger: Ledger, forms: ColumnForms | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    folder = folder / "hosp" if (folder / "hosp").is_dir() else folder
    admissions = read_mimic_table(folder, "admissions", HOSP_STAYS, ledger, forms)
    patients = read_mimic_table(folder, "patients", PATIENTS, ledger, forms)
    diagnoses = read_mimic_table(folder, "diagnoses_icd", (PATIENT, ADMISSION, *VERSIONED_CODES), ledger)
    files += [admissions.file, patients.file, diagnoses.file]
    stays = with_people(admissions.rows, patients.rows, "subject_id", ledger).select(
        "subject_id", stay_id="hadm_id", start="admittime", end="dischtime", sex="gender", age=age_from_anchor()
    )
    return stays, diagnoses.rows.rename({"hadm_id": "stay_id"})


def _ed(
    folder: Path, files: list[InputFile], ledger: Ledger, forms: ColumnForms | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    folder = folder / "ed" if (folder / "ed").is_dir() else folder
    edstays = read_mimic_table(folder, "edstays", ED_STAYS, ledger, forms)
    diagnoses = read_mimic_table(folder, "diagnosis", (PATIENT, ED_STAY, *VERSIONED_CODES), ledger)
    files += [edstays.file, diagnoses.file]
    stays = edstays.rows.select(
        "subject_id", "stay_id", start="intime", end="outtime", sex="gender", age=pl.lit(None, dtype=pl.Int64)
    )
    return stays, diagnoses.rows


def find_sections(report: str) -> dict[str, str]:
    """section -> its text, for those of SECTIONS the report has; `FINDINGS AND IMPRESSION` is one text, the findings'.

    Words of a sentence before a colon are no heading: a heading is all capitals at the start of a line.
    """
    headings = list(_HEADING.finditer(report))
    texts: dict[str, list[str]] = {}
    for place, heading in enumerate(headings):
        end = headings[place + 1].start() if place + 1 < len(headings) else len(report)
        text = " ".join(report[heading.end() : end].split())
        name = next((name for name, pattern in _SECTION_HEADINGS.items() if pattern.search(heading[1])), None)
        if name is not None and text:
            texts.setdefault(name, []).append(text)
    return {name: " ".join(texts[name]) for name in SECTIONS if name in texts}


def report_text(report: str, sections: Sequence[str] = SECTIONS) -> str | None:
    """The wanted sections, each with its name before it; None where the report has none of them."""
    texts = find_sections(report)
    parts = [f"{name.capitalize()}: {texts[name]}" for name in sections if name in texts]
    return "\n".join(parts) or None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare mimic-cxr`."""
    parser.add_argument("--reports", required=True, metavar="PATH", help="the folder files, or mimic-cxr-reports.zip")
    parser.add_argument("--metadata", required=True, metavar="FILE", help="mimic-cxr-2.0.0-metadata.csv.gz")
    parser.add_argument("--hosp", metavar="FOLDER", help="codes of the admission: module hosp of MIMIC-IV")
    parser.add_argument("--ed", metavar="FOLDER", help="codes of the ED stay: module ed of MIMIC-IV-ED")
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="of the report (default: both)"
    )
    parser.set_defaults(kind="coding")
    add_code_system(parser, CODE_SYSTEMS)
    add_code_options(parser)
    add_candidates(parser)
    add_column_options(parser)
    add_split_options(parser)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, system, facts = read_mimic_cxr(
        arguments.reports,
        arguments.metadata,
        ledger,
        hosp=arguments.hosp,
        ed=arguments.ed,
        code_system=arguments.code_system,
        sections=arguments.sections,
        forms=column_forms(arguments),
        zeros=arguments.codes_without_zeros,
        granularity=arguments.granularity,
    )
    return Source(
        name="mimic-cxr",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options={"code_system": arguments.code_system, "sections": list(arguments.sections)},
        facts=facts,
    )


SOURCE = SourceCommand(
    name="mimic-cxr",
    help="""\
MIMIC-CXR: radiology reports with the codes of the hospital admission or ED stay they were made in.

  mera prepare mimic-cxr --reports mimic-cxr-reports.zip --metadata mimic-cxr-2.0.0-metadata.csv.gz \\
      --hosp mimiciv/3.1/hosp --code-system icd10 --output prepared/cxr
  mera prepare mimic-cxr --reports mimic-cxr/2.0.0/files --metadata mimic-cxr-2.0.0-metadata.csv.gz \\
      --ed mimic-iv-ed/2.2/ed --code-system to-icd10 --output prepared/cxr-ed""",
    add_options=add_options,
    read=read_source,
)
