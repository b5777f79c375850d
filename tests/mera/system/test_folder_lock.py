"""One process at a time works in a folder; a folder takes the place of another in one step."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from ready_python import run_ready
from tiny_task import make_tiny_task

from data.prepare.run import prepare
from data.task import lock_task
from mera.root import ROOT
from mera.runs.finished_runs import finished_before
from mera.runs.run_directory import RunDirectory
from mera.system import folder_lock, folder_replacement
from mera.system.folder_replacement import replace_folder, restore_folder

HOLD = """
import sys, time
from mera.system.folder_lock import FolderLock
lock = FolderLock(sys.argv[1])
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder():
    """Locks a folder in another process; returns that process."""
    started = []

    def hold(folder):
        process = subprocess.Popen([sys.executable, "-c", HOLD, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "locked\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_is_told_who_works_where(holder, tmp_path):
    process = holder(tmp_path / "work")
    who = rf"{tmp_path / 'work'} is in use: process {process.pid} on {socket.gethostname()} works there since 2\d{{3}}-"
    with pytest.raises(ValueError, match=who):
        folder_lock.FolderLock(tmp_path / "work")
    process.send_signal(signal.SIGKILL)  # the lock of a dead process is free
    process.wait()
    lock = folder_lock.FolderLock(tmp_path / "work")
    (tmp_path / "work" / "left").mkdir()
    (tmp_path / "work" / "over").write_text("x", encoding="utf-8")
    lock.clear()
    assert [path.name for path in (tmp_path / "work").iterdir()] == [folder_lock.NAME]
    lock.release()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_process_is_no_rival_of_itself_and_leaves_nothing(tmp_path):
    first, second = lock_task(tmp_path / "task"), lock_task(tmp_path / "task")
    (first.folder / "part").write_text("x", encoding="utf-8")
    first.folder.rename(tmp_path / "task")
    first.release(tmp_path / "task")
    assert (tmp_path / "task" / ".lock").exists()
    second.release()
    assert [path.name for path in (tmp_path / "task").iterdir()] == ["part"]
    empty = lock_task(tmp_path / "other")
    del empty
    assert [path.name for path in tmp_path.iterdir()] == ["task"]


def test_a_file_system_without_locks_is_asked_for_the_process(monkeypatch, tmp_path):
    def no_locks(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(folder_lock.fcntl, "flock", no_locks)
    folder_lock.FolderLock(tmp_path).release()
    (tmp_path / ".lock").write_text("1 elsewhere 2026-01-01 00:00:00", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"process 1 on elsewhere works there .*; if it has ended, remove {tmp_path}"):
        folder_lock.FolderLock(tmp_path)
    (tmp_path / ".lock").write_text(f"999999999 {socket.gethostname()} 2026-01-01 00:00:00", encoding="utf-8")
    folder_lock.FolderLock(tmp_path).release()


def test_a_run_a_report_a_demo_and_a_task_are_refused_while_another_process_is_at_work(holder, tmp_path):
    process = holder(tmp_path / ".run.partial")
    with pytest.raises(ValueError, match=f"is in use: process {process.pid} "):
        RunDirectory(tmp_path / "run")
    os.environ["RANK"] = "1"  # the first process speaks for all
    try:
        RunDirectory(tmp_path / "run")
    finally:
        del os.environ["RANK"]
    task = make_tiny_task(tmp_path / "task").path
    commands = {
        ".popularity.partial": ["mera.cli", "baselines", "--task", task, "--output", tmp_path],
        ".report.partial": ["mera.cli", "report", tmp_path / "run", "--output", tmp_path / "report"],
        "demo": ["mera.cli", "demo", "--output", tmp_path / "demo"],
        ".made.partial": [
            "data.prepare",
            "synthetic",
            "--patients",
            "60",
            "--kind",
            "coding",
            "--output",
            tmp_path / "made",
        ],
    }
    for folder, command in commands.items():
        process = holder(tmp_path / folder)
        done = run_ready(["-m", *command], cwd=ROOT)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {tmp_path / folder} is in use: process {process.pid} on "), done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_finishing_renames_first(monkeypatch, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.path("trainer").mkdir()
    run.path("metrics.json").write_text("{}", encoding="utf-8")

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mera.runs.run_directory.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert not (tmp_path / ".run.partial").exists()


@pytest.mark.parametrize("exchanges", [True, False])
def test_the_old_or_the_new_folder_is_there_at_each_moment(exchanges, monkeypatch, tmp_path):
    if not exchanges:
        monkeypatch.setattr(folder_replacement, "_exchanged", lambda *_: False)
    final = tmp_path / "final"

    def make(folder):
        folder.mkdir()
        (folder / "name").write_text(folder.name, encoding="utf-8")
        return folder

    def killed(*_, **__):
        raise KeyboardInterrupt

    replace_folder(make(tmp_path / "first"), final)
    assert (final / "name").read_text(encoding="utf-8") == "first"
    with monkeypatch.context() as patch:
        patch.setattr(folder_replacement.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(make(tmp_path / "second"), final)
    assert (final / "name").read_text(encoding="utf-8") == ("second" if exchanges else "first")
    restore_folder(final)
    shutil.rmtree(tmp_path / "second", ignore_errors=True)
    replace_folder(make(tmp_path / "third"), final)
    assert (final / "name").read_text(encoding="utf-8") == "third"
    # Killed between the two renames of a system that cannot exchange.
    final.rename(tmp_path / ".final.before")
    restore_folder(final)
    assert (final / "name").read_text(encoding="utf-8") == "third"
    assert not (tmp_path / ".final.before").exists()


def test_what_is_finished_is_of_this_task_and_these_settings(tmp_path):
    folder = tmp_path / "linear"
    assert not finished_before(folder, "a")
    (folder / "predictions").mkdir(parents=True)
    with pytest.raises(ValueError, match="linear already exists and holds no finished run"):
        finished_before(folder, "a")
    manifest = folder / "predictions" / "manifest.json"
    manifest.write_text('{"task": {"fingerprint": "a"}, "config": {"seed": 1}}', encoding="utf-8")
    assert finished_before(folder, "a", {"seed": 1})
    with pytest.raises(ValueError, match="is a run of another task; choose another --output or remove it"):
        finished_before(folder, "b")
    with pytest.raises(ValueError, match="differs in seed; choose another"):
        finished_before(folder, "a", {"seed": 2})
    manifest.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest.json is damaged; remove"):
        finished_before(folder, "a")


def test_prepare_lets_go_of_its_places_when_it_fails(tmp_path):
    from data.prepare.options import parse_arguments

    words = ["diabetes130", "--input", str(tmp_path / "none.csv"), "--output", str(tmp_path / "made")]
    with pytest.raises((OSError, ValueError)):
        prepare(parse_arguments(words))
    assert list(tmp_path.iterdir()) == []
