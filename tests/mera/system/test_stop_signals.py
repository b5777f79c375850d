"""SIGTERM and Ctrl-C: one sentence, an exit code as a shell expects it, nothing half-written, nobody left at work."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

import mera.system.children
from mera.root import ROOT
from mera.system.stop_signals import Stopped, stopping_in_order
from mera.training.resume.checkpoints import checkpoints

LAUNCH = (*(sys.executable, "-m", "accelerate.commands.launch"), "--config_file", "launch/accelerate/cpu.yaml")


def begin(*command, **environment):
    """A command in a process group of its own, which hears Ctrl-C even if this one was told not to."""
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, run, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None, f"the run ended too early: {run.stdout.read()[-2000:]}"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def below(run):
    return [process for process in psutil.Process(run.pid).children(recursive=True)]


def is_at_work(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def prepare_big(folder):
    return ("prepare", "synthetic", "--patients", 20000, "--kind", "coding", "--output", folder / "task")


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_prepare_says_one_sentence_and_leaves_nothing(number, name, tmp_path):
    for folder in ("out", "tmp"):
        (tmp_path / folder).mkdir()
    words = prepare_big(tmp_path / "out")[1:]
    run = begin(sys.executable, "-m", "data.prepare", *words, TMPDIR=str(tmp_path / "tmp"))
    wait_for(lambda: list((tmp_path / "out").iterdir()), run)
    time.sleep(0.5)
    os.kill(run.pid, number)
    assert run.communicate(timeout=60)[0] == f"stopped by {name}\n"
    assert run.returncode == 128 + number
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "out", tmp_path / "tmp"]


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_mera_ends_its_children_and_waits_for_them(number, name, tmp_path):
    run = begin(sys.executable, "-m", "mera.cli", *prepare_big(tmp_path / "out"))
    wait_for(lambda: (tmp_path / "out").is_dir() and list((tmp_path / "out").iterdir()), run)
    children = below(run)
    assert children
    os.killpg(run.pid, number)  # as a terminal does; children are in a group of their own
    told = run.communicate(timeout=60)[0].splitlines()
    assert run.returncode == 128 + number
    assert told in (["stopped by SIGTERM"], [f"stopped by {name}"])
    assert not [child for child in children if is_at_work(child)]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_mera_leaves_no_child(tmp_path):
    run = begin(sys.executable, "-m", "mera.cli", *prepare_big(tmp_path / "out"))
    wait_for(lambda: (tmp_path / "out").is_dir() and list((tmp_path / "out").iterdir()), run)
    children = below(run)
    run.kill()
    run.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(is_at_work(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_on_a_terminal_saves_and_is_no_failure(tmp_path):
    """Every process of the group hears it, the launcher too, which ends before its trainer has saved."""
    task, output = make_tiny_task(tmp_path / "task").path, tmp_path / "run"
    small = ("--model.base", "null", "--model.architecture", str(ARCHITECTURE), "--model.tokenizer_size", 600)
    how = ("--training.epochs", 500, "--training.save_every", 5, "--training.batch_size", 8)
    where = ("--config", "configs/rank/demo.yaml", "--task", task, "--output", output)
    run = begin(*LAUNCH, "rank/train.py", *where, *small, *how)
    folder = tmp_path / ".run.partial" / "trainer"
    wait_for(lambda: checkpoints(folder), run)
    trainers = below(run)
    os.killpg(run.pid, signal.SIGINT)
    told = run.communicate(timeout=60)[0]
    step = int(re.search(r"Ctrl-C: saving after step (\d+)$", told, re.M)[1])
    assert re.search(rf"^stopped after step {step} of \d+; the checkpoint is saved", told, re.M)
    assert checkpoints(folder)[0].name == f"checkpoint-{step}"
    assert "Traceback" not in told
    assert not [each for each in trainers if is_at_work(each)]
    assert not (tmp_path / ".run.partial" / ".lock").exists()


def test_a_signal_of_a_group_is_one_wish():
    def asked_twice():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # while things are tidied up
            tidied.append(time.sleep(0.01))

    tidied = []
    with stopping_in_order(), pytest.raises(Stopped, match="stopped by SIGTERM") as stopped:
        asked_twice()
    assert tidied
    assert stopped.value.exit_code == 143
    assert not isinstance(stopped.value, Exception)


def test_what_was_told_to_ignore_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_in_order():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_child_that_does_not_end_is_killed_and_its_code_is_told(monkeypatch):
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(mera.system.children, "SECONDS_TO_END", 1)
    popen = subprocess.Popen

    def interrupted(command, **options):
        child = popen(command, stdout=subprocess.PIPE, **options)
        assert child.stdout.readline() == b"deaf\n"
        wait = child.wait
        child.wait = lambda: (os.kill(os.getpid(), signal.SIGTERM), wait())[1]
        return child

    monkeypatch.setattr(mera.system.children.subprocess, "Popen", interrupted)
    started = time.monotonic()
    with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped:
        mera.system.children.run_child([sys.executable, "-c", deaf])
    assert 1 <= time.monotonic() - started < 20
    assert not stopped.value.is_printed  # it had no words of its own
    monkeypatch.undo()
    assert mera.system.children.run_child([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert mera.system.children.run_child([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137
