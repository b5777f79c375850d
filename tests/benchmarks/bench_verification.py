"""What verifying costs: all candidates behind one copy of the note, against a sequence of its own for each.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_verification.py [--layers 30] [--candidates 64] [--note 500]
    [--model FOLDER] [--bf16] [--training]

The shape of SmolLM2-135M with random weights, or the model in FOLDER. A branch has nine tokens, the mean of ICD-10-CM's
definitions and a question mark. Processor seconds, which other work on the machine disturbs less than the clock.
Both forms score the same candidates in the same run; the scores are compared. --training: forward and backward, the
separate sequences of every eighth candidate alone, and scaled.
"""

import argparse
import time

import torch
from bench_rank import smollm2
from transformers import AutoModelForCausalLM, PreTrainedModel

from rank.config import LossConfig
from rank.verification.branches import VerificationCollator, VerificationExample
from rank.verification.head import Verification, freeze_all_but, read_hidden_states
from rank.verification.scoring import read_batch
from rank.verification.trainer import batch_loss

BRANCH_TOKENS, TOGETHER = 9, 8
"""Tokens of a branch; separate sequences in one batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--note", type=int, default=500, help="tokens (default: %(default)s)")
    parser.add_argument("--model", default=None, help="a folder that transformers opens; default: random weights")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16")
    parser.add_argument("--training", action="store_true", help="forward and backward")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = smollm2(options.layers) if options.model is None else AutoModelForCausalLM.from_pretrained(options.model)
    model.verification = Verification(model.config.hidden_size)
    torch.nn.init.normal_(model.verification.readouts, std=0.02)
    read_hidden_states(model)
    freeze_all_but(model, trained_layers=0)
    note = torch.randint(1, 40_000, (options.note,)).tolist()
    branches = torch.randint(1, 40_000, (options.candidates, BRANCH_TOKENS)).tolist()
    forward = torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16)
    with forward, torch.set_grad_enabled(options.training):
        score(model.eval(), note[:20], branches[:2], training=options.training)  # warms up
        together, seconds = timed(lambda: score(model, note, branches, training=options.training))
        every = 8 if options.training else 1
        parts = [branches[start : start + TOGETHER] for start in range(0, options.candidates, TOGETHER * every)]
        apart, separate = timed(lambda: [separately(model, note, part, training=options.training) for part in parts])
    separate *= every
    difference = (together[: TOGETHER if options.training else None] - torch.cat(apart)[: len(together)]).abs().max()
    what = "trained on" if options.training else "verified"
    print(f"{options.candidates} candidates behind a note of {options.note} tokens, {what}, CPU seconds of one note")
    print(f"one pass: {seconds:.2f}; a sequence for each: {separate:.2f}; {separate / seconds:.1f} x as fast")
    print(f"largest difference of a score: {difference:.1e}")


def score(model: PreTrainedModel, note: list[int], branches: list[list[int]], *, training: bool) -> torch.Tensor:
    """(K,) scores of one note's candidates, in one pass."""
    example = VerificationExample(
        prompt_ids=note,
        columns=list(range(len(branches))),
        branches=branches,
        log_odds=[0.0] * len(branches),
        targets=[0],
    )
    return pass_of(model, [example], len(branches), training)[1:]


def separately(model: PreTrainedModel, note: list[int], branches: list[list[int]], *, training: bool) -> torch.Tensor:
    """(K,) the same, each candidate as a row of a batch that repeats the note."""
    examples = [VerificationExample(note, [0], [branch], [0.0], [0]) for branch in branches]
    return pass_of(model, examples, 2, training)[1::2]


def pass_of(model: PreTrainedModel, examples: list[VerificationExample], codes: int, training: bool) -> torch.Tensor:
    batch = VerificationCollator(codes, 0, -1.0)(examples)
    values = read_batch(model, model, batch)
    if training:
        groups = torch.zeros((1, codes), dtype=torch.long)
        batch_loss(values, batch, groups, LossConfig(levels=("all",))).backward()
        model.zero_grad()
    return values.detach()


def timed(work):
    """What `work` returns, and its processor seconds."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


if __name__ == "__main__":
    main()
