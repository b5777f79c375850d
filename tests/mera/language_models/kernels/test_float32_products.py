"""Products of bfloat16 layers in float32, a few rows at a time: those of the whole matrices, and their gradients."""

import pytest
import torch
from model_families import FAMILIES, tiny_model
from torch import nn

from mera.language_models.kernels import float32_products as room
from mera.language_models.kernels.float32_products import float32_products
from mera.language_models.lora import LoraSettings, add_lora
from mera.language_models.quantization import quantize

SHAPE = (2, 3, 128)
"""Of the inputs: sequences, tokens, numbers."""


@pytest.fixture(autouse=True)
def processor_without_bfloat16(monkeypatch):
    monkeypatch.setattr(room, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(room, "ROWS", 7)  # which divides no size here


def layer_of(outputs, bias=True):
    torch.manual_seed(0)
    return nn.Linear(SHAPE[-1], outputs, bias=bias).bfloat16()


def results(layer, dtype=torch.bfloat16):
    """Outputs, and gradients of the inputs and of what trains in the layer."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SHAPE, generator=generator).bfloat16().to(dtype).requires_grad_()
    outputs = layer(inputs)
    outputs.backward(torch.randn(outputs.shape, generator=generator).bfloat16().to(dtype))
    return [outputs.detach(), inputs.grad, *(weight.grad for weight in layer.parameters() if weight.requires_grad)]


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_they_are_the_products_of_whole_matrices_in_float32_rounded_once(bias, trains):
    layer = layer_of(20, bias).requires_grad_(trains)
    reference = layer_of(20, bias).requires_grad_(trains).float()
    with float32_products(layer, is_on=True):
        found = results(layer)
    true = results(reference, torch.float32)
    assert len(found) == (2 + (1 + bias) * trains)
    for ours, exact in zip(found, true, strict=True):
        assert ours.dtype == torch.bfloat16
        # The bias is added to what is rounded already, as autocast and PEFT's adapters do it.
        torch.testing.assert_close(ours.float(), exact, rtol=2**-7, atol=2**-7 if bias else 1e-5)


def test_a_naive_loop_gives_the_same():
    layer = layer_of(9, bias=False).requires_grad_(False)
    inputs = torch.randn(4, SHAPE[-1], generator=torch.Generator().manual_seed(1)).bfloat16()
    naive = [[sum(a * b for a, b in zip(x.tolist(), w.tolist(), strict=True)) for w in layer.weight] for x in inputs]
    with float32_products(layer, is_on=True):
        found = layer(inputs)
    torch.testing.assert_close(found.float(), torch.tensor(naive), rtol=2**-8, atol=1e-6)


def test_four_bits_compute_what_bitsandbytes_computes():
    pytest.importorskip("bitsandbytes")
    model = tiny_model(FAMILIES["llama"], 50).bfloat16()
    quantize(model)
    layer = model.model.layers[0].mlp.gate_proj
    inputs = torch.randn(2, 5, layer.in_features, generator=torch.Generator().manual_seed(1)).bfloat16()

    def both():
        own = inputs.clone().requires_grad_()
        outputs = layer(own)
        outputs.backward(torch.ones_like(outputs))
        return outputs.detach(), own.grad

    plain = both()
    with float32_products(model, is_on=True):
        assert "forward" in vars(layer)
        found = both()
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2**-6, atol=2**-6)


@pytest.mark.parametrize("recomputed", [False, True])
def test_a_model_with_adapters_has_the_same_gradients(recomputed):
    model = add_lora(tiny_model(FAMILIES["llama"], 50).bfloat16(), LoraSettings(rank=4, dropout=0.0)).train()
    if recomputed:
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    ids = torch.randint(1, 50, (3, 11), generator=torch.Generator().manual_seed(0))

    def step():
        model.zero_grad()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        grads = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        return loss.detach(), torch.cat([grad.flatten().float() for grad in grads.values()])

    loss, plain = step()
    with float32_products(model, is_on=True):
        again, found = step()
    assert again == pytest.approx(loss.item(), rel=1e-2)
    assert torch.nn.functional.cosine_similarity(found, plain, dim=0) > 0.999
    assert not any("forward" in vars(module) for module in model.modules() if type(module) is nn.Linear)


def test_other_layers_and_other_processors_are_left_alone(monkeypatch):
    layer = layer_of(20)
    with float32_products(layer, is_on=False):
        assert "forward" not in vars(layer)
    plain = layer_of(20).float()
    expected = results(plain, torch.float32)
    plain.zero_grad()
    with float32_products(plain, is_on=True):
        assert all(map(torch.equal, results(plain, torch.float32), expected))
    monkeypatch.setattr(room, "multiplies_bfloat16", lambda: True)
    with float32_products(layer, is_on=True):
        assert "forward" not in vars(layer)
