"""4-bit base weights: what they stand for, what trains beside them, what merging makes of both, and what is refused."""

import gc
import importlib.util
import json
import weakref

import pytest
import torch
from small_model import ARCHITECTURE, DEFINITIONS
from torch import nn

from mera.doctor.live_bytes import hollow
from mera.language_models import quantization as room
from mera.language_models.code_tokens import EOV, add_code_tokens, token_ids
from mera.language_models.lora import LoraSettings, add_lora, merged
from mera.language_models.models import ModelConfig, load_base_model, open_checkpoint
from mera.language_models.quantization import is_quantized, num_bytes, num_weights, plain_bytes
from mera.system.errors import UserError
from mera.training.private_api import quantized_layer, quantized_weight

NF4 = [
    *(-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0),
]
"""Dettmers et al. 2023, appendix E."""
SMALL = ARCHITECTURE | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
LORA = LoraSettings(rank=4, dropout=0.0)
CODE, IDS = "428.0", ["428.0", "E11.9", "428"]


def four_bits(**settings):
    torch.manual_seed(0)
    config = ModelConfig(tokenizer_size=400, quantization="nf4", lora=LORA, **settings)
    return load_base_model(config, DEFINITIONS.values())


def adapted(**settings):
    model, tokenizer = four_bits(**settings)
    add_code_tokens(model, tokenizer, DEFINITIONS)
    return add_lora(model, LORA), tokenizer


