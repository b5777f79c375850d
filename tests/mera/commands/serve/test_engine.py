"""A model in a process of its own: answers, refusals, failures, and its end."""

import subprocess
import sys
import threading

import pytest

from mera.commands.serve.engine import Engine, EngineFailure, EngineRefusal
from mera.root import ROOT

PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
from mera.commands.serve.answering import NotThere, answer_requests, open_channel
from mera.system.errors import UserError

def double(request):
    return {{"number": 2 * request["number"]}}

def refuse(request):
    raise (NotThere if request["missing"] else UserError)("leave that out")

def fail(request):
    raise KeyError(request["name"])

channel = open_channel()
print("a library prints")
os.write(1, b"and writes\\n")
about = {{"kind": "patients", "model": "m", "edition": None, "reads_history": True, "reads_notes": False}}
about |= {{"has_rules": False, "candidates": []}}
handlers = {{"double": double, "refuse": refuse, "fail": fail, "end": lambda request: os._exit(3)}}
answer_requests(channel, about, handlers, lambda: None)
"""


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.format(root=str(ROOT)))
    engine = Engine([sys.executable, str(tmp_path / "program.py")])
    yield engine
    engine.end()


def test_what_is_asked_is_answered_whatever_libraries_print(engine):
    assert engine.about.model == "m"
    assert engine.ask("double", {"number": 21}) == {"number": 42}
    assert engine.about is engine.about


def test_many_threads_get_each_their_own_answer(engine):
    assert engine.about.kind == "patients"
    answers = {}

    def work(first):
        for number in range(first, 200, 4):
            answers[number] = engine.ask("double", {"number": number})["number"]

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: 2 * number for number in range(200)}


@pytest.mark.parametrize(("missing", "status"), [(False, 422), (True, 404)])
def test_a_refusal_is_a_sentence_with_a_status(engine, missing, status):
    assert engine.about
    with pytest.raises(EngineRefusal, match="leave that out") as refusal:
        engine.ask("refuse", {"missing": missing})
    assert refusal.value.status == status


def test_a_failure_says_where_and_not_what_and_the_next_request_is_answered(engine):
    assert engine.about
    with pytest.raises(EngineFailure, match="the model could not answer") as failure:
        engine.ask("fail", {"name": "Zyxquander"})
    assert "in fail" in failure.value.stack
    assert "Zyxquander" not in failure.value.stack
    assert engine.ask("double", {"number": 1}) == {"number": 2}


def test_an_engine_that_ended_fails_and_does_not_hang(engine):
    assert engine.about
    for _ in range(2):
        with pytest.raises(EngineFailure) as failure:
            engine.ask("end", {})
        assert "its process has ended" in failure.value.stack


def test_a_model_that_does_not_open_is_said(tmp_path):
    engine = Engine([sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(ValueError, match="could not be opened; why stands above"):
        _ = engine.about
    engine.end()


def test_it_ends_with_its_input_or_is_killed(engine, monkeypatch):
    assert engine.about
    engine.end()
    assert engine._process.returncode == 0
    monkeypatch.setattr("mera.commands.serve.engine.SECONDS_TO_END", 0.2)
    deaf = Engine([sys.executable, "-c", "import time; time.sleep(600)"])
    deaf.end()
    assert deaf._process.returncode == -9
    assert isinstance(deaf._process, subprocess.Popen)
