"""The command line of `python -m data.prepare`."""

import argparse
from collections.abc import Sequence

from data.pipeline import GRANULARITIES, DiagnosisOptions

EXAMPLES = {
    "diabetes130": """\
Diabetes 130-US Hospitals: diabetic_data.csv, plain or gzipped.

  python -m data.prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit""",
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
    _add_task_options(diabetes)
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


def _add_task_options(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--every-visit",
        action="store_true",
        help="each visit of a training patient but the first is a target, not only the last",
    )
    _add_split_options(parser)


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    default = DiagnosisOptions()
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=default.fractions,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the patients (default: 0.75 0.10 0.15)",
    )
    parser.add_argument(
        "--split-seed",
        type=int,
        default=default.split_seed,
        metavar="N",
        help="seed of the split (default: %(default)s)",
    )