def steps(model, ids, number=3):
    """Steps between which the model is evaluated."""
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(number):
        model.eval()
        with torch.no_grad():
            model(input_ids=ids)
        model.train()(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_a_weight_is_the_nearest_of_16_values_times_the_largest_of_its_block():
    torch.manual_seed(0)
    layer = nn.Linear(64, 60, bias=False)
    nn.init.normal_(layer.weight, std=0.02)
    weight, kind = quantized_weight(quantized_layer(layer, torch.bfloat16))
    assert (weight.shape, kind) == ((60, 64), torch.float32)
    numbers, maxima = layer.weight.flatten().tolist(), layer.weight.detach().reshape(-1, 64).abs().amax(dim=1).tolist()
    for place, (number, stored) in enumerate(zip(numbers, weight.flatten().tolist(), strict=True)):
        largest = maxima[place // 64]
        expected = largest * min(NF4, key=lambda value, share=number / largest: abs(value - share))
        assert stored == pytest.approx(expected, rel=0.08, abs=1e-9)  # the maxima are kept in 8 bits
    spread = (weight - layer.weight).square().mean().sqrt() / layer.weight.std()
    assert 0.05 < spread < 0.1


def test_reading_in_four_bits_is_quantizing_what_was_read(tmp_path):
    torch.manual_seed(0)
    plain, tokenizer = load_base_model(ModelConfig(architecture=SMALL, tokenizer_size=400), DEFINITIONS.values())
    for part in (plain, tokenizer):
        part.save_pretrained(tmp_path)
    built, read = four_bits(architecture=SMALL)[0], four_bits(base=str(tmp_path))[0]
    linear = [name for name, layer in plain.named_modules() if type(layer) is nn.Linear and name != "lm_head"]
    assert len(linear) == 14
    for model in (built, read):
        assert [name for name, layer in model.named_modules() if is_quantized(layer)] == linear
        assert not hasattr(model, "is_loaded_in_4bit")
        assert "quantization_config" not in model.config.to_dict()
    for (name, first), (same_name, second) in zip(built.named_parameters(), read.named_parameters(), strict=True):
        assert name == same_name
        assert torch.equal(first, second)
    for name in linear:
        of_built, of_read = (quantized_weight(model.get_submodule(name))[0] for model in (built, read))
        assert torch.equal(of_built, of_read)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_and_embeddings_train_and_are_merged(tied, dtype, tmp_path):
    wrapped, tokenizer = adapted(architecture=SMALL | {"tie_word_embeddings": tied}, dtype=dtype)
    assert not hasattr(wrapped, "is_loaded_in_4bit")
    before = {name: weight.clone() for name, weight in wrapped.named_parameters()}
    ids = torch.cat([token_ids(tokenizer, IDS), torch.tensor([tokenizer.convert_tokens_to_ids(EOV)])])[None]
    steps(wrapped, ids)
    for name, weight in wrapped.named_parameters():
        trains = "lora_" in name or "modules_to_save" in name
        assert weight.requires_grad == trains, name
        assert torch.equal(weight, before[name]) != trains, name
    row = ids[0, 0]
    for embeddings in (wrapped.get_input_embeddings(), wrapped.get_output_embeddings()):
        assert (
            embeddings.weight[row] - before["base_model.model.model.embed_tokens.modules_to_save.default.weight"][row]
        ).abs().max() > 1e-4
    layer = wrapped.base_model.model.model.layers[1].mlp.down_proj
    weight, _ = quantized_weight(layer.base_layer)
    sum_of_both = weight.float() + 32 / 4 * (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).float()
    logits = wrapped(input_ids=ids).logits.float()
    plain = merged(wrapped)
    assert not any(map(is_quantized, plain.modules()))
    assert {weight.dtype for weight in plain.parameters()} == {getattr(torch, dtype)}
    torch.testing.assert_close(plain.model.layers[1].mlp.down_proj.weight, sum_of_both.to(plain.dtype))
    torch.testing.assert_close(plain(input_ids=ids).logits.float(), logits, rtol=0.05, atol=0.05)
    plain.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "quant" not in (tmp_path / "config.json").read_text()
    opened, _ = open_checkpoint(tmp_path, "cpu")
    assert torch.equal(opened(input_ids=ids).logits, plain.eval()(input_ids=ids).logits)


def test_a_merged_layer_leaves_no_four_bits_behind(monkeypatch):
    """7 billion weights, all of them kept until the last is merged or until Python looks for circles, did not fit 24
    GiB."""
    wrapped, _ = adapted(architecture=SMALL, dtype="bfloat16")
    layers = [weakref.ref(layer) for layer in wrapped.modules() if is_quantized(layer)]
    weights = [weakref.ref(layer().weight) for layer in layers]
    left, plain_layer = [], room._plain_layer

    def counted(layer, delta=None):
        left.append([sum(each() is not None for each in those) for those in (layers, weights)])
        return plain_layer(layer, delta)

    monkeypatch.setattr(room, "_plain_layer", counted)
    gc.disable()
    try:
        merged(wrapped)
    finally:
        gc.enable()
    assert left == [[number, number] for number in range(len(layers), 0, -1)]
    assert not any(each() is not None for each in (*layers, *weights))


def test_biases_stay_and_bytes_are_those_that_are_there():
    architecture = SMALL | {"model_type": "qwen2", "layer_types": None, "sliding_window": None}
    model, _ = four_bits(architecture=architecture, dtype="bfloat16")
    layer = model.model.layers[0].self_attn.q_proj
    assert layer.bias.dtype == torch.bfloat16
    state = layer.weight.quant_state
    tensors = (layer.weight, state.absmax, state.state2.absmax)
    assert num_bytes(layer.weight) == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert (num_weights(layer.weight), plain_bytes(layer.weight)) == (64 * 64, 2 * 64 * 64)
    assert num_bytes(layer.bias) == plain_bytes(layer.bias) == 2 * 64
    large = quantized_layer(nn.Linear(1024, 1024, bias=False), torch.bfloat16).weight
    assert num_bytes(large) / num_weights(large) == pytest.approx(0.516, abs=5e-4)


def test_a_model_without_weights_has_the_same_layers_and_bytes(tmp_path):
    model, tokenizer = load_base_model(ModelConfig(architecture=SMALL, tokenizer_size=400), DEFINITIONS.values())
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    real, _ = adapted(architecture=SMALL)
    empty, _ = adapted(base=str(tmp_path), weights="none")
    sizes = [
        [(name, weight.requires_grad, num_bytes(weight)) for name, weight in one.named_parameters()]
        for one in (real, hollow(empty))
    ]
    assert sizes[0] == sizes[1]
    ids = torch.tensor([[3, 4, 5]])
    empty(input_ids=ids, labels=ids).loss.backward()
    assert empty.get_input_embeddings().weight.grad is not None


def test_what_cannot_be_quantized_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"quantization nf4 freezes the base model.*set model.lora.rank \(32"):
        ModelConfig(architecture=SMALL, quantization="nf4")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match=r"does not train under FSDP2.*use launch/accelerate/single_gpu.yaml"):
        four_bits(architecture=SMALL)
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    model, tokenizer = load_base_model(ModelConfig(architecture=SMALL, tokenizer_size=400), DEFINITIONS.values())
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    for quantization in ("none", "nf4"):
        with pytest.raises(UserError, match=r"quantized already \(gptq\).*give the model that it was made from"):
            load_base_model(ModelConfig(base=str(tmp_path), quantization=quantization, lora=LORA), [])
    with pytest.raises(UserError, match=r"inputs is a multiple of 64, and this model has some with 96: train it on a"):
        four_bits(architecture=SMALL | {"intermediate_size": 96})
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(UserError, match=r"which is not installed: pip install 'bitsandbytes>=0.49'"):
        four_bits(architecture=SMALL)
