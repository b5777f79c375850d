"""How a process of a run ends: its exit code, what it still does, and what it must not wait for."""

import os
import signal
import subprocess
import sys

import pytest

from mera.root import ROOT

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
