"""What `training.cpu_bf16` saves: training steps of SmolLM2-135M's shape in float32 and in bfloat16, in turns.

python tests/benchmarks/bench_cpu_bf16.py [--layers 30] [--batch 16] [--tokens 70] [--turns 3]

Forward and backward pass with random weights, read at the last four positions. Processor seconds, which other work on
the machine disturbs less than the clock. Only a processor with avx512_bf16 or amx_bf16 gains.
"""

import argparse
import statistics
import time

import torch
from bench_rank import smollm2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=70)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
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
