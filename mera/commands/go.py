"""`mera go TABLE`: from a hospital's table to trained models, a report, and the command that ranks new patients.

Each step is the ordinary command, printed before it runs; a finished one is not run again.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mera.commands.programs import Step, mera_command, run_steps, shown
from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock

BASELINES = ("popularity", "own-history", "linear")
"""Those of `mera baselines` that are there for every task of next diagnoses; the report takes the others too."""


def run_go(table: Path, output: Path, options: Sequence[str] = (), recipe: str = "tiny") -> Path:
    """Guess what the columns of `table` are (`options`: what the user says, as for `mera prepare table`), prepare
    the task, train both stages and the baselines, compare them, and return the report's page.

    Raises UserError where a column cannot be guessed, a step fails (what finished before is kept), or another process
    works in `output`.
    """
    console, started = Console(), time.perf_counter()
    columns, others = _split(options)
    guess = _guess(table, columns)
    console.print("the columns, as they seem to be (an option of `mera prepare table` overrides one):")
    console.print(f"  {shlex.join(guess['options'])}", soft_wrap=True, highlight=False, markup=False)
    with FolderLock(output):
        steps = go_steps(table, output, [*guess["options"], *others], recipe)
        run_steps(steps, console, after=1)
        compared = sorted(path for path in (output / "runs").iterdir() if (path / "predictions").is_dir())
        report = Step(
            name="report", command=mera_command("report", *compared, "--output", output / "report"), results=()
        )
        run_steps([report], console, before=len(steps))
    predict = mera_command(
        *("predict", output / "runs" / "stage-two", "--input", "NEW_PATIENTS.csv", *guess["columns"]),
        *("--output", "ranked.csv"),
    )
    console.print(f"finished in {(time.perf_counter() - started) / 60:.1f} minutes. To rank new patients:")
    console.print(f"  {shown(predict)}", soft_wrap=True, highlight=False, markup=False)
    console.print("The report:")
    return output / "report" / "index.html"


def go_steps(table: Path, output: Path, options: Sequence[str], recipe: str) -> list[Step]:
    """The commands up to the report; `options`: of `mera prepare table`."""
    task, runs = output / "prepared", output / "runs"
    one, two = runs / "memorize", runs / "stage-two"
    baselines = tuple(runs / name for name in BASELINES)
    trains_on = ("--recipe", recipe, "--task", task)
    return [
        Step(
            name="prepare the table",
            command=mera_command(
                *("prepare", "table", "--input", table, *options, "--every-visit", "--first-visits"),
                *("--output", task),
            ),
            results=(task,),
        ),
        Step(
            name="baselines",
            command=mera_command("baselines", "--task", task, "--output", runs),
            results=baselines,
        ),
        Step(
            name="stage one: memorize the codes",
            command=mera_command("memorize", *trains_on, "--output", one),
            results=(one,),
        ),
        Step(
            name="stage two: rank the next diagnoses",
            command=mera_command("rank", *trains_on, "--model.base", one / "checkpoint", "--output", two),
            results=(two,),
        ),
    ]


def _split(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a guess must know of the options, and the rest of them, which go to `mera prepare table` alone."""
    known = {"patient", "visit", "time", "code", "position", "sex", "age", "text", "code-system", "codes"}
    known |= {"code-separator", "separator", "encoding"}
    columns: list[str] = []
    others: list[str] = []
    place = columns
    for word in options:
        if word.startswith("--"):
            place = columns if word[2:].split("=")[0] in known else others
        place.append(word)
    return columns, others


def _guess(table: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    command = [sys.executable, "-m", "data.prepare.table_guess", str(table), *columns, "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        sentence = next((line for line in done.stderr.splitlines() if line.startswith("error: ")), "error: see above")
        raise UserError(sentence.removeprefix("error: ").removesuffix(" (MERA_TRACEBACK=1 shows where)"))
    record: dict[str, list[str]] = json.loads(done.stdout)
    return record
