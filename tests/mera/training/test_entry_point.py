"""How a process of a run ends: its exit code, what it still does, and what it must not wait for."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mera.root import ROOT
from mera.system.launcher import LAUNCHER
from mera.training import entry_point

SCRIPT = """
import atexit, os, sys, threading
import torch.distributed
from mera.training.entry_point import run_entry_point
from mera.training.interruption import InterruptedRun

class LetGoWithTheInterpreter:
    def __del__(self, abort=os.abort):
        abort()

held = LetGoWithTheInterpreter()

def main():
    if sys.argv[1] == "in a group":
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    atexit.register(print, "at exit")
    print("working")
    threading.Timer(0.3, print, ["still working"]).start()
    if sys.argv[2] == "stopped":
        raise InterruptedRun("stopped after step 3", 15)
    if sys.argv[2] == "failed":
        open("no/such/file")

run_entry_point(main)
"""
"""Something holds an object until the interpreter is taken down, and then aborts, as a thread of gloo may."""
PRINTED = "working\nstill working\nat exit\n"


@pytest.fixture
def end(tmp_path):
    """Exit code and output of a process that prints into a file, which Python buffers."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name not in ("MERA_TRACEBACK", "RANK")}

    def end(*words):
        command = [sys.executable, script, *words]  # a Python of its own, whose end is what is looked at
        done = subprocess.run(command, cwd=ROOT, env=kept | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return end


@pytest.mark.parametrize(
    ("how", "code", "sentence"),
    [("finished", 0, ""), ("stopped", 143, "stopped after step 3"), ("failed", 1, "error: ")],
)
def test_a_process_of_a_group_ends_before_the_interpreter_is_taken_down(end, how, code, sentence):
    returned, printed, said = end("in a group", how)
    assert (returned, printed) == (code, PRINTED)
    assert sentence in said


def test_a_process_alone_ends_as_python_does(end):
    assert end("alone", "finished")[:2] == (-signal.SIGABRT, PRINTED)


@pytest.mark.parametrize(("launcher", "parent", "ends"), [("4321", 1, True), ("4321", 4321, False), ("1", 1, False)])
def test_a_launcher_that_died_before_its_process_looked_ends_it(monkeypatch, launcher, parent, ends):
    """A signal for the parent's death comes only where it dies later; of a container the launcher is process 1."""
    sent = []
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv(LAUNCHER, launcher)
    monkeypatch.setattr("os.getppid", lambda: parent)
    monkeypatch.setattr("os.kill", lambda process, number: sent.append(number))
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(prctl=lambda *values: 0))
    entry_point._end_with_the_launcher()
    assert sent == ([signal.SIGTERM] if ends else [])
