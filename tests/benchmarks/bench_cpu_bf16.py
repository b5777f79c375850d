"""What `training.cpu_bf16` saves: training steps of SmolLM2-135M's shape in float32 and in bfloat16, in turns.

python tests/benchmarks/bench_cpu_bf16.py [--layers 30] [--batch 16] [--tokens 70] [--turns 3]
python tests/benchmarks/bench_cpu_bf16.py --layer          one layer of a 7B model whose weight is in bfloat16

Forward and backward pass with random weights, read at the last four positions. Processor seconds, which other work on
the machine disturbs less than the clock. Only a processor with avx512_bf16 or amx_bf16 gains. With `--layer`: by the
clock, both passes of a frozen linear layer as torch multiplies it and in float32, some rows of the weight at a time
(mera/language_models/kernels/float32_products.py).
"""

import argparse
import statistics
import time

import torch
from bench_rank import smollm2

from mera.language_models.kernels import float32_products

OUTPUTS, INPUTS, TOKENS = 14_336, 4_096, 64


def one_layer(turns: int) -> None:
    layer = torch.nn.Linear(INPUTS, OUTPUTS, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    inputs = torch.randn(TOKENS, INPUTS).bfloat16().requires_grad_()
    gradient = torch.randn(TOKENS, OUTPUTS).bfloat16()
    float32_products.multiplies_bfloat16 = lambda: False  # whatever this processor can
    for is_on, name in ((False, "bfloat16"), (True, "float32 rows")):
        with float32_products.float32_products(layer, is_on):
            seconds = [_both_passes(layer, inputs, gradient) for _ in range(turns)]
        rates = (2e-9 * OUTPUTS * INPUTS * TOKENS / statistics.median(part) for part in zip(*seconds, strict=True))
        print("{:12} forward {:.1f} GFLOP/s, backward {:.1f}".format(name, *rates), flush=True)


def _both_passes(layer: torch.nn.Module, inputs: torch.Tensor, gradient: torch.Tensor) -> tuple[float, float]:
    start = time.perf_counter()
    outputs = layer(inputs)
    between = time.perf_counter()
    outputs.backward(gradient)
    return between - start, time.perf_counter() - between


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=70)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--layer", action="store_true")
    options = parser.parse_args()
    if options.layer:
        return one_layer(options.turns)
    torch.manual_seed(0)
    model = smollm2(options.layers).train()
    input_ids = torch.randint(model.config.vocab_size, (options.batch, options.tokens))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(options.turns + 1):
        for bf16 in seconds:
            start = time.process_time()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                logits = model(input_ids=input_ids, logits_to_keep=4).logits
            logits.float().logsumexp(dim=-1).mean().backward()
            model.zero_grad()
            if turn:  # the first warms up
                seconds[bf16].append(time.process_time() - start)
    plain, faster = (statistics.median(seconds[bf16]) for bf16 in seconds)
    milliseconds = 1000 / (options.batch * options.tokens)
    print(f"float32  {plain * milliseconds:.2f} ms a token")
    print(f"bfloat16 {faster * milliseconds:.2f} ms a token, {plain / faster:.2f} times as fast")


if __name__ == "__main__":
    main()
