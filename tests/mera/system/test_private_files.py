"""Files with patients' rows are their owner's alone, and an error never quotes a row."""

import os
import stat
from pathlib import Path

import polars as pl
import pytest
import torch
from made_up_runs import make_runs
from prepare_case import run as prepare

import mera.system.command
import mera.system.private_files
import mera.training.entry_point
from data.task import load_task
from mera.report import write_report
from mera.root import ROOT
from mera.system.errors import UserError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def assert_private(folder):
    assert mode(folder) == 0o700
    inside = list(folder.rglob("*"))
    assert inside
    for path in inside:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022


def test_prepared_tasks_are_their_owners_alone(usual_umask, tmp_path):
    prepare("synthetic", "--kind", "both", "--patients", 60, "--output", tmp_path / "prepared" / "cohort")
    for kind in ("diagnosis", "coding"):
        assert_private(tmp_path / "prepared" / f"cohort-{kind}")
    assert mode(tmp_path / "prepared") == 0o755
    task = load_task(tmp_path / "prepared" / "cohort-coding")
    cached = task.splits["test"].map(lambda row: {"characters": len(row["text"])})
    assert cached.cache_files
    for cache in cached.cache_files:
        assert mode(Path(cache["filename"]).parent) == 0o700


def test_predictions_and_example_pages_are_their_owners_alone(usual_umask, tmp_path):
    runs = make_runs(tmp_path / "runs")
    assert_private(next(path for path in runs[0].parent.rglob("scores.npy")).parent)
    write_report(runs[:2], tmp_path / "report", bootstrap_samples=20, with_examples=2)
    assert_private(tmp_path / "report" / "examples")
    assert mode(tmp_path / "report" / "index.html") == 0o644
    write_report(runs[:2], tmp_path / "plain", bootstrap_samples=20)
    assert not (tmp_path / "plain" / "examples").exists()


def test_the_umask_returns_after_private_files(usual_umask, tmp_path):
    def fill_the_disk():
        with mera.system.private_files.private_files():
            (tmp_path / "inside").write_text("x")
            (tmp_path / "folder").mkdir()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_the_disk()
    (tmp_path / "after").write_text("x")
    assert [mode(tmp_path / name) for name in ("inside", "folder", "after")] == [0o600, 0o700, 0o644]


PATIENT = "Smith"


def built_in():
    int(PATIENT)


def built_in_of_ours():
    for package in ("mera", "data"):
        exec(compile("int(PATIENT)", str(ROOT / package / "made_up.py"), "exec"))


def library():
    pl.Series([PATIENT]).cast(pl.Int64)


def missing_key():
    {"a": 1}[PATIENT]


def ours():
    load_task("nowhere")


def a_sentence():
    raise UserError("row 3 has no date")


def torch_shapes():
    torch.zeros(2) @ torch.zeros(3)


@pytest.mark.parametrize("run", [mera.training.entry_point.run_entry_point, mera.system.command.run_command])
@pytest.mark.parametrize("fail", [built_in, built_in_of_ours, library, missing_key])
def test_a_librarys_error_is_told_without_its_message(run, fail, capsys, monkeypatch):
    monkeypatch.delenv("MERA_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as end:
        run(fail)
    printed = capsys.readouterr().err
    assert end.value.code == 1
    assert "Error (its message is hidden: it may quote a patient's data; MERA_TRACEBACK=1 shows it)" in printed
    assert f"in {fail.__name__}" in printed
    assert PATIENT not in printed
    monkeypatch.setenv("MERA_TRACEBACK", "1")
    with pytest.raises((ValueError, KeyError, pl.exceptions.PolarsError), match=PATIENT):
        run(fail)


def test_our_sentences_and_the_machines_are_told_whole(capsys, monkeypatch):
    monkeypatch.delenv("MERA_TRACEBACK", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    for run in (mera.training.entry_point.run_entry_point, mera.system.command.run_command):
        with pytest.raises(SystemExit):
            run(ours)
        assert "error: no prepared task in nowhere (task.json is missing)" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            run(a_sentence)
        assert "error: row 3 has no date" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        mera.training.entry_point.run_entry_point(torch_shapes)
    assert "hidden" in capsys.readouterr().err  # a RuntimeError of torch raised from this file, not from its own
    with pytest.raises(SystemExit):
        mera.training.entry_point.run_entry_point(lambda: torch.nn.Linear(2, 2)(torch.zeros(3)))
    assert "error: RuntimeError: " in capsys.readouterr().err
    waited = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(
        mera.training.entry_point.time, "sleep", lambda seconds: waited.append((seconds, capsys.readouterr().err))
    )
    monkeypatch.setattr(mera.training.entry_point.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        mera.training.entry_point.run_entry_point(ours)
    assert waited == [(mera.training.entry_point.SECONDS_FOR_RANK_0, "")]  # rank 0 speaks first
    assert "error: no prepared task" in capsys.readouterr().err
