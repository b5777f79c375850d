"""What `mera doctor` estimates against what the steps take, on the CPU; and the table of what each recipe needs.

python tests/benchmarks/bench_memory.py --task prepared/diabetes130 --recipes tiny
python tests/benchmarks/bench_memory.py --task prepared/diabetes130 --recipes smollm2 --batch-size 4
python tests/benchmarks/bench_memory.py --task prepared/diabetes130 --table

Measured: resident memory that two optimiser steps add to a process that has built everything (`--dry-run`), in a
process whose allocator gives freed memory back at once (MALLOC_MMAP_THRESHOLD_). The table needs no weights: the 7B
model is Mistral's published shape with a stand-in tokenizer of 32,000 entries.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from transformers import AutoConfig

from data.task import load_task
from mera.tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent.parent
GIB = 2**30
STAGES = ("memorize", "rank", "bi_encoder")
HARDWARE = (
    ("memorize", "tiny", "cpu", 1, ()),
    ("rank", "tiny", "cpu", 1, ()),
    ("bi_encoder", "tiny", "cpu", 1, ()),
    ("memorize", "smollm2", "single_gpu", 1, ()),
    ("rank", "smollm2", "single_gpu", 1, ()),
    ("memorize", "biomistral", "single_gpu", 1, ()),
    ("memorize", "biomistral", "zero2", 8, ()),
    ("memorize", "biomistral", "zero3", 8, ("--model.lora.rank", "0")),
    ("rank", "biomistral", "single_gpu", 1, ()),
    ("rank", "biomistral", "zero2", 8, ()),
    ("rank", "biomistral", "zero3", 8, ("--model.lora.rank", "0")),
    ("bi_encoder", "minilm", "single_gpu", 1, ()),
)


def overrides(stage: str, recipe: str, seven_billion: Path) -> list[str]:
    """Stage two starts here from the base model of stage one, so that no checkpoint is needed."""
    if stage == "bi_encoder":
        return []
    if recipe == "biomistral":
        return ["--model.base", str(seven_billion)]
    if stage == "memorize":
        return []
    model = yaml.safe_load((ROOT / "configs" / "memorize" / f"{recipe}.yaml").read_text())["model"]
    words = ["--model.base", json.dumps(model.get("base"))]
    for key in ("architecture", "tokenizer_size", "gguf_file"):
        if key in model:
            words += [f"--model.{key}", json.dumps(model[key])]
    return words


def write_seven_billion(folder: Path, task: str) -> Path:
    """Configuration and tokenizer of a 7B Mistral, without weights."""
    tokenizer = train_tokenizer(load_task(task).definitions, 2000, 32_768)
    tokenizer.add_tokens([f"<filler {number}>" for number in range(32_000 - len(tokenizer))])
    tokenizer.save_pretrained(folder)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    AutoConfig.for_model("mistral", vocab_size=32_000, sliding_window=None, **special).save_pretrained(folder)
    return folder


def doctor(stage: str, recipe: str, task: str, engine: str, processes: int, more: list[str]) -> dict:
    command = [
        *(
            sys.executable,
            "-m",
            "mera.cli",
            "doctor",
            "--config",
            f"configs/{stage}/{recipe}.yaml",
            "--json",
            "--stage",
        ),
        *(stage, "--accelerate", f"launch/accelerate/{engine}.yaml", "--num-processes", str(processes)),
        *("--task", task, *more),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


def measured_bytes(stage: str, recipe: str, task: str, more: list[str]) -> float:
    command = [sys.executable, f"{stage}/train.py", "--config", f"configs/{stage}/{recipe}.yaml", "--task", task]
    done = subprocess.run(
        [*command, "--output", "runs/unwritten", "--dry-run", *more],
        cwd=ROOT,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(re.search(r"\(([\d.]+) of them by the steps\)", done.stdout)[1]) * GIB


def compare(stage: str, recipe: str, task: str, seven_billion: Path, batch_size: int | None) -> None:
    more = overrides(stage, recipe, seven_billion)
    if batch_size is not None:
        more += ["--training.batch_size", str(batch_size)]
    found = doctor(stage, recipe, task, "cpu", 1, more)
    if found["peak_bytes"] is None:
        print(f"{stage}/{recipe}: {'; '.join(found['missing'])}")
        return
    estimated = found["peak_bytes"] - found["memory"]["weights"]  # the weights are there before the steps
    measured = measured_bytes(stage, recipe, task, more)
    print(
        f"{stage}/{recipe}: batch {found['estimate']['batch_shape']}, estimated {estimated / GIB:.3f} GiB, measured "
        f"{measured / GIB:.3f} GiB, ratio {estimated / measured:.2f}",
        flush=True,
    )


def hardware_table(task: str, seven_billion: Path) -> None:
    parts = "weights, gradients, optimizer, activations, buffers (GiB)"
    print(f"| recipe | launch | peak of a device | {parts} | steps | disk |")
    print("|---|---|---|---|---|---|")
    for stage, recipe, engine, processes, changes in HARDWARE:
        found = doctor(stage, recipe, task, engine, processes, [*overrides(stage, recipe, seven_billion), *changes])
        if found["peak_bytes"] is None:
            print(f"| {stage}/{recipe} | {engine} x {processes} | {'; '.join(found['missing'])} | | | |", flush=True)
            continue
        parts = ", ".join(f"{size / GIB:.2f}" for purpose, size in found["memory"].items() if purpose != "host")
        name = f"`{stage}/{recipe}`" + (f" {' '.join(changes)}" if changes else "")
        print(
            f"| {name} | {engine} x {processes} | {found['peak_bytes'] / GIB:.2f} GiB | {parts} | "
            f"{found['run_steps']:,} | {found['checkpoint_bytes'] / GIB:.2f} GiB |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="a prepared task with histories")
    parser.add_argument("--recipes", nargs="+", default=["tiny"], help="recipes to run on the CPU")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's, where the machine is too small for it")
    parser.add_argument("--table", action="store_true", help="only estimate, for the hardware each recipe is meant for")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seven_billion = write_seven_billion(Path(folder) / "mistral-7b", arguments.task)
        if arguments.table:
            hardware_table(arguments.task, seven_billion)
            return
        for recipe in arguments.recipes:
            for stage in arguments.stages:
                if (ROOT / "configs" / stage / f"{recipe}.yaml").is_file():
                    compare(stage, recipe, arguments.task, seven_billion, arguments.batch_size)


if __name__ == "__main__":
    main()
