"""The sources by name: read one, write its tasks, say what came out."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from data.diabetes130 import read_diabetes130
from data.disease_model import DiseaseModel
from data.ledger import Ledger
from data.mimic3 import read_mimic3
from data.mimic4 import read_mimic4
from data.pipeline import DiagnosisOptions, Source, SplitOptions, prepare_coding_task, prepare_diagnosis_task
from data.synthetic import oracle_probabilities, synthetic_cohort
from data.task import SPLITS, Task

Advance = Callable[[str], None]
"""Called when a step begins, with its name."""


def prepare(arguments: argparse.Namespace) -> list[Task]:
    """Run the source that `arguments` (of `data.prepare_options`) names, and print a summary of each task."""
    with _progress() as advance:
        tasks = _PREPARE[arguments.source](arguments, advance)
    for task in tasks:
        _print_summary(task)
    return tasks


def _prepare_diabetes130(arguments: argparse.Namespace, advance: Advance) -> list[Task]:
    _check_free(arguments.output)
    advance("reading")
    ledger = Ledger()
    patients, tables = read_diabetes130(arguments.input, ledger)
    source = Source(name="diabetes130", system="icd9cm", patients=patients, ledger=ledger, tables=tables)
    advance("writing the task")
    return [prepare_diagnosis_task(arguments.output, source, _diagnosis_options(arguments), _split(arguments))]


def _prepare_mimic3(arguments: argparse.Namespace, advance: Advance) -> list[Task]:
    _check_free(arguments.output)
    advance("reading")
    ledger = Ledger()
    patients, tables = read_mimic3(arguments.input, ledger)
    source = Source(name="mimic3", system="icd9cm", patients=patients, ledger=ledger, tables=tables)
    advance("writing the task")
    return [prepare_diagnosis_task(arguments.output, source, _diagnosis_options(arguments), _split(arguments))]


def _prepare_mimic4(arguments: argparse.Namespace, advance: Advance) -> list[Task]:
    _check_free(arguments.output)
    advance("reading")
    ledger = Ledger()
    patients, tables, system = read_mimic4(arguments.input, ledger, arguments.code_system)
    options = {"code_system": arguments.code_system or system.removesuffix("cm")}
    source = Source(name="mimic4", system=system, patients=patients, ledger=ledger, tables=tables, options=options)
    advance("writing the task")
    return [prepare_diagnosis_task(arguments.output, source, _diagnosis_options(arguments), _split(arguments))]


def _prepare_synthetic(arguments: argparse.Namespace, advance: Advance) -> list[Task]:
    kinds = ("diagnosis", "coding") if arguments.kind == "both" else (arguments.kind,)
    outputs = {kind: f"{arguments.output}-{kind}" if len(kinds) > 1 else arguments.output for kind in kinds}
    for output in outputs.values():
        _check_free(output)
    tasks = []
    for kind, output in outputs.items():
        advance(f"inventing patients for the {kind} task")
        patients = synthetic_cohort(arguments.patients, arguments.seed, with_notes=kind == "coding")
        ledger = Ledger()
        ledger.read("patients", len(patients))
        ledger.read("visits", sum(len(patient.visits) for patient in patients))
        ledger.read("diagnoses", sum(len(visit.codes) for patient in patients for visit in patient.visits))
        source = Source(
            name="synthetic",
            system="icd10cm",
            patients=patients,
            ledger=ledger,
            options={"patients": arguments.patients, "seed": arguments.seed},
            candidates=DiseaseModel().codes,
        )
        advance(f"writing the {kind} task")
        if kind == "coding":
            tasks.append(prepare_coding_task(output, source, _split(arguments)))
        else:
            options = DiagnosisOptions(every_visit=arguments.every_visit)
            tasks.append(prepare_diagnosis_task(output, source, options, _split(arguments), oracle_probabilities))
    return tasks


CHET_SIZES = {"mimic3": (6000, 493, 1000), "mimic4": (8000, 1000, 1000)}
"""Patients in train, validation and test in the papers that use the protocol."""

_PREPARE: dict[str, Callable[[argparse.Namespace, Advance], list[Task]]] = {
    "diabetes130": _prepare_diabetes130,
    "mimic3": _prepare_mimic3,
    "mimic4": _prepare_mimic4,
    "synthetic": _prepare_synthetic,
}


def _diagnosis_options(arguments: argparse.Namespace) -> DiagnosisOptions:
    return DiagnosisOptions(
        min_visits=arguments.min_visits, granularity=arguments.granularity, every_visit=arguments.every_visit
    )


def _split(arguments: argparse.Namespace) -> SplitOptions:
    sizes = CHET_SIZES.get(arguments.source) if arguments.protocol == "chet" else None
    if arguments.sizes is not None:
        if arguments.protocol != "chet":
            raise ValueError("--sizes goes with --protocol chet; the random protocol takes --fractions")
        sizes = tuple(arguments.sizes)
    if arguments.protocol == "chet" and sizes is None:
        raise ValueError(f"--protocol chet needs --sizes for {arguments.source}")
    return SplitOptions(fractions=tuple(arguments.fractions), sizes=sizes, seed=arguments.split_seed)


def _check_free(output: str) -> None:
    """Before the work rather than after it; `save_task` checks again."""
    if Path(output).exists():
        raise ValueError(f"{output} already exists; choose another --output or remove it")


@contextmanager
def _progress() -> Iterator[Advance]:
    """A moving bar with the name of the step, on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None)
        yield lambda name: progress.update(bar, description=name)


def _print_summary(task: Task) -> None:
    console = Console()
    table = Table("split", "patients", "examples", "codes per example", title=f"{task.path.name}: {task.info['kind']}")
    for name in SPLITS:
        counts = task.info["counts"][name]
        per_example = f"{counts['targets'] / counts['examples']:.1f}"
        table.add_row(name, f"{counts['patients']:,}", f"{counts['examples']:,}", per_example)
    console.print(table)
    accounting = Table("unit", "read", "used", "dropped because", title="What was used")
    for unit, record in task.info["accounting"].items():
        reasons = "\n".join(f"{count:,} {reason}" for reason, count in record["dropped"].items())
        added = "".join(f"\n+ {count:,} {reason}" for reason, count in record["added"].items())
        accounting.add_row(unit, f"{record['read']:,}{added}", f"{record['used']:,}", reasons or "-")
    console.print(accounting)
    console.print(f"{len(task.codes):,} candidate codes ({task.info['edition']})", highlight=False)
    console.print(f"prepared task: {task.path}", soft_wrap=True, highlight=False)
