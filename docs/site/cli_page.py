"""docs/cli.md, what every command prints under `--help`: python docs/site/cli_page.py writes it anew."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from typer.main import get_command

from data.codes.book.run_ontology import app as ontology
from data.prepare.sources import SOURCES
from mera.cli import app

PAGE = Path(__file__).resolve().parents[1] / "cli.md"
COLUMNS = 100
STARTED_AS = "python -m mera.cli"
"""What a command calls itself when it is started so, in the place of `mera`."""
HEADER = """# Commands

What `--help` prints of each, made by `python docs/site/cli_page.py`. Every key of a recipe is an option of the command
that takes it. `mera --install-completion` completes commands in your shell.
"""
Help = Callable[[Sequence[str]], str]


def commands() -> Iterator[tuple[str, ...]]:
    """All that `mera` has, in the order of its help, and what stands below a command behind it."""
    below = {"prepare": [source.name for source in SOURCES], "ontology": list(get_command(ontology).commands)}
    for name in get_command(app).commands:
        yield (name,)
        yield from ((name, each) for each in below.get(name, ()))


def help_text(words: Sequence[str]) -> str:
    """What `mera WORDS --help` prints."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "mera.cli", *words, "--help"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def page(help_of: Help = help_text) -> str:
    parts = [HEADER]
    for words in commands():
        said = help_of(words).replace(STARTED_AS, "mera")
        text = "\n".join(line.rstrip() for line in said.splitlines()).strip("\n")
        parts.append(f"{'#' * (1 + len(words))} mera {' '.join(words)}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
