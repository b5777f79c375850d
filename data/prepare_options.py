"""The command line of `python -m data.prepare`."""

import argparse
from collections.abc import Sequence

from data.mimic4 import CODE_SYSTEMS
from data.pipeline import GRANULARITIES, DiagnosisOptions, SplitOptions

EXAMPLES = {
    "diabetes130": """\
Diabetes 130-US Hospitals: diabetic_data.csv, plain or gzipped.

  python -m data.prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit""",
    "mimic3": """\
MIMIC-III: the folder with ADMISSIONS, PATIENTS and DIAGNOSES_ICD, as .csv or .csv.gz.

  python -m data.prepare mimic3 --input mimic-iii/1.4 --output prepared/mimic3
  python -m data.prepare mimic3 --input mimic-iii/1.4 --protocol chet --output prepared/mimic3-chet""",
    "mimic4": """\
MIMIC-IV: the folder hosp with admissions, patients and diagnoses_icd, as .csv or .csv.gz.

  python -m data.prepare mimic4 --input mimiciv/3.1/hosp --code-system to-icd10 --output prepared/mimic4
  python -m data.prepare mimic4 --input mimiciv/3.1/hosp --code-system icd9 --output prepared/mimic4-icd9""",
    "synthetic": """\
Invented patients with real ICD-10-CM codes, whose true next-visit probabilities are known.

  python -m data.prepare synthetic --patients 1500 --kind both --output prepared/synthetic
      writes prepared/synthetic-diagnosis (with oracle.npy) and prepared/synthetic-coding
  python -m data.prepare synthetic --patients 3000 --kind diagnosis --output prepared/big""",
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of one source; `arguments.source` names it. Exits with code 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="python -m data.prepare",
        description="Turn hospital tables into a prepared task.",
        epilog="Each source has its own --help, with examples.",
        allow_abbrev=False,
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    diabetes = _add_source(sources, "diabetes130")
    diabetes.add_argument("--input", required=True, metavar="FILE", help="diabetic_data.csv or .csv.gz")
    _add_diagnosis_options(diabetes)
    mimic3 = _add_source(sources, "mimic3")
    mimic3.add_argument("--input", required=True, metavar="FOLDER", help="folder with the tables")
    _add_diagnosis_options(mimic3)
    mimic4 = _add_source(sources, "mimic4")
    mimic4.add_argument(
        "--input", required=True, metavar="FOLDER", help="folder with the tables, or the one above hosp"
    )
    mimic4.add_argument(
        "--code-system",
        choices=CODE_SYSTEMS,
        help="keep one ICD version, or translate the other to it by the GEMs; needed where both are present",
    )
    _add_diagnosis_options(mimic4)
    synthetic = _add_source(sources, "synthetic")
    _add_synthetic_options(synthetic)
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


def _add_synthetic_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kind",
        choices=("diagnosis", "coding", "both"),
        default="both",
        help="which task; both: OUTPUT-diagnosis and OUTPUT-coding, of the same patients (default: %(default)s)",
    )
    parser.add_argument("--patients", type=int, default=1500, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the cohort (default: %(default)s)")
    _add_every_visit(parser)
    _add_split_options(parser)


def _add_diagnosis_options(parser: argparse.ArgumentParser) -> None:
    default = DiagnosisOptions()
    parser.add_argument(
        "--min-visits",
        type=int,
        default=default.min_visits,
        metavar="N",
        help="drop patients with fewer visits (default: %(default)s)",
    )
    parser.add_argument(
        "--granularity",
        choices=GRANULARITIES,
        default=default.granularity,
        help="codes in full, or cut to their category (default: %(default)s)",
    )
    _add_every_visit(parser)
    _add_split_options(parser)


def _add_every_visit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every-visit",
        action="store_true",
        help="diagnosis: each visit of a training patient but the first is a target, not only the last",
    )


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    default = SplitOptions()
    parser.add_argument(
        "--protocol",
        choices=("random", "chet"),
        default="random",
        help="random: by --fractions; chet: fixed --sizes, each code's first patient in train (default: %(default)s)",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="chet: patients per split (default: those of the papers for mimic3 and mimic4)",
    )
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=default.fractions,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the patients (default: {} {} {})".format(*default.fractions),
    )
    parser.add_argument(
        "--split-seed", type=int, default=default.seed, metavar="N", help="seed of the split (default: %(default)s)"
    )
