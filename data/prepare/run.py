"""Run one source: read it, write its tasks, say what came out."""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from data.cohorts.notes.text_rules import EDIN_MIN_CODE_COUNT
from data.cohorts.split_file import with_split_file
from data.cohorts.split_options import NO_FIRST_VISITS, OF_FILE, WITH_FIRST_VISITS, SplitOptions
from data.cohorts.task_options import TaskOptions
from data.inspection.summary import print_account, print_summary
from data.ledger import Ledger
from data.prepare.pipeline import prepare_tasks, task_folders
from data.prepare.sources import source_named
from data.sources.shared.source_command import Arguments
from data.task import Task, lock_task
from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock
from mera.system.terminal import plain_console


def prepare(arguments: Arguments) -> list[Task]:
    """Run the source that `arguments` (of `data.prepare.options`) names, and print a summary of each task."""
    options, split = _task_options(arguments), _split_options(arguments)
    if options.past_notes and arguments.kind == "coding":
        raise UserError("--past-notes is for --kind diagnosis: a coding task has no history")
    if options.events and arguments.kind != "diagnosis":
        raise UserError("procedures, drugs and labs are for --kind diagnosis: a coding task has no history")
    kinds = ("diagnosis", "coding") if arguments.kind == "both" else (arguments.kind,)
    outputs = {kind: f"{arguments.output}-{kind}" if len(kinds) > 1 else arguments.output for kind in kinds}
    tasks: list[Task] = []
    with _places(outputs.values(), split), _without_collections(), _progress() as advance:
        for kind, output in outputs.items():
            tasks += _prepare_kind(kind, output, arguments, options, split, advance)
    for task in tasks:
        print_summary(task)
    return tasks


def _prepare_kind(
    kind: str,
    output: str,
    arguments: Arguments,
    options: TaskOptions,
    split: SplitOptions,
    advance: Callable[[str], None],
) -> list[Task]:
    """The task of one kind, or one for each fold; nothing else of what was read is kept."""
    with _account_before_failure() as ledger:
        advance(f"reading for the {kind} task")
        source = source_named(arguments.source).read(arguments, kind, ledger)
        if arguments.split_file is not None:
            source = with_split_file(source, kind, arguments.split_file)
        advance(f"writing the {kind} task")
        past_notes = options.past_notes and kind == "diagnosis"
        return prepare_tasks(output, kind, source, replace(options, past_notes=past_notes), split)


def _task_options(arguments: Arguments) -> TaskOptions:
    """Options that a source does not have keep their defaults."""
    names = TaskOptions.__dataclass_fields__
    options = TaskOptions(**{name: getattr(arguments, name) for name in names if hasattr(arguments, name)})
    if options.rules is not None and arguments.kind != "coding":
        raise UserError("--rules is for --kind coding: it says how a paper prepared the notes")
    if options.rules == "edin":
        return replace(options, min_code_count=max(options.min_code_count, EDIN_MIN_CODE_COUNT))
    return options


def _split_options(arguments: Arguments) -> SplitOptions:
    sizes = source_named(arguments.source).chet_sizes if arguments.protocol == "chet" else None
    if arguments.sizes is not None:
        if arguments.protocol != "chet":
            raise UserError("--sizes goes with --protocol chet; the random protocol takes --fractions")
        num_train, num_validation, num_test = arguments.sizes
        sizes = (num_train, num_validation, num_test)
    if arguments.protocol == "chet" and sizes is None:
        raise UserError(f"--protocol chet needs --sizes for {arguments.source}")
    if arguments.split_file is not None and arguments.protocol in ("temporal", "chet", "kfold"):
        raise UserError(f"--split-file is itself a split; leave --protocol {arguments.protocol} out")
    if getattr(arguments, "first_visits", False) and arguments.protocol not in WITH_FIRST_VISITS:
        raise UserError(NO_FIRST_VISITS)
    train, validation, test = arguments.fractions
    return SplitOptions(
        protocol=arguments.protocol if arguments.split_file is None else OF_FILE,
        fractions=(train, validation, test),
        sizes=sizes,
        folds=arguments.folds,
        fold=arguments.fold,
        seed=arguments.split_seed,
    )


@contextmanager
def _places(outputs: Iterable[str], split: SplitOptions) -> Iterator[None]:
    """Reserve the folders of all tasks for this process while the block runs.

    Raises UserError, before any work is done, where a task is there already or another process makes it.
    """
    folders = [folder for output in outputs for folder in task_folders(output, split)]
    for folder in folders:
        if folder.exists():
            raise UserError(f"{folder} already exists; choose another --output or remove it")
    locks: list[FolderLock] = []
    try:
        for folder in folders:
            locks.append(lock_task(folder))
        yield
    finally:
        for lock in locks:
            lock.release()


@contextmanager
def _without_collections() -> Iterator[None]:
    """No search for circles of objects while the block runs: there are millions of visits, none in a circle, and
    looking through them again and again costs a fifth of the time. What the block made and does not return must be gone
    at its end, or all of it is looked through then."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _account_before_failure() -> Iterator[Ledger]:
    """A ledger, whose counts so far are printed on stderr where the block fails."""
    ledger = Ledger()
    try:
        yield ledger
    except ValueError:
        record = ledger.record()
        if any(unit["read"] for unit in record["accounting"].values()):
            print_account(record, plain_console(stderr=True))
        raise


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A moving bar with the name of the step, on a terminal only."""
    console = plain_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None)
        yield lambda name: progress.update(bar, description=name)
