"""`mera doctor`: engines against arithmetic, recipes and launch files, and the command as a whole."""

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from ready_python import run_ready
from rich.console import Console
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from mera.config import read_values
from mera.doctor import checks, examination
from mera.doctor.engine import Engine, checkpoint_bytes, memory_of_a_device, peak, read_engine, steps
from mera.doctor.examination import examine, guess_stage
from mera.doctor.pages import print_examination
from mera.doctor.step_estimate import StepEstimate
from mera.root import ROOT
from mera.training.steps import too_few_steps

RECIPES = sorted((ROOT / "configs").glob("*/*.yaml"))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=80)


ESTIMATE = StepEstimate(
    parameters=1000,
    trainable=1000,
    weight_bytes=2000,
    merged_bytes=2000,
    gradient_bytes=2000,
    forward_bytes=5000,
    peak_bytes=6000,
    accumulated_bytes=7500,
    trained_embeddings=200,
    layer_parameters=100,
    layer_trained=100,
    outside_parameters=300,
    outside_unit=160,
    examples=100,
    step_examples=8,
    epoch_steps=13,
    run_steps=39,
    asked_epochs=3,
    min_steps=0,
    batch_shape=[8, 10],
    epoch_tokens=1000,
)


def test_one_process_holds_everything():
    memory = memory_of_a_device(Engine(name="x"), ESTIMATE, accumulates=False)
    assert memory == {
        "weights": 2000,
        "gradients": 1000,
        "optimizer": 4000,
        "activations": 5000,
        "buffers": 0,
        "host": 0,
    }
    assert peak(memory) == 2000 + 4000 + ESTIMATE.peak_bytes
    assert peak(memory_of_a_device(Engine(name="x"), ESTIMATE, accumulates=True)) == 6000 + ESTIMATE.accumulated_bytes
    assert memory_of_a_device(Engine(name="ddp", processes=4), ESTIMATE, accumulates=False)["buffers"] == 2000


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [(1, 2000, 2000, 3000), (2, 2000, 500, 3000), (3, 500, 500, 3000)],
)
def test_zero_splits_what_its_stage_says(stage, weights, gradients, optimizer):
    memory = memory_of_a_device(Engine(name="z", processes=4, zero_stage=stage, bf16=True), ESTIMATE, accumulates=False)
    assert (memory["weights"], memory["gradients"], memory["optimizer"]) == (weights, gradients, optimizer)
    assert memory["activations"] == 7500 - 2000
    assert memory["host"] == 0
    # DeepSpeed's bucket has its full size, and ZeRO-3 gathers what it needs.
    assert memory["buffers"] == 2 * 500_000_000 + (2 * 1000 if stage == 3 else 0)


def test_where_the_update_needs_more_than_the_backward_pass_it_counts():
    large = replace(ESTIMATE, parameters=8 * 10**9, trainable=8 * 10**9, accumulated_bytes=17 * 10**9)
    large = replace(large, gradient_bytes=16 * 10**9, weight_bytes=16 * 10**9)
    buffers = {
        stage: memory_of_a_device(Engine(name="z", processes=4, zero_stage=stage, bf16=True), large, accumulates=False)[
            "buffers"
        ]
        for stage in (2, 3)
    }
    # Float32 gradients of a quarter of the weights, of a thousand million at once under ZeRO-3, without activations.
    assert buffers == {2: 4 * 2 * 10**9 - 10**9, 3: 4 * 10**9 - 10**9}


@pytest.mark.parametrize("settings", [{}, {"zero_stage": 2, "bf16": True}, {"fsdp": True, "bf16": True}])
def test_an_optimizer_of_8_bits_keeps_the_averages_of_embeddings_whole(settings):
    sizes = [
        memory_of_a_device(Engine(name="x", **settings), ESTIMATE, False, bits)["optimizer"] for bits in (False, True)
    ]
    averages = 2 * 800 + 8 * 200
    if "zero_stage" in settings:
        assert sizes == [12_000, 4000 + averages]
    else:
        assert sizes == [8000 if "fsdp" in settings else 4000, averages]


