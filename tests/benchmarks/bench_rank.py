"""What stage two costs: one pass for all partial outputs, memory of the logits, ranking against decoding, the loss.

python tests/benchmarks/bench_rank.py                       (about 15 minutes on one core; --layers 6 takes 4)

The shape of SmolLM2-135M (30 layers, width 576, 9 heads and 3 key-value heads, 49,152 tokens) with random weights and
5,000 codes as new tokens. A patient: five visits of 12 codes with the days before, age and sex: 84 tokens; 10 targets
in 8 orders. Training is forward and backward in float32, without the optimiser. Times are CPU time of one thread, so
that other work on the machine does not count.

(a) variants (order x number of codes known) trained per second: one pass with a shared prompt against each variant as a
    sequence of its own (wanted: 20 times) and one sequence per order (3 times). All three read the same candidates.
(b) peak memory of output layer + loss, forward and backward: candidates at the rows' positions, in chunks, against the
    full vocabulary at all positions, with the loss in chunks too or all at once (wanted: 10 times less). Peak resident
    memory over what was resident before, each in a process of its own. Without the gradient of the output layer's
    weight, which is as large as the weight and the same for all. 32 patients, the batch of configs/rank/smollm2.yaml.
(c) patients per second at batch 1, ranking (one forward pass) against greedy decoding of 10 codes with a key-value
    cache: codes as single tokens, codes as text, definitions (wanted: 10 times for the last two).
(d) the loss of 64 patients x 11 rows over 10,000 candidates at 5 levels against a training step of 64 patients with one
    order each (wanted: below 5%). The step is measured with fewer patients and scaled.
"""

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from data.ontology import LEVELS
from rank.attention.masks import orders_mask
from rank.candidate_head import CandidateHead, read_candidates_only
from rank.config import LossConfig
from rank.loss import stage_two_loss
from rank.partial_outputs import PartialOutputCollator, RankingExample
from rank.row_chunks import loss_in_chunks
from rank.wide.recurrence import seen_codes

VOCABULARY, CODES, WIDTH = 49_152, 5_000, 576
PROMPT_TOKENS, TARGETS, ORDERS = 84, 10, 8
TOKENS_PER_CODE_TEXT, TOKENS_PER_DEFINITION = 7, 9
"""In SmolLM2's tokenizer, with a separator: ` 428.0,` and ` Congestive heart failure;`. Means over the diagnoses of the
MIMIC-III demo are 7.3 and 8.5, over those of the MIMIC-IV demo (ICD-10) 6.5 and 9.4."""
CANDIDATES, EOV_ID, PAD_ID = torch.arange(VOCABULARY, VOCABULARY + CODES), VOCABULARY + CODES, 0
NOTHING_SEEN = seen_codes([], {})
FORMS = ("candidates, chunks", "full vocabulary, chunks", "full vocabulary, plain")


def smollm2(layers: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY + CODES + 64,
        hidden_size=WIDTH,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
    )
    return LlamaForCausalLM(config)


def groups_of(codes: int) -> torch.Tensor:
    """(5, C): one group, then about as many chapters, blocks, categories and subcategories as ICD has."""
    number = torch.arange(codes)
    return torch.stack([number // size for size in (codes, max(1, codes // 20), 40, 8, 3)])


def patients(count: int, orders: int) -> list[RankingExample]:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        targets = generator.choice(CODES, TARGETS, replace=False).tolist()
        drawn = [generator.permutation(targets).tolist() for _ in range(orders)]
        found.append(
            RankingExample(generator.integers(1, VOCABULARY, PROMPT_TOKENS).tolist(), targets, drawn, NOTHING_SEEN)
        )
    return found


def one_sequence_per_order(examples: list[RankingExample]) -> list[RankingExample]:
    return [
        RankingExample(example.prompt_ids, example.targets, [order], example.seen)
        for example in examples
        for order in example.orders
    ]


def train_on(model: LlamaForCausalLM, examples: list[RankingExample]) -> None:
    """Forward and backward of one batch, as the trainer does it."""
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, ignore_known=False)(examples)
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=orders_mask(batch["order_ids"], batch["position_ids"], None, "sdpa"),
        position_ids=batch["position_ids"],
        logits_to_keep=batch["logits_to_keep"],
        use_cache=False,
    ).logits
    totals = torch.tensor([batch["weight_of_rows"], batch["weight_of_positive_rows"]])
    share = share_of(batch["positive"], batch["ignored"], groups_of(CODES), totals)
    loss_in_chunks(logits, None, batch["row_read"], batch["row_example"], share).backward()


