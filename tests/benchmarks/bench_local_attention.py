"""ModernBERT's local layers in blocks against transformers' sdpa: one forward pass of ModernBERT-base's shape.

python tests/benchmarks/bench_local_attention.py                             a note of 8,178 tokens: five minutes
python tests/benchmarks/bench_local_attention.py --tokens 512 --texts 16
python tests/benchmarks/bench_local_attention.py --tokens 128 --size tiny    a small shape
"""

import argparse
import time

import torch
from real_size import ENCODER
from transformers import AutoConfig, AutoModel, PreTrainedModel

from bi_encoder.network.attention_in_blocks import attend_in_blocks

VOCABULARY, TURNS = 1000, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8178)
    parser.add_argument("--texts", type=int, default=1)
    parser.add_argument("--size", choices=ENCODER, default="7b", help="of the encoders of real_size.py")
    options = parser.parse_args()
    torch.manual_seed(0)
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 1) | {"pad_token_id": 0}
    config = AutoConfig.for_model("modernbert", vocab_size=VOCABULARY, **special, **ENCODER[options.size])
    model = AutoModel.from_config(config, attn_implementation="sdpa").eval()
    ids = torch.randint(1, VOCABULARY, (options.texts, options.tokens))
    plain, expected = forward(model, ids)
    attend_in_blocks(model)
    blocks, states = forward(model, ids)
    assert torch.allclose(states, expected, rtol=1e-3, atol=1e-3)
    print(
        f"{options.texts} x {options.tokens:,} tokens, {config.num_hidden_layers} layers: sdpa {plain:.2f} s, local "
        f"layers in blocks {blocks:.2f} s: {plain / blocks:.2f} x"
    )


@torch.no_grad()
def forward(model: PreTrainedModel, ids: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Seconds, the best of TURNS, and the states."""
    seconds = []
    for _ in range(TURNS):
        start = time.perf_counter()
        states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        seconds.append(time.perf_counter() - start)
    return min(seconds), states


if __name__ == "__main__":
    main()
