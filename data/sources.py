"""The sources by name: read, prepare, and say what came out."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from data.diabetes130 import read_diabetes130
from data.ledger import Ledger
from data.pipeline import DiagnosisOptions, prepare_diagnosis_task
from data.task import SPLITS, Task


def prepare(arguments: argparse.Namespace) -> list[Task]:
    """Run the source that `arguments` (of `data.prepare_options`) names, and print a summary of each task."""
    _check_free(arguments.output)
    with _progress() as progress:
        step = progress.add_task("reading", total=3)
        tasks = PREPARE[arguments.source](arguments, lambda name: progress.update(step, description=name, advance=1))
    for task in tasks:
        _print_summary(task)
    return tasks


Advance = Callable[[str], None]
"""Called when a step ends, with the name of the next."""


def _prepare_diabetes130(arguments: argparse.Namespace, advance: Advance) -> list[Task]:
    ledger = Ledger()
    patients, tables = read_diabetes130(arguments.input, ledger)
    advance("writing the task")
    return [
        prepare_diagnosis_task(
            arguments.output,
            source="diabetes130",
            system="icd9cm",
            patients=patients,
            tables=tables,
            ledger=ledger,
            options=_diagnosis_options(arguments),
        )
    ]


PREPARE: dict[str, Callable[[argparse.Namespace, Advance], list[Task]]] = {"diabetes130": _prepare_diabetes130}


def _diagnosis_options(arguments: argparse.Namespace) -> DiagnosisOptions:
    return DiagnosisOptions(
        min_visits=arguments.min_visits,
        granularity=arguments.granularity,
        every_visit=arguments.every_visit,
        fractions=tuple(arguments.fractions),
        split_seed=arguments.split_seed,
    )


def _check_free(output: str) -> None:
    """Before the work rather than after it; `save_task` checks again."""
    if Path(output).exists():
        raise ValueError(f"{output} already exists; choose another --output or remove it")


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print_summary(task: Task) -> None:
    console = Console()
    table = Table("split", "patients", "examples", "codes per example", title=f"{task.path.name}: {task.info['kind']}")
    for name in SPLITS:
        counts = task.info["counts"][name]
        per_example = f"{counts['targets'] / counts['examples']:.1f}"
        table.add_row(name, f"{counts['patients']:,}", f"{counts['examples']:,}", per_example)
    console.print(table)
    accounting = Table("unit", "read", "used", "dropped because", title="What was used")
    for unit, record in task.info.get("accounting", {}).items():
        reasons = "\n".join(f"{count:,} {reason}" for reason, count in record["dropped"].items())
        accounting.add_row(unit, f"{record['read']:,}", f"{record['used']:,}", reasons or "-")
    if accounting.row_count:
        console.print(accounting)
    console.print(f"{len(task.codes):,} candidate codes ({task.info['edition']})")
    console.print(f"prepared task: {task.path}", soft_wrap=True)
