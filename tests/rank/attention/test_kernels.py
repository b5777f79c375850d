"""Flex sees what sdpa sees. Forward only, not compiled: PyTorch has no backward pass of FlexAttention on the CPU."""

import numpy as np
import pytest
import torch
from model_families import FAMILIES, tiny_model
from naive_decoding import PROMPTS
from shared_prompt import CANDIDATES, EOV_ID, EXAMPLES, PAD_ID

from rank.attention import kernels
from rank.attention.kernels import use_kernel
from rank.candidate_head import read_candidates_only, score_prompts
from rank.partial_outputs import PartialOutputCollator, read_logits


def model_with(kernel, name, monkeypatch):
    """As it is on a machine with a GPU."""
    model = tiny_model(FAMILIES[name], 48, bos_token_id=1, eos_token_id=2, pad_token_id=0).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, mean=0.3 if weight.ndim == 1 else 0.0, std=0.2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    use_kernel(model, kernel)
    monkeypatch.undo()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    return model


@pytest.fixture
def of_flex(monkeypatch):
    """The options of each call of flex."""
    calls = []

    def counted(*arguments, **settings):
        calls.append(settings["kernel_options"])
        return flex(*arguments, **settings)

    flex = kernels.flex_attention_forward
    with monkeypatch.context() as patched, torch.no_grad(), torch.compiler.set_stance("force_eager"):
        patched.setattr(kernels, "flex_attention_forward", counted)
        yield calls


@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_flex_sees_what_sdpa_sees(name, packs, monkeypatch, of_flex):
    """With windows, layers of two kinds and capped scores; no row is read by the kernel for decoding."""
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, False, packs=packs)(EXAMPLES)
    sdpa = model_with("sdpa", name, monkeypatch)
    expected = read_logits(sdpa, sdpa, batch)
    assert not of_flex
    flex = model_with("flex", name, monkeypatch)
    torch.testing.assert_close(read_logits(flex, flex, batch), expected, rtol=1e-4, atol=1e-5)
    assert of_flex == [{"FORCE_USE_FLEX_ATTENTION": True}] * flex.config.num_hidden_layers


@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_are_ranked_without_flex_unless_scores_are_capped(name, monkeypatch, of_flex):
    expected, expected_eov = score_prompts(model_with("sdpa", name, monkeypatch), PROMPTS, PAD_ID, 2)
    scores, eov = score_prompts(model_with("flex", name, monkeypatch), PROMPTS, PAD_ID, 2)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(eov, expected_eov, rtol=1e-4, atol=1e-5)
    assert bool(of_flex) == (name == "gemma2-capped")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can train with flex")
def test_flex_on_the_cpu_is_refused():
    model = tiny_model(FAMILIES["llama"], 48, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    with pytest.raises(ValueError, match="attention: flex trains on a GPU only"):
        use_kernel(model, "flex")