def share_of(positive: torch.Tensor, ignored: torch.Tensor, groups: torch.Tensor, totals: torch.Tensor) -> Callable:
    config = LossConfig(levels=LEVELS)

    def share(scores: torch.Tensor, eov: torch.Tensor, rows: slice) -> torch.Tensor:
        return stage_two_loss(scores, eov, positive[rows], ignored[rows], groups, config, step_rows=totals)

    return share


def train_separately(model: LlamaForCausalLM, example: RankingExample, at_once: int) -> None:
    """Every variant is a sequence of its own, causal, sorted by length and batched without any padding to speak of."""
    token = CANDIDATES.tolist()
    variants = [(order[:known], example) for known in range(TARGETS + 1) for order in example.orders]
    totals = torch.tensor([len(variants), len(variants) - len(example.orders)])
    for start in range(0, len(variants), at_once):
        part = variants[start : start + at_once]
        ids = [[*example.prompt_ids, *(token[code] for code in known)] for known, _ in part]
        positive = torch.zeros(len(part), CODES, dtype=torch.bool)
        for row, (known, _) in enumerate(part):
            positive[row, [code for code in example.targets if code not in known]] = True
        logits = model(input_ids=torch.tensor(ids), logits_to_keep=1, use_cache=False).logits[:, -1]
        share = share_of(positive, torch.zeros_like(positive), groups_of(CODES), totals)
        share(logits[:, :-1], logits[:, -1], slice(None)).backward()


def seconds(work: Callable[[], object], repeats: int, warm_up: bool = True) -> float:
    """Median CPU time."""
    if warm_up:
        work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


def bench_training(layers: int) -> None:
    model = smollm2(layers).train()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    batch = patients(4, ORDERS)
    variants = ORDERS * (TARGETS + 1)
    shared = seconds(lambda: train_on(model, batch), 3) / len(batch)
    per_order = seconds(lambda: train_on(model, one_sequence_per_order(batch)), 3, warm_up=False) / len(batch)
    apart = seconds(lambda: train_separately(model, batch[0], at_once=ORDERS), 1, warm_up=False)
    print(f"(a) variants per second, {layers} layers, {len(batch)} patients a batch, {variants} variants each:")
    for name, taken in (("shared prompt", shared), ("one sequence per order", per_order), ("separate", apart)):
        print(f"    {name:24} {variants / taken:8.1f}   {taken / shared:5.1f} x the time of the shared prompt")


def bench_memory() -> None:
    peaks = {form: measure_in_process(form) for form in FORMS}
    print("(b) peak memory of output layer and loss, 32 patients of 164 tokens, forward and backward:")
    for form, peak in peaks.items():
        print(f"    {form:24} {peak / 2**20:8.0f} MiB   {peak / peaks[FORMS[0]]:5.1f} x")


