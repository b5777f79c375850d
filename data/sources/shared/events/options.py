"""--events: what of the record beside diagnoses a source tells."""

import argparse
from collections.abc import Callable, Sequence

from data.cohorts.task_options import TaskOptions

KINDS = {"procedures": "procedure", "drugs": "drug", "labs": "lab"}
"""As the user asks for them -> as events.parquet calls one."""


def add_events(parser: argparse.ArgumentParser, has: Sequence[str] = tuple(KINDS)) -> None:
    """--events and --min-event-patients, for a source that holds the kinds `has`."""
    parser.add_argument(
        "--events",
        type=_kinds_of(has, parser.prog.rsplit(" ", 1)[-1]),
        default=TaskOptions().events,
        metavar="KIND[,KIND]",
        help=f"diagnosis: tell also {', '.join(has)} of the visits in the history, never of the visit to predict, each "
        "as one token (docs/events.md)",
    )
    add_min_event_patients(parser)


def add_min_event_patients(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-event-patients",
        type=int,
        default=TaskOptions().min_event_patients,
        metavar="N",
        help="keep the events that the past visits of N training patients have (default: %(default)s)",
    )


def _kinds_of(has: Sequence[str], source: str) -> Callable[[str], tuple[str, ...]]:
    def kinds(text: str) -> tuple[str, ...]:
        asked = [word.strip().lower() for word in text.split(",") if word.strip()]
        unknown = [word for word in asked if word not in KINDS]
        if unknown or not asked:
            raise argparse.ArgumentTypeError(f"kinds of events are {', '.join(KINDS)}, with commas between them")
        absent = [word for word in asked if word not in has]
        if absent:
            raise argparse.ArgumentTypeError(
                f"{source} tells no {' and no '.join(absent)} of a visit that could be read; it has {', '.join(has)}"
            )
        return tuple(kind for kind in KINDS if kind in asked)

    return kinds
