"""FlexAttention trains as sdpa does. Needs a GPU: PyTorch has no backward pass of it on the CPU."""

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from rank.attention import orders_mask, use_kernel
from rank.candidate_head import read_candidates_only
from rank.partial_outputs import PartialOutputCollator, RankingExample
from rank.wide.recurrence import seen_codes

CANDIDATES, EOV_ID, PAD_ID = torch.arange(20, 32), 40, 0
NOTHING_SEEN = seen_codes([], {})
EXAMPLES = [
    RankingExample([1, 5, 6, 7, 8, 3], [0, 4, 7], [[4, 0, 7], [7, 4, 0], [0, 7, 4]], NOTHING_SEEN),
    RankingExample([1, 3], [2], [[2], [2], [2]], NOTHING_SEEN),
    RankingExample([1, 9, 10, 3], [11, 5, 1, 8], [[5, 11, 8, 1], [1, 8, 5, 11], [8, 1, 11, 5]], NOTHING_SEEN),
]


def gradients(kernel, window):
    """(loss, all gradients in a row) of the mean log-probability of the positives."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=48,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
    )
    model = MistralForCausalLM(config)
    read_candidates_only(model, CANDIDATES, EOV_ID)
    model.to("cuda")
    use_kernel(model, kernel)
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, False)(EXAMPLES)
    batch = {name: value.to("cuda") if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=orders_mask(batch["order_ids"], batch["position_ids"], window, kernel),
        position_ids=batch["position_ids"],
        logits_to_keep=batch["logits_to_keep"],
        use_cache=False,
    ).logits
    loss = -logits.log_softmax(-1).mean()
    loss.backward()
    return loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention trains on a GPU only")
@pytest.mark.parametrize("window", [None, 4])
def test_flex_trains_as_sdpa_does(window):
    (sdpa_loss, sdpa), (flex_loss, flex) = gradients("sdpa", window), gradients("flex", window)
    assert flex_loss == pytest.approx(sdpa_loss, rel=1e-5)
    assert (flex - sdpa).norm() < 1e-5 * sdpa.norm()
