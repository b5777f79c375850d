"""`mera go TABLE`: from a hospital's table to trained models, a report, and the command that ranks new patients, or new
notes.

Each step is the ordinary command, printed before it runs; a finished one is not run again.
"""

import difflib
import hashlib
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from mera.commands.go_steps import coding_steps, diagnosis_steps
from mera.commands.programs import Step, mera_command, run_steps, shown
from mera.commands.stages import recipe_file
from mera.config import Recipe
from mera.runs.finished_runs import note_settings
from mera.system.errors import UserError
from mera.system.folder_lock import NAME as LOCK_NAME
from mera.system.folder_lock import FolderLock
from mera.system.stop_signals import name_of
from mera.system.terminal import plain_console

SETTINGS = "go.json"
"""What the folder was begun with."""
OWN_OPTIONS = ("--output", "--recipe")
CODING, TASK_KINDS = "coding", ("diagnosis", "coding")
HOW_VALUES_ARE_WRITTEN = ("date-format", "codes-without-zeros", "icd10-from")
"""Options of `mera prepare table` that `mera predict` takes too, beside the columns."""


def run_go(table: Path, output: Path, options: Sequence[str] = (), recipe: str | None = None) -> Path:
    """Guess what the columns of `table` are (`options`: what the user says, as for `mera prepare table`), prepare
    the task, train and fuse what its kind needs (`mera.commands.go_steps`), compare it, and return the report's page.
    `recipe`: of both stages, or with `--kind coding` of a bi-encoder beside the rest.

    Raises UserError where a column cannot be guessed, a step fails (what finished before is kept), `output` was begun
    with another table or other options, or another process works in it.
    """
    console, started = plain_console(), time.perf_counter()
    _refuse_misspelt(options)
    columns, others = _split(options)
    kind = "".join(_options(others, {"kind"})[0][-1:]).removeprefix("--kind=")
    if kind not in ("", *TASK_KINDS):
        raise UserError(f"--kind is one of {', '.join(TASK_KINDS)}; got {kind!r}")
    of_notes = kind == CODING
    recipe = recipe if of_notes else recipe or "tiny"
    for stage in ["bi_encoder"] if of_notes else ["memorize", "rank"]:
        if recipe is not None:
            recipe_file(recipe, f"configs/{stage}", "--recipe")
    notes = ["--of-notes"] if of_notes else [] if "--past-notes" in others else ["--without-notes"]
    guess = _guess(table, [*columns, *notes])
    console.print("the columns, as they seem to be (an option of `mera prepare table` overrides one):")
    console.print(f"  {shlex.join(guess['options'])}", soft_wrap=True, highlight=False)
    said = [*guess["options"], *others]
    _refuse_what_trains_nothing(table, said)
    with FolderLock(output):
        settings = {"table": _digest(table), "options": said}
        _claim(output, settings if of_notes else settings | {"recipe": recipe})
        steps, ranker = (coding_steps if of_notes else diagnosis_steps)(table, output, said, recipe)
        run_steps(steps, console, after=1)
        compared = sorted(path for path in (output / "runs").iterdir() if (path / "predictions").is_dir())
        report = Step(
            name="report", command=mera_command("report", *compared, "--output", output / "report"), results=()
        )
        run_steps([report], console, before=len(steps))
    edition = _options(guess["options"], {"codes"})[0]  # a table of one's own is in no checkpoint
    whom, asked = "patients", [*guess["columns"], *edition, *_options(others, HOW_VALUES_ARE_WRITTEN)[0]]
    if of_notes:
        whom, asked = "notes", columns_of_notes(guess["columns"])
    new = ("--input", f"NEW_{whom.upper()}.csv", *asked, "--output", "ranked.csv")
    predict = mera_command("predict", ranker, *new)
    console.print(f"finished in {(time.perf_counter() - started) / 60:.1f} minutes. To rank new {whom}:")
    console.print(f"  {shown(predict)}", soft_wrap=True, highlight=False)
    if not of_notes:
        other = f"(any run of the report can do it; if {ranker.with_name('gbdt')} is better there, name that)"
        console.print(f"  {other}", soft_wrap=True, highlight=False)
    console.print("The report:")
    return output / "report" / "index.html"


