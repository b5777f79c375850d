"""The toolkit's own programs as commands that a user would type: what `mera demo`, `go`, `ablate` and `study` run."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mera.root import ROOT
from mera.runs.figures import PART_OF
from mera.runs.finished_runs import is_complete
from mera.system.children import run_child
from mera.system.errors import UserError

ACCELERATE_LAUNCH = "mera.system.launcher"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command and the directories that it leaves when it has finished."""

    name: str
    command: list[str]
    results: tuple[Path, ...]
    """Empty: it is done again each time."""


def run_steps(steps: Sequence[Step], console: Console, *, before: int = 0, after: int = 0) -> None:
    """Run every step that has not finished yet, each after its command as one would type it; `before` and `after`:
    steps that others run, for the numbers. Raises UserError where one fails; what finished before is kept."""
    for number, step in enumerate(steps, start=before + 1):
        console.rule(Text(f"{number}/{before + len(steps) + after} {step.name}", "bold"))
        if step.results and all(is_complete(result) for result in step.results):
            console.print(f"finished before: {', '.join(map(str, step.results))}", soft_wrap=True, highlight=False)
            continue
        command = shown(step.command)
        console.print(command, soft_wrap=True, highlight=False)
        with part_of_this():
            code = run_child(step.command)
        if code:
            raise UserError(f"this step failed (exit code {code}), what finished before is kept: {command}")


@contextmanager
def part_of_this() -> Iterator[None]:
    """Commands that are started within do not print what comes next."""
    before = os.environ.get(PART_OF)
    os.environ[PART_OF] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[PART_OF]


def mera_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mera.cli", *map(str, arguments)]


def script_command(script: str, *arguments: object) -> list[str]:
    """A script of a stage in one process."""
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


def accelerate_command(
    script: str, *arguments: object, engine: Path | None = None, launch: Sequence[str] = ()
) -> list[str]:
    """`script`, as `rank/train.py`; `engine`: an accelerate configuration, else accelerate decides; `launch`: further
    options of `accelerate launch`."""
    how = [*([] if engine is None else ["--config_file", str(engine)]), *launch]
    return [sys.executable, "-m", ACCELERATE_LAUNCH, *how, str(ROOT / script), *map(str, arguments)]


def shown(command: list[str]) -> str:
    """The command as one would type it: `mera` and `accelerate launch` instead of the interpreter's path."""
    names = {"mera.cli": ["mera"], ACCELERATE_LAUNCH: ["accelerate", "launch"]}
    typed = [*names[command[2]], *command[3:]] if command[1] == "-m" else ["python", *command[1:]]
    return shlex.join(part.replace(f"{ROOT}/", "") for part in typed)
