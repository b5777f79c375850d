"""Compiled blocks: equal losses and gradients whatever the length of a batch, plain names, and plain evaluation."""

import shutil
import sys

import pytest
import torch
from model_families import FAMILIES, tiny_model
from small_model import SMALL_T5
from torch import nn
from torch._dynamo.utils import counters
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

from mera.language_models import compiled_blocks as room
from mera.language_models.compiled_blocks import compiled_blocks, require_compiler
from mera.language_models.lora import LoraSettings, add_lora
from mera.system.errors import UserError

MODERNBERT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
BATCHES = [(3, 10), (2, 12), (1, 9)]
"""Lengths that equal no other size of the models, which the compiler would take for the same number."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Traced, with the backward pass taken apart as the compiler does it, but without the C++ compiler's minutes."""
    monkeypatch.setattr(room, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def model_of(kind):
    torch.manual_seed(0)
    if kind == "t5":
        return AutoModelForSeq2SeqLM.from_config(
            AutoConfig.for_model(vocab_size=50, decoder_start_token_id=0, **SMALL_T5)
        )
    if kind == "modernbert":
        config = AutoConfig.for_model("modernbert", vocab_size=50, pad_token_id=0, **MODERNBERT)
        return AutoModel.from_config(config)
    model = tiny_model(FAMILIES["gemma3" if kind == "gemma3" else "mistral-all-layers-slide"], 50, pad_token_id=0)
    if "lora" in kind:
        model = add_lora(model, LoraSettings(rank=4, dropout=0.0))
    if "recomputed" in kind:
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    return model


def gradients(model, shape):
    model.zero_grad()
    ids = torch.randint(1, 50, shape, generator=torch.Generator().manual_seed(shape[0] * 100 + shape[1]))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    labelled = {} if model.config.model_type == "modernbert" else {"labels": ids, "use_cache": False}
    outputs = model(input_ids=ids, attention_mask=mask, **labelled)
    loss = outputs.loss if labelled else outputs.last_hidden_state.square().mean()
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize(
    ("kind", "of_any_length"),
    [
        ("mistral-lora-recomputed", False),
        pytest.param("gemma3", False, marks=pytest.mark.slow),
        ("t5", False),
        ("modernbert", True),
        ("mistral", True),
    ],
)
def test_losses_and_gradients_are_those_of_plain_blocks(kind, of_any_length):
    model = model_of(kind).train()
    batches = BATCHES[:2]
    plain = [gradients(model, shape) for shape in batches]
    with compiled_blocks(model, of_any_length):
        for (loss, of_weights), shape in zip(plain, batches, strict=True):
            compiled_loss, of_compiled = gradients(model, shape)
            torch.testing.assert_close(compiled_loss, loss, rtol=1e-5, atol=1e-6)
            assert of_compiled.keys() == of_weights.keys()
            for name, gradient in of_weights.items():
                assert (of_compiled[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max() + 1e-7, name
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]


def test_layers_share_what_is_compiled_and_so_do_lengths():
    model = model_of("mistral").train()
    for of_any_length, graphs in ((False, 2), (True, 2)):
        torch._dynamo.reset()
        counters.clear()
        with compiled_blocks(model, of_any_length):
            for shape in BATCHES[:2] if not of_any_length else BATCHES:
                gradients(model, shape)
        # of two layers: one for each of two shapes; of any length: one for batches, one for a single example
        assert counters["stats"]["unique_graphs"] == graphs


def test_more_shapes_than_the_compiler_takes_by_itself(monkeypatch):
    monkeypatch.setattr(room, "BACKEND", "eager")
    model = model_of("mistral").train()
    with compiled_blocks(model):
        for length in range(5, 14):
            model(input_ids=torch.ones(2, length, dtype=torch.long), use_cache=False)
    assert counters["stats"]["unique_graphs"] == 9


def test_names_stay_and_evaluation_is_not_compiled():
    model = model_of("mistral-lora-recomputed")
    names = list(model.state_dict())
    with compiled_blocks(model):
        assert list(model.state_dict()) == names
        model.eval()
        model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3)
        with torch.no_grad():
            model.train()(input_ids=torch.tensor([[5, 6, 7]]))
        assert not counters["stats"]["unique_graphs"]
    assert not any("forward" in vars(module) for module in model.modules())


def test_blocks_are_plain_again_whatever_happens():
    model = model_of("mistral")
    with pytest.raises(KeyError), compiled_blocks(model):
        raise KeyError
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_model_without_blocks_is_refused():
    with pytest.raises(
        UserError, match=r"^training\.compile finds no blocks in a Linear .*: set training\.compile to fa"
    ):
        compiled_blocks(nn.Linear(2, 2)).__enter__()


def test_what_cannot_compile_is_refused(monkeypatch):
    require_compiler(on_gpu=False, fetches_weights=False)
    with pytest.raises(UserError, match=r"does not go with ZeRO-3.*fsdp2\.yaml or zero2\.yaml"):
        require_compiler(on_gpu=True, fetches_weights=True)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    require_compiler(on_gpu=True, fetches_weights=False)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler on a CPU.*apt-get install g\+\+"):
        require_compiler(on_gpu=False, fetches_weights=False)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UserError, match="C\\+\\+ compiler"):
        require_compiler(on_gpu=False, fetches_weights=False)


def test_a_smaller_share_of_activations_is_kept(monkeypatch):
    """As the compiler shares a step out into what is kept and what is computed again."""
    monkeypatch.setattr(room, "BACKEND", "aot_eager_decomp_partition")
    model, saved, steps = model_of("mistral").train(), {}, {}
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    for kept in (1.0, 0.2):
        torch._dynamo.reset()

        def count(tensor, kept=kept):
            if tensor.untyped_storage().data_ptr() not in weights:
                saved[kept] = saved.get(kept, 0) + tensor.nbytes
            return tensor

        with compiled_blocks(model, kept=kept), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            steps[kept] = gradients(model, (2, 16))
    assert saved[0.2] < 0.8 * saved[1.0]
    torch.testing.assert_close(steps[0.2], steps[1.0], rtol=1e-4, atol=1e-6)
