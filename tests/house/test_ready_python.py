"""The helper that starts Python with its libraries already there runs a script as a new Python does."""

import json
import os
import signal
import subprocess
import sys

import pytest
from ready_python import PIDS, ReadyProcess, begin_ready, run_ready

SHOW = """
import atexit, json, os, sys, threading
import helper_beside
words, variable = [sys.argv, sys.orig_argv, sys.path[0], os.getcwd()], os.environ.get("MADE_UP")
print(json.dumps([*words, variable, __name__, sys.stdin.read()]))
print("said", file=sys.stderr)
atexit.register(print, "at exit")
threading.Timer(0.1, print, ["still working"]).start()
sys.exit(int(sys.argv[1]))
"""
END = {
    "raise": "raise ValueError('wrong')",
    "words": "import sys; sys.exit('a sentence')",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "another": "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'raise SystemExit(7)']))",
}


def in_a_new_python(words, cwd, env):
    command = [sys.executable, *map(str, words)]
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run(command, cwd=cwd, env=env, check=False, **streams)


@pytest.fixture
def scripts(tmp_path):
    (tmp_path / "helper_beside.py").write_text("")
    for name, text in {"show": SHOW, **END}.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("start", [("show.py",), ("-m", "show")])
def test_a_script_has_its_words_folder_environment_and_exit_code(start, code, scripts):
    environment = os.environ | {"MADE_UP": "é"}
    run, new = (each([*start, code], cwd=scripts, env=environment) for each in (run_ready, in_a_new_python))
    assert (run.returncode, run.stdout, run.stderr) == (new.returncode, new.stdout, new.stderr)
    assert (new.returncode, new.stdout.splitlines()[1:], new.stderr) == (code, ["still working", "at exit"], "said\n")
    assert json.loads(new.stdout.splitlines()[0])[4:] == ["é", "__main__", ""]


@pytest.mark.parametrize("name", END)
def test_it_ends_as_a_new_python_does(name, scripts):
    run, new = (each([f"{name}.py"], cwd=scripts, env=dict(os.environ)) for each in (run_ready, in_a_new_python))
    assert run.returncode == new.returncode
    assert run.stderr.splitlines()[-1:] == new.stderr.splitlines()[-1:]


def test_a_setting_that_is_read_at_start_is_that_of_the_process(scripts):
    (scripts / "encoding.py").write_text("import os, sys; print(sys.getfilesystemencoding(), os.fsencode(sys.argv[1]))")
    ascii_only = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    assert run_ready(["encoding.py", "ü"], cwd=scripts, env=ascii_only).stdout == "ascii b'\\xc3\\xbc'\n"
    assert run_ready(["encoding.py", "ü"], cwd=scripts).stdout == "utf-8 b'\\xc3\\xbc'\n"


def test_processes_run_beside_each_other_and_can_be_ended(scripts):
    (scripts / "waits.py").write_text("import time; time.sleep(600)")
    first, second = (ReadyProcess([sys.executable, "waits.py"], cwd=scripts) for _ in range(2))
    assert os.getpgid(first.pid) == first.pid
    assert first.poll() is second.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.1)
    second.kill()
    assert second.wait(60) == -signal.SIGKILL
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGTERM)
    assert first.wait(60) == -signal.SIGTERM


def test_what_is_begun_prints_into_a_file_and_leaves_its_number(scripts):
    (scripts / "says.py").write_text("import os, sys; print(os.getpid()); print('error', file=sys.stderr)")
    (scripts / "pids").mkdir()
    environment = os.environ | {PIDS: str(scripts / "pids"), "RANK": "7"}
    process = begin_ready(["says.py"], scripts / "log", cwd=scripts, env=environment)
    assert process.wait(60) == 0
    assert sorted((scripts / "log").read_text().splitlines()) == sorted([str(process.pid), "error"])
    assert [(path.name, path.read_text()) for path in (scripts / "pids").iterdir()] == [(str(process.pid), "7")]
