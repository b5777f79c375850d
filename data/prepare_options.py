"""The command line of `mera prepare`: which source has which options."""

import argparse
from collections.abc import Sequence

from data.codiesp import LANGUAGES
from data.eicu import SYSTEMS as EICU_SYSTEMS
from data.eicu import VISITS
from data.meds import WHO
from data.mimic4 import CODE_SYSTEMS
from data.report_sections import SECTIONS
from data.source_help import EXAMPLES
from data.task_arguments import (
    add_candidates,
    add_code_options,
    add_column_options,
    add_history_options,
    add_past_notes,
    add_split_options,
    add_training_visits,
)
from data.user_table import SYSTEMS as TABLE_SYSTEMS


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of one source; `arguments.source` names it. Exits with code 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="mera prepare",
        description="Turn hospital tables into a prepared task.",
        epilog="Each source has its own --help, with examples.",
        allow_abbrev=False,
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    _diagnosis_source(sources, "diabetes130", "FILE", "diabetic_data.csv or .csv.gz")
    mimic3 = _diagnosis_source(sources, "mimic3", "FOLDER", "folder with the tables")
    _add_kind(mimic3, "coding: with the discharge summaries of NOTEEVENTS")
    mimic3.add_argument("--notes", metavar="FILE", help="NOTEEVENTS.csv.gz or its folder (default: in --input)")
    add_past_notes(mimic3)
    mimic4 = _diagnosis_source(sources, "mimic4", "FOLDER", "folder with the tables, or the one above hosp")
    _add_code_system(mimic4)
    _add_kind(mimic4, "coding: with the discharge summaries of --notes")
    mimic4.add_argument("--notes", metavar="FILE", help="discharge.csv.gz of MIMIC-IV-Note, or its folder")
    add_past_notes(mimic4)
    _add_mimic_cxr(sources)
    _add_eicu(sources)
    _diagnosis_source(sources, "desynpuf", "PATH", "claims and beneficiaries, or folders of them", several=True)
    _add_codiesp(sources)
    meds = _diagnosis_source(sources, "meds", "FOLDER", "the data set, or the folder of its shards")
    _add_code_system(meds, (*CODE_SYSTEMS, WHO))
    meds.add_argument("--visit-column", metavar="NAME", help="id of the visit (default: events of one day are a visit)")
    meds.add_argument(
        "--diagnosis-prefix",
        nargs="+",
        default=(),
        metavar="NAME",
        help="also take diagnoses whose codes begin so, such as HOSPITAL_DIAGNOSIS (always: DIAGNOSIS, CONDITION, DX)",
    )
    _add_table(sources)
    _add_synthetic(sources)
    return parser.parse_args(arguments)


def _add_source(sources: argparse._SubParsersAction, name: str) -> argparse.ArgumentParser:
    parser = sources.add_parser(
        name,
        help=EXAMPLES[name].splitlines()[0].rstrip("."),
        description=EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the prepared task; must not exist yet")
    return parser


def _diagnosis_source(
    sources: argparse._SubParsersAction, name: str, metavar: str, input_help: str, several: bool = False
) -> argparse.ArgumentParser:
    parser = _add_source(sources, name)
    parser.add_argument("--input", required=True, nargs="+" if several else None, metavar=metavar, help=input_help)
    parser.set_defaults(kind="diagnosis")
    add_history_options(parser)
    add_code_options(parser)
    add_candidates(parser)
    add_column_options(parser, zeros=name not in ("diabetes130", "eicu"))
    add_split_options(parser)
    return parser


def _add_code_system(parser: argparse.ArgumentParser, choices: Sequence[str] = CODE_SYSTEMS) -> None:
    parser.add_argument(
        "--code-system",
        choices=choices,
        help="keep one ICD version, or translate the other to it by the GEMs; needed where both are present"
        + ("; icd10who: the edition of the WHO" if WHO in choices else ""),
    )


def _add_kind(parser: argparse.ArgumentParser, coding: str) -> None:
    parser.add_argument(
        "--kind",
        choices=("diagnosis", "coding"),
        default="diagnosis",
        help=f"diagnosis: next visit from history; {coding} (default: %(default)s)",
    )


def _add_mimic_cxr(sources: argparse._SubParsersAction) -> None:
    parser = _add_source(sources, "mimic-cxr")
    parser.add_argument("--reports", required=True, metavar="PATH", help="the folder files, or mimic-cxr-reports.zip")
    parser.add_argument("--metadata", required=True, metavar="FILE", help="mimic-cxr-2.0.0-metadata.csv.gz")
    parser.add_argument("--hosp", metavar="FOLDER", help="codes of the admission: module hosp of MIMIC-IV")
    parser.add_argument("--ed", metavar="FOLDER", help="codes of the ED stay: module ed of MIMIC-IV-ED")
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="of the report (default: both)"
    )
    parser.set_defaults(kind="coding")
    _add_code_system(parser)
    add_code_options(parser)
    add_candidates(parser)
    add_column_options(parser)
    add_split_options(parser)


