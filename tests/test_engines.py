"""One process, DDP and ZeRO train alike: the losses of 20 steps, and the checkpoints that come out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_task import make_tiny_task
from transformers import AutoModelForCausalLM

from mera.engine import prepare_engine

ROOT = Path(__file__).parent.parent
LAUNCH_FILES = ROOT / "launch" / "accelerate"
LORA = {
    "memorize": {"model.lora.rank": 4},
    "rank": {"model.lora.rank": 4},
    "bi_encoder": {"encoder.lora.rank": 4, "encoder.lora.dropout": 0.0},
}
STEP_EXAMPLES = 8


def launch(engine, processes, *arguments):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", LAUNCH_FILES / f"{engine}.yaml"]
    return subprocess.run(
        [*map(str, command), "--num_processes", str(processes), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def wanted_runs(task, batch_size, accumulation=1):
    batch = {"training.batch_size": batch_size, "training.gradient_accumulation": accumulation}
    suffix = "" if accumulation == 1 else "-accumulated"
    runs = [
        {"name": f"{trainer}{suffix}", "trainer": trainer, "task": str(task.path), "config": batch} for trainer in LORA
    ]
    if accumulation == 1:
        for trainer, lora in LORA.items():
            config = batch | lora | {"training.learning_rate": 2e-2}
            runs.append({"name": f"{trainer}-lora", "trainer": trainer, "task": str(task.path), "config": config})
    return runs


def train(folder, engine, processes, runs):
    """Losses by run name."""
    folder.mkdir()
    (folder / "runs.json").write_text(json.dumps(runs))
    done = launch(engine, processes, "tests/engine_worker.py", folder / "runs.json", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return {run["name"]: json.loads((folder / f"{run['name']}.json").read_text()) for run in runs}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """51 training examples: the last batch of each epoch has 3 of 8, and for two processes one blank."""
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "task", patients=73)


@pytest.fixture(scope="module")
def alone(task, tmp_path_factory):
    """One process: the folder, and the losses by run name."""
    folder = tmp_path_factory.mktemp("engines") / "one"
    runs = wanted_runs(task, STEP_EXAMPLES) + wanted_runs(task, 1, accumulation=STEP_EXAMPLES)
    return folder, train(folder, "cpu", 1, runs)


def weights(checkpoint):
    return load_file(checkpoint / "model.safetensors")


def test_accumulated_batches_equal_one_large_batch(alone):
    _, losses = alone
    for trainer in LORA:
        assert len(losses[trainer]) == 20
        np.testing.assert_allclose(losses[f"{trainer}-accumulated"], losses[trainer], atol=1e-4, rtol=0)
        assert losses[trainer][-1] < losses[trainer][0]


@pytest.mark.parametrize("engine", ["ddp", pytest.param("zero1", marks=pytest.mark.slow), "zero2", "zero3"])
def test_two_processes_train_as_one(engine, task, alone, tmp_path):
    folder, expected = alone
    found = train(tmp_path / engine, engine, 2, wanted_runs(task, STEP_EXAMPLES // 2))
    assert {name.partition("-")[0] for name in found} == set(LORA)
    for name, losses in found.items():
        np.testing.assert_allclose(losses, expected[name], atol=1e-4, rtol=0, err_msg=f"{engine} {name}")
    for name in ("memorize", "memorize-lora", "rank", "rank-lora"):
        one, two = weights(folder / name), weights(tmp_path / engine / name)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_allclose(two[key], one[key], atol=2e-3, err_msg=f"{engine} {name} {key}")
        loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path / engine / name, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert not hasattr(loaded, "peft_config")


def test_fsdp_is_refused_without_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="FSDP needs GPUs: accelerate starts it nowhere else"):
        prepare_engine()


def test_a_recipe_for_gpus_is_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert prepare_engine() is False
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"
