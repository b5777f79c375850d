"""`mera serve` as a process: its address, what it keeps out, what it prints, its end, and what it refuses to start."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from served import Served

from mera.commands.predict import STAGE_TWO
from mera.commands.serve.run import engine_sources, serve
from mera.root import ROOT

NAME = "Zyxquander"


def ask(address, body=None):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(address, None if body is None else body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_answers_on_this_machine_alone_stores_nothing_and_ends_in_order(models, tmp_path):
    with (tmp_path / "said.txt").open("w+") as said:
        before = {path for path in models[0].parents[1].rglob("*")}
        with Served(models[0].parent, "--bi-encoder", models[1], output=said) as server:
            assert len(server.token) >= 32
            assert "for this machine alone" in server.ready
            port = int(server.address.split(":")[2].split("/")[0])
            assert ask(f"{server.address}rank", '{"history": [{"codes": ["I10"]}], "top": 3}')[0] == 200
            assert ask(f"{server.address}notes", f'{{"text": "{NAME} has heart failure"}}')[0] == 200
            assert ask(f"{server.address}rank", f'{{"history": [{{"codes": ["{NAME}"]}}]}}')[0] == 422
            assert ask(f"{server.address}rank", f'{{"sex": "{NAME}"}}')[0] == 422
            assert ask(f"http://127.0.0.1:{port}/rank", "{}")[0] == 401
            with socket.socket() as other:
                assert other.connect_ex(("127.0.0.2", port)), "bound to one address alone"
            listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            assert f"0100007F:{port:04X}" in listening
            assert f"00000000:{port:04X}" not in listening
            engines = children(server.process.pid)
            assert len(engines) == 2
            server.process.send_signal(signal.SIGTERM)
            rest, _ = server.process.communicate(timeout=120)
        assert server.process.returncode == 128 + signal.SIGTERM
        assert not any(Path(f"/proc/{engine}").exists() for engine in engines)
        said.seek(0)
        printed = said.read() + rest
    assert "stopped by SIGTERM" in printed
    assert NAME not in printed
    assert "POST" not in printed
    assert "Traceback" not in printed
    assert {path for path in models[0].parents[1].rglob("*")} == before, "nothing is written"


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_is_served_is_known_by_its_files(models, tmp_path):
    two, notes = models[0].parent, models[1]
    assert engine_sources(two, None) == {"patients": two}
    assert engine_sources(notes / "checkpoint", None) == {"notes": notes / "checkpoint"}
    assert engine_sources(two, notes) == {"patients": two, "notes": notes}
    with pytest.raises(ValueError, match="is not a run that ranks patients or notes"):
        engine_sources(tmp_path, None)
    with pytest.raises(ValueError, match=r"--bi-encoder: .* is not a run that reads notes"):
        engine_sources(two, two)
    with pytest.raises(ValueError, match="two models of notes were given"):
        engine_sources(notes, notes)


def test_what_cannot_be_served_is_said_in_a_sentence(models, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} cannot be used here; choose another with --port"):
            serve(models[0], None, port)
    for beyond in (-1, 70_000):
        with pytest.raises(ValueError, match="cannot be used here"):
            serve(models[0], None, beyond)
    with pytest.raises(ValueError, match="is not a run that ranks patients or notes"):
        serve(tmp_path, None, 0)


def test_a_model_that_does_not_open_is_said_and_leaves_no_process(tmp_path):
    (tmp_path / STAGE_TWO).write_text("{}")
    before = children(os.getpid())
    with pytest.raises(ValueError, match="the model could not be opened; why stands above"):
        serve(tmp_path, None, 0)
    assert children(os.getpid()) == before


def test_without_the_packages_one_sentence_says_how_to_get_them(models):
    program = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['mera', 'serve', sys.argv[1]];"
        "from mera.cli import app; app()"
    )
    refused = subprocess.run(
        [sys.executable, "-c", program, str(models[0])], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: mera serve needs FastAPI and uvicorn (uvicorn is missing): pip install")
    assert "Traceback" not in refused.stderr