def measure_in_process(form: str) -> float:
    command = [sys.executable, __file__, "--memory-of", form]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def memory_of(form: str) -> None:
    """Prints the bytes of peak resident memory over what was resident before."""
    examples = patients(32, ORDERS)
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, ignore_known=False)(examples)
    head = torch.nn.Linear(WIDTH, VOCABULARY + CODES + 64, bias=False)
    head.weight.requires_grad_(False)
    hidden = torch.randn(*batch["input_ids"].shape, WIDTH, requires_grad=True)
    totals = torch.tensor([batch["weight_of_rows"], batch["weight_of_positive_rows"]])
    share = share_of(batch["positive"], batch["ignored"], groups_of(CODES), totals)
    hidden.grad = torch.zeros_like(hidden)
    before = resident("VmRSS")
    if form.startswith("candidates"):
        head = CandidateHead(head, torch.cat([CANDIDATES, torch.tensor([EOV_ID])]))
        logits = head(hidden[batch["logits_to_keep"]])
    else:
        everything = head(hidden)  # kept, as the output of a model's forward pass is
        logits = everything[batch["logits_to_keep"]][:, torch.cat([CANDIDATES, torch.tensor([EOV_ID])])]
    if form.endswith("chunks"):
        loss_in_chunks(logits, None, batch["row_read"], batch["row_example"], share).backward()
    else:
        rows = logits[batch["row_read"]]
        share(rows[:, :-1], rows[:, -1], slice(None)).backward()
    print(resident("VmHWM") - before)


def resident(name: str) -> int:
    """Bytes: `VmRSS` now, `VmHWM` at the peak. (getrusage's maximum is inherited from the process that started us.)"""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


@torch.inference_mode()
def bench_inference(layers: int) -> None:
    plain = smollm2(layers).eval()
    ranking = copy.deepcopy(plain)
    read_candidates_only(ranking, CANDIDATES, EOV_ID)
    prompt = torch.tensor([patients(1, 1)[0].prompt_ids])

    def rank() -> None:
        ranking(input_ids=prompt, logits_to_keep=1, use_cache=False).logits[0, -1].argsort(descending=True)

    def write(model: LlamaForCausalLM, tokens: int) -> None:
        cache = DynamicCache(config=model.config)
        logits = model(input_ids=prompt, logits_to_keep=1, past_key_values=cache, use_cache=True).logits
        for _ in range(tokens):
            token = logits[:, -1].argmax(dim=-1, keepdim=True)
            logits = model(input_ids=token, past_key_values=cache, use_cache=True).logits

    taken = {
        "ranking": seconds(rank, 9),
        "decoding single tokens": seconds(lambda: write(ranking, TARGETS), 3),
        "decoding codes as text": seconds(lambda: write(plain, TARGETS * TOKENS_PER_CODE_TEXT), 3),
        "decoding definitions": seconds(lambda: write(plain, TARGETS * TOKENS_PER_DEFINITION), 3),
    }
    print(f"(c) patients per second at batch 1, {layers} layers, {TARGETS} codes decoded with a key-value cache:")
    for name, time_taken in taken.items():
        print(f"    {name:24} {1 / time_taken:8.2f}   ranking is {time_taken / taken['ranking']:5.1f} x as fast")


def bench_loss(layers: int) -> None:
    rows, codes = 64 * (TARGETS + 1), 10_000
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, codes + 1, generator=generator, requires_grad=True)
    positive = torch.zeros(rows, codes, dtype=torch.bool)
    for row in range(rows):
        positive[row, torch.randint(0, codes, (TARGETS - row % (TARGETS + 1),), generator=generator)] = True
    totals = torch.tensor([rows, int(positive.any(dim=1).sum())])
    share = share_of(positive, torch.zeros_like(positive), groups_of(codes), totals)
    every = torch.arange(rows)
    loss = seconds(lambda: loss_in_chunks(logits, None, every, every, share).backward(), 3)
    model = smollm2(layers).train()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    count = 8
    step = seconds(lambda: train_on(model, patients(count, 1)), 1) * 64 / count
    print(f"(d) loss of {rows} rows x {codes:,} candidates x {len(LEVELS)} levels, {layers} layers:")
    print(f"    {loss:.2f} s of a step of {step:.1f} s: {loss / step:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--only", default="abcd", help="which of a, b, c, d to run")
    parser.add_argument("--memory-of", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory_of is not None:
        memory_of(arguments.memory_of)
        return
    for letter, bench in zip("abcd", (bench_training, bench_memory, bench_inference, bench_loss), strict=True):
        if letter in arguments.only:
            bench() if bench is bench_memory else bench(arguments.layers)


if __name__ == "__main__":
    main()
