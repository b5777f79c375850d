"""A locale that knows ASCII alone and folders with umlauts: every table is printed, every file is read and written."""

import ast
import json
import os
import subprocess
import sys
import warnings

import pytest
from small_model import ARCHITECTURE

from mera.root import ROOT
from mera.system.terminal import VERBOSE, be_verbose, quiet_libraries

PACKAGES = ("mera", "data", "memorize", "rank", "bi_encoder")
OUR_FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
BYTES_ALONE = ("os.open", "archive.open", "opener.open")
"""What opens no text: a file descriptor, a member of an archive, an address."""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
MERA = [sys.executable, "-m", "mera.cli"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a command in a new folder, in the C locale; its output as text."""
    folder = tmp_path_factory.mktemp("kürzel")

    def run(*command):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=kept | ASCII | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run.folder = folder
    run(*MERA, "prepare", "synthetic", "--patients", 60, "--kind", "diagnosis", "--output", "prüfung/ärzte")
    run(*MERA, "baselines", "--task", "prüfung/ärzte", "--output", "prüfung/läufe", "--only", "[popularity, linear]")
    return run


def test_reports_are_written_and_tables_printed(run):
    runs = ("prüfung/läufe/popularity", "prüfung/läufe/linear")
    assert "ärzte, test: percent" in run(*MERA, "compare", *runs, "--bootstrap-samples", 10)
    assert "┏━" in run(*MERA, "inspect", "prüfung/ärzte")
    assert run(*MERA, "report", *runs, "--output", "bericht") == "bericht/index.html\n"
    assert "prüfung/läufe" in (run.folder / "bericht" / "report.json").read_text(encoding="utf-8")


def test_a_stage_trains_and_its_script_needs_no_other_locale(run):
    few = ("--model.tokenizer_size", 600, "--training.epochs", 0.1, "--name", "Größe ✓")
    told = run(
        *(sys.executable, ROOT / "rank" / "train.py", "--config", ROOT / "configs" / "rank" / "demo.yaml"),
        *("--task", "prüfung/ärzte", "--output", "prüfung/läufe/rang", "--model.base", "null"),
        *("--model.architecture", json.dumps(ARCHITECTURE), *few),
    )
    assert told.splitlines()[-1] == "checkpoint and predictions: prüfung/läufe/rang"
    manifest = (run.folder / "prüfung/läufe/rang/predictions/manifest.json").read_text(encoding="utf-8")
    assert json.loads(manifest)["model"] == "Größe ✓"
    assert "--output prüfung/läufe/rang" in json.loads(manifest)["command"].replace("'", "")


@pytest.mark.parametrize("path", OUR_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_opens_a_text_names_its_encoding(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name, words = ast.unparse(node.func), {word.arg for word in node.keywords}
        if name.endswith((".read_text", ".write_text")):
            assert "encoding" in words, ast.unparse(node)
        if name == "open" or name.endswith((".open", "fdopen")):
            modes = [ast.unparse(value) for value in [*node.args, *(word.value for word in node.keywords)]]
            binary = any(mode.strip("'\"") in ("rb", "wb", "ab", "r+b") for mode in modes)
            assert binary or "encoding" in words or name in BYTES_ALONE, ast.unparse(node)
        if name.startswith("subprocess."):
            assert not {"text", "universal_newlines"} & words or "encoding" in words, ast.unparse(node)


def test_libraries_warn_of_themselves_with_v_alone(monkeypatch):
    def heard():
        with warnings.catch_warnings(record=True) as said:
            warnings.warn_explicit("a name will go", FutureWarning, "file.py", 1, module="peft.utils.save_and_load")
            warnings.warn_explicit("a row was cut", UserWarning, "file.py", 2, module="rank.patients.notices")
            warnings.warn_explicit("not a tensor", UserWarning, "file.py", 3, module="torch.nn")
        return [str(warning.message) for warning in said]

    monkeypatch.setenv(VERBOSE, "0")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        quiet_libraries()
        assert heard() == ["a row was cut", "not a tensor"]
        be_verbose()
        assert heard() == ["a name will go", "a row was cut", "not a tensor"]
