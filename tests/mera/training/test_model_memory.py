"""A base model that has no room is refused before it is read, with the figures."""

import pytest
import torch
from transformers import MistralConfig, T5Config, T5ForConditionalGeneration

from mera.language_models.lora import LoraSettings
from mera.language_models.models import ModelConfig
from mera.language_models.tokenizer import train_tokenizer
from mera.system.errors import UserError
from mera.training import model_memory

GIB = 2**30


@pytest.fixture(scope="module")
def seven_billion(tmp_path_factory):
    """A folder with the configuration of a 7B Mistral and a tokenizer, without weights."""
    folder = tmp_path_factory.mktemp("seven-billion")
    MistralConfig(sliding_window=None).save_pretrained(folder)
    train_tokenizer(["heart failure"], 300, 512).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def free(monkeypatch):
    """Sets the memory that is free, in GiB."""
    monkeypatch.setattr(model_memory, "uses_gpu", lambda: False)
    monkeypatch.setattr(model_memory, "SMALL", 0)
    return lambda gib: monkeypatch.setattr(model_memory, "free_host_bytes", lambda: int(gib * GIB))


@pytest.mark.parametrize(
    ("rank", "quantization", "needed"), [(8, "none", 13.49), (0, "none", 53.96), (8, "nf4", 13.49)]
)
def test_the_bound_is_the_weights_and_what_trains_beside_them(seven_billion, free, rank, quantization, needed):
    config = ModelConfig(base=seven_billion, dtype="bfloat16", lora=LoraSettings(rank=rank), quantization=quantization)
    free(needed + 0.02)
    model_memory.require_memory(config)
    free(needed - 0.02)
    with pytest.raises(UserError, match=r"\d+\.\d GiB are (there|free: free some, or take a smaller base model)"):
        model_memory.require_memory(config)


def test_in_four_bits_the_embedding_of_a_t5_stays_whole():
    sizes = {"vocab_size": 1000, "d_model": 32, "d_ff": 64, "d_kv": 8, "num_heads": 4, "num_layers": 1}
    model = T5ForConditionalGeneration(T5Config(**sizes)).to(torch.bfloat16)
    weights = sum(weight.numel() for weight in model.parameters())
    whole = 1000 * 32  # of the words, which is the output layer too
    # besides: norms (2 and 3 of a layer, 1 behind each stack) and the biases of places, 32 buckets of 4 heads
    others = 32 * (2 + 3 + 2) + 2 * 32 * 4
    linear = weights - whole - others
    assert linear == 3 * 4 * 32 * 32 + 2 * 2 * 32 * 64
    assert model_memory._bytes(model, in_four_bits=False) == 2 * weights
    assert model_memory._bytes(model, in_four_bits=True) == 2 * (whole + others) + linear // 2


def test_the_sentence_has_the_figures_and_the_ways_out(seven_billion, free):
    free(20)
    with pytest.raises(UserError) as refusal:
        model_memory.require_memory(ModelConfig(base=seven_billion, dtype="bfloat16"))
    assert str(refusal.value).startswith(
        "the base model takes 13.5 GiB, 54.0 with the gradients and averages of all that trains, and 20.0 GiB are "
        "there (free memory of this machine): train LoRA (--model.lora.rank 32), take 4 bits"
    )


def test_small_folders_and_models_without_weights_are_not_asked_about(seven_billion, free, monkeypatch):
    free(0)
    model_memory.require_memory(ModelConfig(base=seven_billion, weights="none"))
    model_memory.require_memory(ModelConfig(architecture={"model_type": "mistral"}))
    monkeypatch.setattr(model_memory, "SMALL", GIB)
    model_memory.require_memory(ModelConfig(base=seven_billion))


def test_a_container_has_its_own_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(model_memory, "CGROUP", tmp_path)
    of_machine = model_memory.free_host_bytes()
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 2300\nfile 700\nshmem 0\ninactive_file 0\nactive_file 0\n")
    assert model_memory.free_host_bytes() == 2000
    # of 3,000 bytes 600 are pages of files, which make room: 100 of shared memory do not
    (tmp_path / "memory.stat").write_text("anon 2300\nfile 700\nshmem 100\ninactive_file 450\nactive_file 150\n")
    assert model_memory.free_host_bytes() == 2600
    (tmp_path / "memory.max").write_text("max\n")
    assert model_memory.free_host_bytes() == pytest.approx(of_machine, rel=0.3)


def test_a_container_of_the_older_version_has_its_limit_too(tmp_path, monkeypatch):
    monkeypatch.setattr(model_memory, "CGROUP", tmp_path)
    of_machine = model_memory.free_host_bytes()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("3000\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("5000\n")
    counts = "cache 700\nactive_file 1\ninactive_file 1\ntotal_inactive_file 450\ntotal_active_file 150\n"
    (tmp_path / "memory" / "memory.stat").write_text(counts)
    assert model_memory.free_host_bytes() == 2600
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # no limit
    assert model_memory.free_host_bytes() == pytest.approx(of_machine, rel=0.3)
