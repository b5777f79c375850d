"""Every piece of the GPU kit runs on the CPU, tiny; what is done is not run again, what fails says why."""

import importlib.util
import json
import math
import subprocess
import sys

import pytest
from ready_python import run_ready

from mera.root import ROOT

FOLDER = ROOT / "tests" / "benchmarks"


@pytest.fixture
def kit(monkeypatch, capsys):
    """The benchmark as a module, whose commands run in the ready Python; `run(*words)`: its main, and what it said."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("gpu_kit", FOLDER / "gpu_kit.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_kit", module)
    spec.loader.exec_module(module)

    def started(command, *, cwd, check=False, **streams):
        done = run_ready([str(word) for word in command[1:]], cwd=cwd)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done

    def run(*words):
        monkeypatch.setattr(subprocess, "run", started)
        monkeypatch.setattr(sys, "argv", ["gpu_kit.py", *map(str, words)])
        module.main()
        return capsys.readouterr().out

    module.run_main = run
    return module


TINY = ("--size", "tiny", "--device", "cpu")


@pytest.mark.slow
def test_training_at_every_setting(kit, tmp_path):
    output = tmp_path / "kit.jsonl"
    kit.run_main("--output", output, *TINY, "--only", "speed")
    what = {record["what"]: record["figures"] for record in kit.read(output) if record["what"] != "done"}
    modes = ("LoRA", "full", "QLoRA", "LoRA, activations kept")
    assert set(what) == {f"{stage}, {mode}" for stage in ("memorize", "rank") for mode in modes}
    assert all(value > 0 or math.isnan(value) for figures in what.values() for value in figures.values())
    assert what["rank, LoRA, activations kept"]["doctor_gib"] > what["rank, LoRA"]["doctor_gib"]


def test_all_pieces_but_training_and_the_tests_of_attention(kit, tmp_path):
    output = tmp_path / "kit.jsonl"
    pieces = [piece for piece in kit.PIECES if piece not in ("speed", "attention")]
    said = kit.run_main("--output", output, *TINY, "--only", *pieces)
    records = kit.read(output)
    assert [record for record in records if "failed" in record] == []
    what = {(record["piece"], record["what"]): record["figures"] for record in records if record["what"] != "done"}
    assert {piece for piece, _ in what} == set(pieces), said
    recall = what.pop(("memorize", "all codes"))
    assert recall["seconds"] > 0
    assert all(0 <= recall[name] <= 1 for name in ("code_to_definition", "definition_to_code"))
    assert all(value > 0 or math.isnan(value) for figures in what.values() for value in figures.values())
    assert what["ranking", "batch 64"]["patients_per_second"] > what["ranking", "batch 1"]["patients_per_second"]
    assert (
        f"| ranking | batch 1 | CPU | patients_per_second {what['ranking', 'batch 1']['patients_per_second']:,.4g} |"
        in said
    )
    before = output.read_text(encoding="utf-8")
    assert kit.run_main("--output", output, *TINY, "--only", *pieces) == kit.table(records) + "\n"
    assert output.read_text(encoding="utf-8") == before


def test_a_piece_that_fails_says_why_and_the_next_one_runs(kit, tmp_path, monkeypatch):
    def out_of_memory(_):
        raise RuntimeError("CUDA out of memory\nsecond line")
        yield

    monkeypatch.setitem(kit.PIECES, "speed", out_of_memory)
    monkeypatch.setitem(
        kit.PIECES,
        "ranking",
        lambda _: iter([{"piece": "ranking", "what": "batch 1", "figures": {"patients_per_second": 2.0}}]),
    )
    output = tmp_path / "kit.jsonl"
    said = kit.run_main("--output", output, *TINY, "--only", "speed", "ranking")
    assert "| speed | all of it | CPU | CUDA out of memory |" in said
    assert "| ranking | batch 1 | CPU | patients_per_second 2 |" in said
    assert [json.loads(line)["what"] for line in output.read_text().splitlines()] == [
        "all of it",
        "done",
        "batch 1",
        "done",
    ]


def test_without_a_gpu_it_says_what_to_give(kit, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kit.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        kit.run_main("--output", tmp_path / "kit.jsonl")
    assert "--size tiny --device cpu runs every piece on the CPU" in capsys.readouterr().err
