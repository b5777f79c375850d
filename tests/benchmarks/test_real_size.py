"""The rehearsal at full size: its weights, its measuring and its interruptions, with a tiny shape."""

import importlib
import importlib.util
import sys

import pytest
import torch
from tiny_task import make_tiny_task
from transformers import AutoModelForCausalLM

from mera.root import ROOT

FOLDER = ROOT / "tests" / "benchmarks"
MIB = 2**20


@pytest.fixture
def real_size(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("real_size", FOLDER / "real_size.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "real_size", module)
    spec.loader.exec_module(module)
    module.measured_commands = importlib.import_module("measured_commands")
    return module


def test_weights_are_written_in_shards_that_transformers_opens(real_size, tmp_path, monkeypatch):
    monkeypatch.setattr(real_size, "SHARD_BYTES", 200_000)
    make_tiny_task(tmp_path / "task")
    base = tmp_path / "base"
    real_size.write_base(base, tmp_path / "task", "tiny")
    assert len(list(base.glob("model-*.safetensors"))) > 2
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert model.config.hidden_size == 64
    weights = model.state_dict()
    assert weights["model.norm.weight"].eq(1).all()
    assert weights["lm_head.weight"].float().std() == pytest.approx(0.02, rel=0.05)
    assert not torch.equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"])


def test_the_peak_is_that_of_all_processes_together(real_size):
    allocate = "import time; b = bytearray(120 << 20); time.sleep(0.6)"
    both = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {allocate!r}]); {allocate}; p.wait()"
    measured = real_size.measured_commands.run_measured([sys.executable, "-c", both])
    assert measured.code == 0
    assert 240 * MIB < measured.peak < 300 * MIB


def test_a_fork_counts_what_it_does_not_share(real_size):
    """Of 60 MiB in both, 20 more in the copy."""
    fork = (
        "import os, time; shared = bytearray(b'x') * (60 << 20); child = os.fork()\n"
        "own = b'' if child else bytearray(b'x') * (20 << 20); time.sleep(0 if child else 1)\n"
        "if child: os.wait()"
    )
    measured = real_size.measured_commands.run_measured([sys.executable, "-c", fork])
    assert measured.code == 0
    assert 78 * MIB < measured.peak < 110 * MIB


def test_a_line_of_output_interrupts(real_size):
    endless = "import time; print('step 1 of 3', flush=True); time.sleep(60)"
    measured = real_size.measured_commands.run_measured([sys.executable, "-c", endless], "step 1 of 3")
    assert measured.code == -15
    assert measured.seconds < 30
    assert measured.output == "step 1 of 3\n"


def test_what_goes_wrong_ends_with_its_last_lines(real_size, tmp_path):
    rehearsal = real_size.Rehearsal(tmp_path)
    with pytest.raises(SystemExit, match=r"(?s)a step ended with 3:.*out of memory"):
        rehearsal.take("a step", [sys.executable, "-c", "print('out of memory'); raise SystemExit(3)"])
    assert not rehearsal.rows.exists()


def test_a_step_is_taken_once(real_size, tmp_path, capsys):
    command = [sys.executable, "-c", "from pathlib import Path; Path('x').touch; print('12 weights')"]
    real_size.Rehearsal(tmp_path).take("a step", command, say="weights")
    first = capsys.readouterr().out
    assert first.startswith("| a step | ")
    assert first.endswith("|  | 12 weights |\n")
    real_size.Rehearsal(tmp_path).take("a step", ["/no/such/program"])
    assert capsys.readouterr().out == first
