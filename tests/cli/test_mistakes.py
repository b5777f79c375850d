"""What thirty and more mistakes print: mistakes.md, each of whose commands is run.

python tests/cli/test_mistakes.py writes what they print now into the page; look at the difference.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mera.root import ROOT

PAGE = Path(__file__).with_name("mistakes.md")
ENTRY = re.compile(r"^## (?P<title>.*)\n\n```console\n\$ (?P<command>.*)\n(?P<printed>(?:.*\n)*?)```$", re.MULTILINE)
ENTRIES = [match.groupdict() for match in ENTRY.finditer(PAGE.read_text(encoding="utf-8"))]
CODES = ("A41.9", "K35.80", "O80")
"""Of another hospital's patients."""
COLUMNS = ("--patient", "pid", "--time", "admitted", "--code", "icd", "--sex", "sex", "--age", "age")


def run(command, folder):
    from ready_python import run_ready

    limit, _, words = command.rpartition("; ")
    environment = os.environ | {"MERA_CACHE": str(folder / "cache")}
    if limit:  # the shell that sets it
        python = [sys.executable, "-m", "mera.cli", *shlex.split(words)[1:]]
        return subprocess.run(
            ["bash", "-c", f"{limit}; exec {shlex.join(python)}"],
            cwd=folder,
            env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    return run_ready(["-m", "mera.cli", *shlex.split(words)[1:]], cwd=folder, env=environment)


def make_workplace(folder):
    """A user's folder: a table, two tasks, a stage-two checkpoint, a baseline, and some files with something amiss."""
    from made_up_runs import make_runs
    from small_ranker import make_checkpoint

    from data.prepare.table_preview import csv_text, example_tables
    from data.task import load_task

    folder.mkdir()
    others = [["pid", "admitted", "sex", "age", "icd"]]
    others += [[f"{n}", f"2023-0{v}-01", "F", "50", c] for n in range(9) for v in (1, 2) for c in CODES]
    tables = {"visits.csv": csv_text(example_tables()["one-row-a-diagnosis"]), "others.csv": csv_text(others)}
    dates = [["pid", "admitted", "icd"], *([f"{n}", f"0{d}/0{d + 1}/2023", "I10"] for n in range(5) for d in (1, 2))]
    lists = [["pid", "admitted", "icd"], *([f"{n}", f"2023-0{v}-01", "I10;E11.9"] for n in range(9) for v in (1, 2))]
    tables |= {"dates.csv": csv_text(dates), "empty.csv": "", "lists.csv": csv_text(lists), "ranked.csv": "old"}
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "latin.csv").write_bytes("pid,admitted,icd,nota\n1,2023-01-01,I10,hipertensión\n".encode("latin-1"))
    shutil.copytree(ROOT / "configs", folder / "configs")
    for table, task in (("visits.csv", "mine"), ("others.csv", "other")):
        command = ["mera", "prepare", "table", "--input", table, *COLUMNS]
        done = run(shlex.join([*command, "--code-system", "icd10", "--output", f"prepared/{task}"]), folder)
        assert done.returncode == 0, done.stderr
    make_checkpoint(load_task(folder / "prepared/mine"), folder / "runs/two/checkpoint")
    assert run("mera baselines --task prepared/mine --output runs --only popularity", folder).returncode == 0
    make_runs(folder / "made")
    (folder / "made/popularity").rename(folder / "runs/elsewhere")
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return make_workplace(tmp_path_factory.mktemp("user") / "work")


def files_in(folder):
    """Without what lies in the hidden folders that an interrupted run goes on from."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(name) for name in names if not any(part.startswith(".") for part in name.parts)}


def printed_by(command, folder):
    """The exit code and what stands on the screen, without bars, and without what tells where things lie."""
    done = run(command, folder)
    text = re.sub(r"[^\n]*\r", "", done.stdout + done.stderr).replace(f"{ROOT}/", "").replace(str(folder), ".")
    lines = [line for line in text.splitlines() if line.strip() and "%|" not in line and "[WARNING]" not in line]
    return done.returncode, lines


def test_there_are_thirty_mistakes_and_more():
    assert len(ENTRIES) >= 30
    assert len({entry["command"] for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["title"])
def test_a_mistake_prints_its_sentence_and_leaves_nothing(workplace, entry):
    before = files_in(workplace)
    code, lines = printed_by(entry["command"], workplace)
    assert code in (1, 2)
    assert lines == entry["printed"].splitlines()
    assert files_in(workplace) == before
    from_error = lines[next(place for place, line in enumerate(lines) if line.startswith("error: ")) :]
    assert len(from_error) <= 2  # what stands before it is the account of the rows


def rewrite():
    """The page with what its commands print now."""
    import tempfile

    with tempfile.TemporaryDirectory() as parent:
        folder = make_workplace(Path(parent) / "work")

        def entry(match):
            lines = printed_by(match["command"], folder)[1]
            printed = "".join(f"{line}\n" for line in lines)
            return f"## {match['title']}\n\n```console\n$ {match['command']}\n{printed}```"

        PAGE.write_text(ENTRY.sub(entry, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests/helpers")]
    rewrite()