def test_fsdp_keeps_what_is_frozen_as_it_is():
    lora = replace(ESTIMATE, trainable=100, gradient_bytes=400, weight_bytes=2200, layer_trained=10)
    memory = memory_of_a_device(Engine(name="f", processes=2, fsdp=True, bf16=True), lora, accumulates=False)
    assert (memory["weights"], memory["gradients"], memory["optimizer"]) == ((400 + 1800) // 2, 200, 400)
    # A layer and, ahead of their turn, the embeddings whole in bf16, and the gradients of a layer twice.
    assert memory["buffers"] == 2 * (100 + 160) + 2 * 2 * 10
    small = replace(lora, outside_unit=20)
    memory = memory_of_a_device(Engine(name="f", processes=2, fsdp=True, bf16=True), small, accumulates=False)
    assert memory["buffers"] == 2 * (100 + 100) + 2 * 2 * 10


def test_offloaded_parts_move_to_the_host():
    engine = Engine(name="z", processes=4, zero_stage=3, bf16=True, offload_optimizer=True, offload_weights=True)
    memory = memory_of_a_device(engine, ESTIMATE, accumulates=False)
    assert (memory["weights"], memory["optimizer"], memory["host"]) == (0, 0, 4 * (500 + 500 + 3000) + 4000)
    assert memory["gradients"] == 0
    sharded = memory_of_a_device(Engine(name="f", processes=4, fsdp=True), ESTIMATE, accumulates=False)
    assert (sharded["weights"], sharded["gradients"], sharded["optimizer"]) == (1000, 1000, 2000)


def test_steps_and_disk():
    assert steps(Engine(name="x"), ESTIMATE) == 39
    assert steps(Engine(name="x", processes=4), ESTIMATE) == 12
    assert steps(Engine(name="x"), replace(ESTIMATE, asked_epochs=1.5)) == 20  # as the Trainer rounds
    assert steps(Engine(name="x", processes=4), replace(ESTIMATE, min_steps=30)) == 32  # 8 epochs of 4 steps
    assert checkpoint_bytes(replace(ESTIMATE, trainable=10, gradient_bytes=20), lora=True) == (140, 2000)
    assert checkpoint_bytes(ESTIMATE, lora=False) == (14_000, 2000)


def test_launch_files_are_read(tmp_path):
    engines = {
        path.stem: read_engine(path, None, has_gpu=False) for path in (ROOT / "launch/accelerate").glob("*.yaml")
    }
    assert engines["cpu"].on_cpu
    assert engines["cpu"].precision == "float32"
    assert (engines["zero2"].zero_stage, engines["zero3"].zero_stage) == (2, 3)
    assert engines["zero2"].precision == engines["fsdp2"].precision == "bfloat16"
    assert engines["single_gpu"].precision == "autocast"
    assert {name for name, engine in engines.items() if engine.in_pieces} == {"zero3", "zero3_offload", "fsdp2"}
    assert read_engine(ROOT / "launch/accelerate/zero2.yaml", 8, has_gpu=False).processes == 8
    assert read_engine(None, None, has_gpu=True).precision == "autocast"
    assert [read_engine(None, count, has_gpu=True).name for count in (None, 4)] == ["one process", "DDP"]
    with pytest.raises(FileNotFoundError, match="accelerate settings not found"):
        read_engine(tmp_path / "no.yaml", None, has_gpu=False)
    (tmp_path / "other.yaml").write_text("a: 1")
    with pytest.raises(ValueError, match="is no accelerate settings file"):
        read_engine(tmp_path / "other.yaml", None, has_gpu=False)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recipe_tells_its_stage(recipe):
    assert guess_stage(read_values(recipe), "elsewhere.yaml") == recipe.parent.name


def test_a_recipe_without_a_stage(tmp_path):
    (tmp_path / "odd.yaml").write_text("training: {epochs: 1}")
    with pytest.raises(ValueError, match=r"odd.yaml does not tell its stage; add --stage"):
        examine(tmp_path / "odd.yaml", [], None, None, None)
    with pytest.raises(ValueError, match="options come in pairs"):
        read_values(tmp_path / "odd.yaml", ["--task"])
    assert read_values(tmp_path / "odd.yaml", ["--training.epochs=2", "--a.b", "[1]"]) == {
        "training": {"epochs": 2},
        "a": {"b": [1]},
    }


def run_doctor(*arguments):
    return run_ready(["-m", "mera.cli", "doctor", *arguments], cwd=ROOT)


def test_the_command_counts_a_recipe_and_exits_by_what_is_missing(task, tmp_path):
    recipe = yaml.safe_load((ROOT / "configs/memorize/tiny.yaml").read_text())
    recipe["model"]["architecture"] = ARCHITECTURE
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = run_doctor(
        *("--config", tmp_path / "recipe.yaml", "--accelerate", "launch/accelerate/cpu.yaml", "--json"),
        *("--task", task.path, "--output", tmp_path / "run", "--training.epochs", 2, "--training.min_steps", 0),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["stage"], found["missing"]) == ("memorize", [])
    plan = found["estimate"]
    width, layer = 16, 16 * 16 * 2 + 16 * 8 * 2 + 3 * 16 * 32 + 2 * 16
    vocabulary = (plan["parameters"] - layer - width) // (2 * width)
    assert vocabulary % 64 == 0
    assert 30 < vocabulary <= 2048 + 64
    assert plan["weight_bytes"] == 4 * plan["parameters"]
    assert found["memory"]["optimizer"] == 2 * plan["weight_bytes"]
    assert found["run_steps"] == 2 * -(-plan["examples"] // plan["step_examples"])
    assert found["too_few_steps"] == too_few_steps(found["run_steps"])
    assert plan["step_examples"] == recipe["training"]["batch_size"]
    assert plan["peak_bytes"] >= plan["forward_bytes"] > 0
    assert not (tmp_path / "run").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml"]


def printed(found):
    console = Console(record=True, width=200, file=io.StringIO())
    print_examination(found, console)
    return console.export_text()


def test_the_doctor_says_when_a_run_is_too_short_or_is_made_longer():
    engine, looked = Engine(name="one process"), {"versions": {}, "accelerators": "no GPU", "missing": []}
    memory = memory_of_a_device(engine, ESTIMATE, accumulates=False)
    sizes = {"memory": memory, "peak_bytes": peak(memory), "checkpoint_bytes": 1}

    def page(**changes):
        plan = replace(ESTIMATE, **changes)
        run_steps = steps(engine, plan)
        numbers = {"estimate": plan, "run_steps": run_steps, "too_few_steps": too_few_steps(run_steps)}
        return printed(examination.Examination(stage="rank", engine=engine, **looked, **sizes, **numbers))

    assert "too short: 39 optimiser steps are too few to learn from (fewer than 100)" in page()
    longer = page(min_steps=200)
    assert "steps: 208 in all (16 epochs instead of 3, for training.min_steps 200)" in longer
    assert "too short" not in longer
    assert "instead of" not in page(asked_epochs=20, min_steps=200)


def test_the_doctor_says_for_what_to_estimate(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append([word for word in command if word in ("--estimate-in-pieces", "--estimate-on-gpu")])
        Path(command[command.index("--estimate") + 1]).write_text(json.dumps(asdict(ESTIMATE)))

    monkeypatch.setattr(examination.subprocess, "run", run)
    for engine in (
        Engine(name="cpu", on_cpu=True),
        Engine(name="zero2", zero_stage=2),
        Engine(name="zero3", zero_stage=3),
        Engine(name="f", fsdp=True),
    ):
        estimate = examination.build_without_weights("memorize", tmp_path / "recipe.yaml", [], engine)
        assert estimate == ESTIMATE
    both = ["--estimate-in-pieces", "--estimate-on-gpu"]
    assert asked == [[], ["--estimate-on-gpu"], both, both]


def test_on_a_cpu_the_recipe_says_whether_to_compute_in_bf16(task, tmp_path, monkeypatch):
    engines = []

    def build(stage, recipe, overrides, engine):
        engines.append(engine.precision)
        return "stop"

    monkeypatch.setattr("mera.training.engine.multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(examination, "build_without_weights", build)
    monkeypatch.setattr(examination.checks, "before_building", lambda *_: [])
    for words in ([], ["--training.cpu_bf16", "true"]):
        launch_file = ROOT / "launch/accelerate/cpu.yaml"
        examine(ROOT / "configs/memorize/tiny.yaml", words, None, str(launch_file), None)
    assert engines == ["float32", "autocast"]
    zero = Engine(name="zero2_cpu", zero_stage=2, on_cpu=True, bf16=True)
    assert "training.cpu_bf16 is not for DeepSpeed on the CPU" in " ".join(checks.before_running({}, zero))


def test_an_error_of_the_trainer_is_what_is_missing(task, monkeypatch):
    monkeypatch.setattr(examination.subprocess, "run", lambda command, **_: run_ready(command[1:]))
    found = examination.build_without_weights(
        "memorize",
        ROOT / "configs/memorize/tiny.yaml",
        ["--task", str(task.path), "--model.max_length", "3"],
        Engine(name="cpu", on_cpu=True),
    )
    assert "the model takes 3: raise model.max_length" in found