def columns_of_notes(columns: Sequence[str]) -> list[str]:
    """What `mera predict --input` takes for notes; a note is named by its visit, where there is one, for a patient may
    have several. `columns`: of `mera prepare table`."""
    visit = _options(columns, {"visit"})[0][1:]
    names = _options(columns, {"text", "age", "sex", "sex-values", "encoding"})[0]
    ids = ["--patient", *visit] if visit else _options(columns, {"patient"})[0]
    return [*ids, *names]


def _refuse_misspelt(options: Sequence[str]) -> None:
    for word in options:
        name = word.split("=")[0]
        meant = difflib.get_close_matches(name, OWN_OPTIONS, n=1, cutoff=0.75) if name.startswith("--") else []
        if meant:
            raise UserError(f"no option {name}; did you mean {meant[0]}?")


def _refuse_what_trains_nothing(table: Path, options: Sequence[str]) -> None:
    """Raises UserError on options that leave no prepared task of that name, with the command that goes with them."""
    prepare = shown(mera_command("prepare", "table", "--input", table, *options))
    if "--preview" in options:
        raise UserError(f"--preview writes nothing to train on; to see how the table is read:\n  {prepare}")
    if _options(options, {"protocol"})[0][-1:] in (["kfold"], ["--protocol=kfold"]):
        raise UserError(
            f"--protocol kfold prepares a task for each fold, which `mera go` does not train one by one; prepare them, "
            f"and see docs/own-data.md, Folds:\n  {prepare} --output prepared/mine"
        )


def _digest(table: Path) -> str:
    if not table.is_file():
        raise UserError(f"input file not found: {table}")
    with table.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _claim(output: Path, settings: Recipe) -> None:
    """Note what `output` is made of. Raises UserError where it was begun with something else, or is another's folder:
    steps that have finished are kept, and would be of the table before. Where none has, it is begun anew."""
    path = output / SETTINGS
    if path.is_file():
        if not {entry.name for entry in output.iterdir() if entry.name[0] != "."} - {SETTINGS}:
            path.unlink()
    elif {entry.name for entry in output.iterdir()} - {LOCK_NAME}:
        raise UserError(f"{output} already exists and is not of `mera go`; choose another --output or remove it")
    other = {"table": "another table", "options": "other options", "recipe": "another recipe"}
    different = note_settings(path, settings)
    if different:
        begun = " and ".join(other[name] for name in different)
        raise UserError(f"{output} was begun with {begun}; choose another --output or remove it")


def _split(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a guess must know of the options, and the rest of them, which go to `mera prepare table` alone."""
    known = {"patient", "visit", "time", "code", "position", "sex", "age", "birth-date", "text", "code-system", "codes"}
    known |= {"procedures", "drugs", "labs", "event-separator", "code-version", "sex-values", "keep"}
    return _options(options, known | {"code-separator", "separator", "encoding"})


def _options(words: Sequence[str], names: Collection[str]) -> tuple[list[str], list[str]]:
    """The options of these names with their values, and the rest."""
    among: list[str] = []
    others: list[str] = []
    place = among
    for word in words:
        if word.startswith("--"):
            place = among if word[2:].split("=")[0] in names else others
        place.append(word)
    return among, others


def _guess(table: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    command = [sys.executable, "-m", "data.prepare.run_guess", str(table), *columns, "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        if done.returncode < 0:
            raise UserError(f"the look at {table} was ended by {name_of(-done.returncode)}; is there memory enough?")
        sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        if not sentences:
            sys.stderr.write(done.stderr)
            raise UserError("see above")
        raise UserError(sentences[0].removeprefix("error: "))
    sys.stderr.write(done.stderr)  # the columns that are left
    record: dict[str, list[str]] = json.loads(done.stdout)
    return record
