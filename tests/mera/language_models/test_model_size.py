"""A base model that has no room is refused before it is read, with the figures."""

import pytest
import torch
from accelerate import init_empty_weights
from transformers import AutoModelForCausalLM, MistralConfig

from mera.language_models import model_size
from mera.system import free_memory
from mera.system.errors import UserError

GIB = 2**30


@pytest.fixture(scope="module")
def seven_billion():
    with init_empty_weights(include_buffers=True):
        return AutoModelForCausalLM.from_config(MistralConfig(), dtype=torch.bfloat16)


@pytest.fixture
def free(monkeypatch):
    monkeypatch.setattr(model_size, "uses_gpu", lambda: False)
    return lambda gib: monkeypatch.setattr(model_size, "free_host_bytes", lambda: int(gib * GIB))


@pytest.mark.parametrize(
    ("trains_all", "in_four_bits", "needed"), [(False, False, 13.49), (True, False, 53.96), (False, True, 3.74)]
)
def test_the_bound_is_the_weights_and_what_trains_beside_them(seven_billion, free, trains_all, in_four_bits, needed):
    free(needed + 0.02)
    model_size.require_memory(seven_billion, trains_all, in_four_bits)
    free(needed - 0.02)
    with pytest.raises(UserError, match=r"\d+\.\d GiB are there"):
        model_size.require_memory(seven_billion, trains_all, in_four_bits)


def test_the_sentence_has_the_figures_and_the_ways_out(seven_billion, free):
    free(20)
    with pytest.raises(UserError) as refusal:
        model_size.require_memory(seven_billion, trains_all=True, in_four_bits=False)
    assert str(refusal.value).startswith(
        "the base model takes 13.5 GiB, 54.0 with the gradients and averages of all that trains, and 20.0 GiB are "
        "there (free memory of this machine): train LoRA (--model.lora.rank 32), take 4 bits"
    )


def test_small_folders_are_not_asked_about(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    assert model_size.has_small_files(str(tmp_path))
    assert not model_size.has_small_files("BioMistral/BioMistral-7B")


def test_a_container_has_its_own_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    of_machine = free_memory.free_host_bytes()
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_memory.free_host_bytes() == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory.free_host_bytes() == pytest.approx(of_machine, rel=0.2)
