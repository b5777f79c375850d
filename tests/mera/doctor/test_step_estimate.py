"""What a training step is estimated to take: with LoRA, with the loss of each engine, with a GPU's kernels."""

import json
import runpy
from contextlib import nullcontext

import pytest
import torch
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task
from torch import nn
from trl.kernels import ChunkedLogProbFunction

from mera.doctor.live_bytes import LiveBytes, fake_mode, hollow
from mera.doctor.step_estimate import StepAs, in_autocast, told_of_autocast
from mera.language_models.lora import LoraSettings, add_lora
from mera.language_models.models import ModelConfig, load_base_model
from mera.root import ROOT
from mera.training.private_api import gpu_kernels_of_trl
from rank.attention.masks import orders_mask

CHUNK = 32_768
"""Entries of the vocabulary that TRL's loss takes at once."""


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=80)


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
    for kernels in (gpu_kernels_of_trl(), nullcontext()):
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


def test_weights_in_four_bits_are_counted_and_computed_with(estimated):
    """Sizes: half a byte a weight, a byte for 64 of them, and four for 64 x 256."""
    small = ARCHITECTURE | {"hidden_size": 64, "intermediate_size": 128}
    options = ("--model.base", "null", "--model.architecture", json.dumps(small), "--model.lora.rank", "4")
    whole, four_bits = (estimated("rank", *options, "--model.quantization", bits) for bits in ("none", "nf4"))
    linear = {"q": 64 * 64, "k": 32 * 64, "v": 32 * 64, "o": 64 * 64, "gate": 8192, "up": 8192, "down": 8192}
    stored = sum(size // 2 + size // 64 + 4 * -(-size // 64 // 256) for size in linear.values())
    assert whole["weight_bytes"] - four_bits["weight_bytes"] == 4 * sum(linear.values()) - stored
    same = ("parameters", "trainable", "merged_bytes", "gradient_bytes", "layer_parameters", "outside_parameters")
    assert [four_bits[name] for name in same] == [whole[name] for name in same]
    assert whole["merged_bytes"] == whole["weight_bytes"]
    # What the backward pass computes with stands in memory, a layer at a time.
    assert four_bits["peak_bytes"] > 0.9 * whole["peak_bytes"]


@pytest.mark.parametrize(("precision", "on_gpu"), [("autocast", True), ("autocast", False), ("bfloat16", True)])
def test_for_a_step_on_a_gpu_autocast_is_on_there_too(precision, on_gpu):
    """PEFT asks; a fake step is on the CPU."""
    step_as = StepAs(precision=precision, on_gpu=on_gpu)
    is_autocast = precision == "autocast"
    with told_of_autocast(step_as):
        assert torch.is_autocast_enabled("cuda") == (is_autocast and on_gpu)
        assert in_autocast(lambda: torch.is_autocast_enabled("cpu"), step_as)() == is_autocast
        assert not torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cuda")


def test_what_autocast_makes_of_a_weight_is_gone_when_the_backward_pass_is():
    """bfloat16 copies of a trained float32 weight, of 2 x 16 x 32 bytes, are kept while autocast is on."""
    layer = hollow(nn.Linear(16, 32, bias=False))
    with fake_mode():
        inputs = torch.zeros(4, 16, requires_grad=True)
    live = LiveBytes()
    live.ignore(layer)
    with live:
        loss = in_autocast(lambda: layer(inputs).float().sum(), StepAs(precision="autocast"))()
        assert live.live >= 2 * 16 * 32
        loss.backward()
        del loss
    assert live.live == 4 * (16 * 32 + 4 * 16), "the gradients alone, in float32"


def test_stage_two_is_reckoned_with_its_packed_rows(estimated):
    """The mask of all pairs of tokens among what is kept; flex, which has no weights to run on here, with the same."""
    wanted = ("--model.base", "null", "--orders", 4)
    apart, packed, flex = (
        estimated("rank", *wanted, *more)
        for more in (("--packing", "never"), ("--packing", "always"), ("--attention", "flex"))
    )
    assert flex == packed
    (rows, length), (packed_rows, packed_length) = apart["batch_shape"], packed["batch_shape"]
    assert packed_rows < rows
    assert 0.96 * packed_rows * packed_length < rows * length
    assert packed["epoch_tokens"] < apart["epoch_tokens"]


def test_a_mask_counts_as_what_it_takes():
    order_ids, position_ids = torch.zeros(3, 200, dtype=torch.long), torch.arange(200).expand(3, -1)
    with LiveBytes() as alive:
        mask = orders_mask(order_ids, position_ids, None, "sdpa")
    assert alive.live == mask.numel() == 3 * 200 * 200
    assert alive.peak >= 3 * alive.live
