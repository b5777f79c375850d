"""The 7B benchmark says why it skips, and its parts run on the CPU with a tiny shape."""

import json
import sys

import pytest
import torch
from ready_python import run_ready

from mera.root import ROOT

SCRIPT = ROOT / "tests" / "benchmarks" / "gpu_7b.py"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the benchmark in this process, and what it starts in the ready Python; returns what it printed."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu_7b

    def started(command, *, cwd, check, **streams):
        done = run_ready(command[1:], cwd=cwd)
        assert not (check and done.returncode), done.stderr
        return done

    def run(*arguments):
        monkeypatch.setattr(gpu_7b.subprocess, "run", started)
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        gpu_7b.main()
        return capsys.readouterr().out

    return run


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so it would run")
def test_it_skips_with_a_sentence_where_there_is_no_gpu(run):
    said = run()
    assert said.splitlines() == [
        "skipped: a 7B model needs a GPU, and there is none here (--size tiny runs the parts on the CPU)"
    ]


def test_its_parts_run_with_a_tiny_shape(run):
    said = run("--size", "tiny", "--stages", "rank", "--patients", "60", "--json")
    records = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    on_gpu = ["full, 8-bit AdamW", "LoRA, 64 patients at once"] if torch.cuda.is_available() else ["full"]
    assert [record["mode"] for record in records] == ["LoRA", *on_gpu], said
    assert all(record["tokens_per_second"] > 0 for record in records)
    from gpu_7b import SHAPES, in_words, utilisation

    assert utilisation(1000, 7_000_000_000, True, "NVIDIA H100 80GB HBM3") == pytest.approx(1000 * 42e9 / 989e12)
    assert utilisation(1000, 7_000_000_000, False, "NVIDIA H100 80GB HBM3") == pytest.approx(1000 * 28e9 / 989e12)
    assert utilisation(1000, 10, True, "CPU") is None
    assert f"model FLOPs utilisation {'0%' if torch.cuda.is_available() else '-'}" in in_words(records[0])
    assert SHAPES["7b"]["vocab_size"] == 32_000


LAUNCHER = "subprocess.CalledProcessError: Command '['python', 'memorize/train.py']' returned non-zero exit status 1."


@pytest.mark.parametrize(
    ("errors", "why"),
    [
        (f"error: model.kernels liger wants a GPU\nTraceback\n{LAUNCHER}\n", "error: model.kernels liger wants a GPU"),
        (f"ValueError: first\nRuntimeError: then\n{LAUNCHER}\n", "RuntimeError: then"),
        ("killed\n\n", "killed"),
        ("", "it ended without a word"),
    ],
)
def test_why_a_command_failed_is_what_it_said_not_what_its_launcher_said(monkeypatch, errors, why):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from gpu_7b import reason

    assert reason(errors) == why
