"""`mera runs FOLDER`: what lies there, finished or not, and its main figures."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table

from mera.runs.figures import main_figures
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
from mera.system.terminal import plain_console

_PARTIAL = ".partial"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRun:
    """One run; the figures are fractions of the split that it was scored on, None where it has no predictions."""

    path: Path
    state: str
    """`finished`, `unfinished` (its command goes on with it) or `damaged`."""
    task: str = ""
    split: str = ""
    figures: tuple[float | None, ...] = (None, None, None, None)
    """In the order of FIGURES."""


FIGURES = {"R@10": "recall@10", "R@20": "recall@20", "MAP": "MAP", "micro F1": "micro F1"}
"""Column of the table -> name in `main_figures`."""


def list_runs(folder: str | Path) -> list[ListedRun]:
    """The runs in `folder` and the folders below it, by path. Raises FileNotFoundError where there is no folder."""
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; runs are where --output put them")
    return [_listed(path, root) for path in _run_folders(root)]


def print_runs(folder: str | Path, console: Console | None = None) -> None:
    """A table of them, figures in percent."""
    runs = list_runs(folder)
    console = console or plain_console()
    if not runs:
        console.print(f"no runs in {folder}", highlight=False)
        return
    table = Table(box=rich.box.SIMPLE)
    for name in ("run", "task"):
        table.add_column(name, overflow="fold")
    for name in FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        figures = ("" if value is None else f"{100 * value:.1f}" for value in run.figures)
        of_task = f"{run.task}, {run.split}" if run.split else run.task
        table.add_row(str(run.path) + ("" if run.state == "finished" else f" ({run.state})"), of_task, *figures)
    console.print(table)


def _run_folders(folder: Path) -> Iterator[Path]:
    if (folder / "run.json").is_file() or (folder / "manifest.json").is_file() or (folder / "predictions").is_dir():
        yield folder
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        yield from _run_folders(inner)


def _listed(path: Path, root: Path) -> ListedRun:
    name = path.relative_to(root) if path != root else path
    if path.name.endswith(_PARTIAL):
        return ListedRun(path=name.with_name(path.name.removeprefix(".").removesuffix(_PARTIAL)), state="unfinished")
    if not (path / "predictions").is_dir():
        return _without_predictions(path, name)
    try:
        run = read_predictions(path)
    except (UserError, OSError):
        return ListedRun(path=name, state="damaged")
    task = run.manifest.get("task", {})
    figures = main_figures(run)
    return ListedRun(
        path=name,
        state="finished",
        task=str(task.get("name", "")),
        split=str(task.get("split", "")),
        figures=tuple(figures.get(name) for name in FIGURES.values()),
    )


def _without_predictions(path: Path, name: Path) -> ListedRun:
    """Stage one leaves a checkpoint and what it knows, and no predictions."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        return ListedRun(path=name, state="finished", task=str(manifest["task"].get("name", "")))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return ListedRun(path=name, state="damaged")