def _add_eicu(sources: argparse._SubParsersAction) -> None:
    parser = _diagnosis_source(sources, "eicu", "FOLDER", "folder with patient and diagnosis")
    parser.add_argument(
        "--code-system", choices=tuple(EICU_SYSTEMS), default="icd9", help="codes to take (default: %(default)s)"
    )
    parser.add_argument(
        "--visit", choices=VISITS, default="hospital", help="hospital stays or ICU stays (default: %(default)s)"
    )


def _add_table(sources: argparse._SubParsersAction) -> None:
    parser = _diagnosis_source(sources, "table", "FILE", "CSV (.csv, .tsv, plain, gzipped or zipped) or .parquet")
    _add_kind(parser, "coding: codes of a visit from its --text")
    add_past_notes(parser)
    columns = {
        "patient": "id of the patient",
        "visit": "id of the visit (default: rows of one time)",
        "time": "date or time, or days as numbers (default: visits in order of their ids)",
        "code": "diagnosis code",
        "position": "number that orders the codes of a visit",
        "sex": "F or M, or words for them in one of many languages; see --sex-values",
        "age": "years, as 67, 67.0, >89, 90+ or [60-70)",
        "text": "note of the visit",
    }
    for name, meaning in columns.items():
        parser.add_argument(f"--{name}", required=name in ("patient", "code"), metavar="COLUMN", help=meaning)
    parser.add_argument(
        "--code-system",
        choices=tuple(TABLE_SYSTEMS),
        help="the edition of the codes: icd9 and icd10 of the United States (CM), icd10who of the WHO",
    )
    parser.add_argument(
        "--codes",
        metavar="TABLE",
        help="instead: a national edition of ICD-10 (GM, AM, CIE-10 ...), CSV or Parquet with the columns code, "
        "definition and perhaps parent",
    )
    parser.add_argument("--code-separator", metavar="TEXT", help="what stands between the codes, where a row has many")
    parser.add_argument("--separator", metavar="CHAR", help="of a CSV (default: found by the header)")


def _add_codiesp(sources: argparse._SubParsersAction) -> None:
    parser = _add_source(sources, "codiesp")
    parser.add_argument("--input", required=True, metavar="FOLDER", help="folder with train, dev and maybe test")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of the notes (default: %(default)s)")
    parser.set_defaults(kind="coding")
    add_code_options(parser)
    add_candidates(parser)
    add_split_options(parser, protocol="given")


def _add_synthetic(sources: argparse._SubParsersAction) -> None:
    parser = _add_source(sources, "synthetic")
    parser.add_argument(
        "--kind",
        choices=("diagnosis", "coding", "both"),
        default="both",
        help="which task; both: OUTPUT-diagnosis and OUTPUT-coding, of the same patients (default: %(default)s)",
    )
    parser.add_argument("--patients", type=int, default=1500, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the cohort (default: %(default)s)")
    add_past_notes(parser)
    add_training_visits(parser)
    add_candidates(parser, "the codes of the model that invents the patients")
    add_split_options(parser)
