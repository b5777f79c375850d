"""FlexAttention trains as sdpa does. Needs a GPU: PyTorch has no backward pass of it on the CPU."""

import random

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from rank.attention.kernels import use_kernel
from rank.attention.masks import masks_for
from rank.candidate_head import read_candidates_only, score_prompts
from rank.partial_outputs import PartialOutputCollator, RankingExample
from rank.wide.recurrence import seen_codes

CANDIDATES, EOV_ID, PAD_ID = torch.arange(20, 32), 40, 0
NOTHING_SEEN = seen_codes([], {})
EXAMPLES = [
    RankingExample([1, 5, 6, 7, 8, 3], [0, 4, 7], [[4, 0, 7], [7, 4, 0], [0, 7, 4]], NOTHING_SEEN),
    RankingExample([1, 3], [2], [[2], [2], [2]], NOTHING_SEEN),
    RankingExample([1, 9, 10, 3], [11, 5, 1, 8], [[5, 11, 8, 1], [1, 8, 5, 11], [8, 1, 11, 5]], NOTHING_SEEN),
]
SMALL = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2}
BIOMISTRAL = {"hidden_size": 1024, "intermediate_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2}
"""Heads of 128, four of which share a key head."""
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention trains on a GPU only")


def model_with(kernel, shape, window=None):
    torch.manual_seed(0)
    config = MistralConfig(vocab_size=48, num_hidden_layers=4, sliding_window=window, **shape)
    model = MistralForCausalLM(config)
    read_candidates_only(model, CANDIDATES, EOV_ID)
    model.to("cuda")
    use_kernel(model, kernel)
    return model


def long_examples(seed, longest):
    """Sixteen with prompts of changing length."""
    draw = random.Random(seed)
    examples = []
    for _ in range(16):
        targets = draw.sample(range(len(CANDIDATES)), draw.randint(1, 5))
        orders = [draw.sample(targets, len(targets)) for _ in range(3)]
        prompt = [1, *(draw.randint(4, 19) for _ in range(draw.randint(5, longest))), 3]
        examples.append(RankingExample(prompt, targets, orders, NOTHING_SEEN))
    return examples


def gradients(model, examples, packs=False):
    """(loss, all gradients in a row) of the mean log-probability of the candidates."""
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, False, packs=packs)(examples)
    batch = {name: value.to("cuda") if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    model.zero_grad()
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=masks_for(model, batch["order_ids"], batch["position_ids"]),
        position_ids=batch["position_ids"],
        logits_to_keep=batch["logits_to_keep"],
        use_cache=False,
    ).logits
    loss = -logits.float().log_softmax(-1).mean()
    loss.backward()
    return loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@on_a_gpu
@pytest.mark.parametrize("window", [None, 4])
def test_flex_trains_as_sdpa_does(window):
    sdpa_loss, sdpa = gradients(model_with("sdpa", SMALL, window), EXAMPLES)
    flex_loss, flex = gradients(model_with("flex", SMALL, window), EXAMPLES)
    assert flex_loss == pytest.approx(sdpa_loss, rel=1e-5)
    assert (flex - sdpa).norm() < 1e-5 * sdpa.norm()


@on_a_gpu
@pytest.mark.parametrize("packs", [False, True])
def test_heads_of_128_with_shared_key_heads_in_rows_of_changing_length(packs):
    """Under bf16 autocast over float32 weights; rows of fewer tokens than 128 and of more."""
    sdpa, flex = model_with("sdpa", BIOMISTRAL), model_with("flex", BIOMISTRAL)
    for seed, longest in enumerate((40, 90, 110, 200, 500, 60)):
        examples = long_examples(seed, longest)
        with torch.autocast("cuda", torch.bfloat16):
            expected_loss, expected = gradients(sdpa, examples)
            loss, found = gradients(flex, examples, packs)
        assert loss == pytest.approx(expected_loss, rel=1e-2)
        assert (found - expected).norm() < 3e-2 * expected.norm()


@on_a_gpu
def test_validation_of_a_model_that_trains_with_flex():
    prompts = [example.prompt_ids for example in long_examples(0, 150)]
    expected, expected_eov = score_prompts(model_with("sdpa", BIOMISTRAL), prompts, PAD_ID, 8)
    scores, eov = score_prompts(model_with("flex", BIOMISTRAL), prompts, PAD_ID, 8)
    assert scores == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert eov == pytest.approx(expected_eov, rel=1e-4, abs=1e-4)
