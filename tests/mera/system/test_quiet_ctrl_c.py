"""Ctrl-C while a command imports its libraries: one sentence, no traceback, and the exit code of a signal."""

import os
import signal
import subprocess
import sys

import pytest

from mera.root import ROOT

AT_THE_FIRST_LIBRARY = """
import os, signal, sys, time

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package not in sys.stdlib_module_names and package not in ("mera", "data", "rank", "memorize", "bi_encoder"):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

sys.meta_path.insert(0, Interrupt())
"""
COMMANDS = [
    *(
        "memorize/train.py",
        "memorize/run_recall.py",
        "rank/train.py",
        "rank/ablations/rescore.py",
        "rank/run_baselines.py",
    ),
    *("rank/run_predict.py", "rank/ablations/run_ablations.py", "bi_encoder/train.py", "bi_encoder/run_search.py"),
    *(
        "bi_encoder/run_retrieval_baselines.py",
        "bi_encoder/reruns/rescore.py",
        "rank/studies/run_study.py",
        "data.prepare",
        "data.prepare.run_sample",
        "data.inspection.inspect_task",
        "mera.cli",
    ),
]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(AT_THE_FIRST_LIBRARY)

    def run(command, **environment):
        program = [str(ROOT / command)] if command.endswith(".py") else ["-m", command]
        path = os.pathsep.join([str(folder), str(ROOT)])
        return subprocess.run(
            [sys.executable, *program],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_it_ends_with_one_sentence(command, interrupted):
    done = interrupted(command)
    assert (done.stdout, done.stderr) == ("", "stopped by Ctrl-C\n")
    assert done.returncode == -signal.SIGINT  # 130 in a shell


def test_the_first_process_of_a_run_speaks_for_all(interrupted):
    assert interrupted("rank/train.py", RANK="1").stderr == ""


def test_the_traceback_is_there_for_who_asks(interrupted):
    assert "KeyboardInterrupt" in interrupted("rank/train.py", MERA_TRACEBACK="1").stderr


def test_other_errors_are_printed_as_python_does():
    code = "import mera.system.quiet_ctrl_c; 1 / 0"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("Traceback")
    assert "ZeroDivisionError" in done.stderr
