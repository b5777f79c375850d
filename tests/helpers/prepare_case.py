"""What tests of `data` share: running the command in this process, and looking at what came out."""

import csv
import gzip
import random
from pathlib import Path

from data.prepare.options import parse_arguments
from data.prepare.run import prepare
from data.task import SPLITS

EVEN = ("--fractions", 0.5, 0.25, 0.25)
WORDS = [f"word{chr(97 + first)}{chr(97 + second)}" for first in range(26) for second in range(20)]


def run(*arguments):
    """`python -m data.prepare` in this process."""
    return prepare(parse_arguments([str(argument) for argument in arguments]))


def every_row(task):
    return [row for name in SPLITS for row in task.splits[name]]


def example_of(task, patient_id):
    return next(row for row in every_row(task) if row["patient_id"] == patient_id)


def split_of(task):
    return {row["patient_id"]: name for name in SPLITS for row in task.splits[name]}


def accounting(task):
    return task.info["accounting"]


def dropped(task, unit):
    return accounting(task)[unit]["dropped"]


def assert_adds_up(task):
    for unit, record in task.info["accounting"].items():
        came_in = record["read"] + sum(record["added"].values())
        assert came_in == record["used"] + sum(record["dropped"].values()), unit
    diagnoses = task.info["accounting"]["diagnoses"]
    assert {key: task.info[key] for key in ("rows_read", "rows_used", "dropped")} == {
        "rows_read": diagnoses["read"],
        "rows_used": diagnoses["used"],
        "dropped": diagnoses["dropped"],
    }


def write_csv(path: Path, rows, quoting=csv.QUOTE_MINIMAL):
    """A CSV of the rows, gzipped where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=quoting, lineterminator="\n").writerows(rows)
    return path


def note(patient, visit, part=""):
    """A note that says whose it is, with <tags> & signs, and else differs from every other."""
    words = " ".join(random.Random(f"{patient}/{visit}/{part}").sample(WORDS, 40))
    return f"canary-{patient}-{visit}{part} <b>&amp; {words}"
