"""Damaged parts of a run, full disks and hostile texts: one sentence, nothing half-written, nothing carried out."""

import csv
import io
import json
import os
import resource
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from made_up_runs import make_runs
from typer.testing import CliRunner

from mera.cli import app
from mera.report import write_report
from mera.report.page.render import environment
from mera.report.page.tables import Cell, Column, Row, Table, to_csv
from mera.root import ROOT
from mera.runs.predictions import read_predictions

CANARY = "CANARY-Z77"


@pytest.fixture
def runs(tmp_path):
    return make_runs(tmp_path / "runs")


def said(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    return done.stderr.strip().splitlines()[-1]


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path, **columns):
    pl.read_parquet(path).with_columns(**columns).write_parquet(path)


def foreign_code(folder):
    path = folder / "examples.parquet"
    targets = pl.read_parquet(path)["targets"].to_list()
    targets[3] = [CANARY]
    change(path, targets=pl.Series(targets))


def not_a_number(folder):
    scores = np.load(folder / "scores.npy")
    scores[3, 5], scores[7, 0] = np.nan, np.inf
    np.save(folder / "scores.npy", scores)


def without_threshold(folder):
    path = folder / "examples.parquet"
    pl.read_parquet(path).drop("threshold").write_parquet(path)


def repeated_rows(folder):
    path = folder / "examples.parquet"
    names = pl.read_parquet(path)["example_id"].to_list()
    change(path, example_id=pl.Series([*names[:-5], *[CANARY] * 5]))


def without_patient(folder):
    path = folder / "examples.parquet"
    patients = pl.read_parquet(path)["patient_id"].to_list()
    change(path, patient_id=pl.Series([None, *patients[1:]]))


DAMAGE = [
    (repeated_rows, "examples.parquet: 4 of 120 rows repeat the example_id of another row, so that an example would"),
    (without_patient, "examples.parquet has no patient_id in 1 of 120 rows; write the predictions again"),
    (foreign_code, "examples.parquet: row 4 holds a code that is not among the run's codes in targets"),
    (not_a_number, "scores.npy holds NaN or infinity in 2 of 120 rows (the first: row 4), which cannot be ranked"),
    (lambda folder: cut_off(folder / "scores.npy"), "scores.npy is damaged: it cannot be read as a NumPy array"),
    (lambda folder: cut_off(folder / "examples.parquet"), "examples.parquet is damaged: it cannot be read as Parquet"),
    (lambda folder: cut_off(folder / "codes.parquet"), "codes.parquet is damaged: it cannot be read as Parquet"),
    (lambda folder: cut_off(folder / "manifest.json"), "manifest.json is damaged: it cannot be read as JSON"),
    (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json; write the predictions again"),
    (lambda folder: (folder / "codes.parquet").unlink(), "codes.parquet is missing; write the predictions again"),
    (lambda folder: np.save(folder / "scores.npy", np.full((120, 60), CANARY)), "scores.npy holds no numbers but"),
    (lambda folder: change(folder / "examples.parquet", seen=pl.lit(CANARY)), "column seen holds no lists of codes"),
    (
        lambda folder: (
            pl.read_parquet(folder / "examples.parquet").drop("threshold").write_parquet(folder / "examples.parquet")
        ),
        "examples.parquet has no column threshold; write the predictions again",
    ),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE, ids=[sentence for _, sentence in DAMAGE])
def test_a_damaged_part_is_named_and_the_old_report_stays(damage, sentence, runs, tmp_path):
    write_report(runs[:2], tmp_path / "report", bootstrap_samples=20)
    before = (tmp_path / "report" / "report.json").read_bytes()
    damage(next(runs[1].rglob("scores.npy")).parent)
    for command in (["report", *runs[:2], "--output", tmp_path / "report"], ["compare", *runs[:2]]):
        told = said(*command)
        assert told.startswith("error: ")
        assert sentence in told
        assert str(runs[1]) in told
        assert CANARY not in told
    assert (tmp_path / "report" / "report.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "runs"]


def test_what_a_library_says_is_not_passed_on(runs, monkeypatch):
    def fail(*_, **__):
        return {}[CANARY]

    monkeypatch.setattr("mera.report.print_comparison", fail)
    monkeypatch.delenv("MERA_TRACEBACK", raising=False)
    done = CliRunner().invoke(app, ["compare", *map(str, runs[:2])])
    assert done.exit_code == 1
    assert "error: KeyError (its message is hidden: it may quote a patient's data" in done.stderr
    assert CANARY not in done.stderr


def test_a_report_to_a_link_writes_what_it_points_to(runs, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "report").symlink_to(tmp_path / "disk")
    for _ in range(2):
        page = write_report(runs[:2], tmp_path / "report", bootstrap_samples=20)
    assert (tmp_path / "report").is_symlink()
    assert page == tmp_path / "disk" / "index.html"
    assert page.is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "report", "runs"]


def test_a_full_disk_leaves_the_old_report(runs, tmp_path):
    write_report(runs[:2], tmp_path / "report", bootstrap_samples=20)
    before = (tmp_path / "report" / "index.html").read_bytes()
    limit = 20_000  # bytes a file may have: less than the page
    done = subprocess.run(
        [sys.executable, "-m", "mera.cli", "report", *map(str, runs[:2]), "--output", str(tmp_path / "report")],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "index.html: File too large; what was there before is as it was" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "report" / "index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "runs"]


def test_a_folder_that_cannot_be_written_is_said_before_the_work(runs, monkeypatch):
    monkeypatch.setattr("mera.report.page.write.group_runs", lambda *_: pytest.fail("it worked before it looked"))
    told = said("report", runs[0], "--output", "/proc/report")
    assert told.startswith("error: /proc/")
    assert "/proc/.report.partial" in told


FORMULAS = ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1+1", "\r=1+1", "＝1"]


def test_no_cell_of_a_csv_file_is_a_formula_and_numbers_stay_numbers():
    columns = [Column(key="value", label="Value", format="points"), Column(key="text", label="Text", format="text")]
    cells = {text: [Cell(value=-0.5, low=-1.0, high=0.5, note=text), Cell(value=text)] for text in FORMULAS}
    rows = [Row(label=text, cells=found) for text, found in cells.items()]
    written = to_csv(Table(name="t", caption="c", columns=columns, rows=rows))
    for text, row in zip(FORMULAS, list(csv.DictReader(io.StringIO(written, newline=""))), strict=True):
        assert row["model"] == row["text"] == row["value_note"] == f"'{text.strip()}"
        assert (row["value"], row["value_low"], row["value_high"]) == ("-0.5", "-1.0", "0.5")


def test_the_markdown_holds_no_html_of_others(runs, tmp_path):
    attack = "<img src=x onerror=alert(1)> `<b>` <!-- &lt;"
    path = next(runs[1].rglob("manifest.json"))
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest |= {"model": attack, "seed": attack, "git_commit": attack, "command": attack}
    manifest["task"] |= {"name": attack, "protocol": attack}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert read_predictions(runs[1]).manifest["model"] == attack
    write_report([runs[1]], tmp_path / "report", bootstrap_samples=20)
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "<" not in markdown
    assert "&lt;img src=x onerror=alert(1)&gt;" in markdown
    assert environment().filters["cell"]("a | b & c") == r"a \| b &amp; c"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_another_user_is_said(runs, tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o500)
    assert "Permission denied" in said("report", runs[0], "--output", tmp_path / "theirs" / "report")
