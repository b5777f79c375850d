"""The toolkit's own programs as commands that a user would type: what `mera demo` and `mera ablate` run."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mera.root import ROOT


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command and the directories that it leaves when it has finished."""

    name: str
    command: list[str]
    results: tuple[Path, ...]
    """None: it is done again each time."""


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
    return [sys.executable, "-m", "accelerate.commands.launch", *how, str(ROOT / script), *map(str, arguments)]


def shown(command: list[str]) -> str:
    """The command as one would type it: `mera` and `accelerate launch` instead of the interpreter's path."""
    names = {"mera.cli": ["mera"], "accelerate.commands.launch": ["accelerate", "launch"]}
    typed = [*names[command[2]], *command[3:]] if command[1] == "-m" else ["python", *command[1:]]
    return shlex.join(part.replace(f"{ROOT}/", "") for part in typed)
