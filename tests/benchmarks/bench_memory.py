"""What `mera doctor` estimates against what the steps take, on the CPU; and the table of what each recipe needs.

python tests/benchmarks/bench_memory.py --task prepared/diabetes130 --recipes tiny
python tests/benchmarks/bench_memory.py --task prepared/diabetes130 --recipes smollm2 --training.batch_size 4
python tests/benchmarks/bench_memory.py --task prepared/diabetes130 --notes prepared/codiesp-en --table

Measured: resident memory that two optimiser steps add to a process that has built everything (`--dry-run`), in a
process whose allocator gives freed memory back at once (MALLOC_MMAP_THRESHOLD_; mera/doctor/host_memory.py takes the
gaps in its heap away). The table needs no weights: the 7B model is Mistral's published shape with a stand-in tokenizer
of 32,000 entries, Flan-T5 base likewise with one of 32,100. Keys of the recipes may follow, for the doctor and the run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import yaml
from transformers import AutoConfig, AutoModel

from data.task import load_task
from mera.config import read_values
from mera.doctor.engine import memory_of_a_device, peak, read_engine
from mera.doctor.step_estimate import StepEstimate
from mera.language_models.tokenizer import train_tokenizer
from mera.root import ROOT

GIB = 2**30
REPEATS = 3
"""Measurements of which the median is told: what Python and the libraries take beside tensors differs a little."""
STAGES = ("memorize", "rank", "bi_encoder")
ALL_PARAMETERS = ("--model.lora.rank", "0")
SHARDED = ("zero2", "zero3", "zero3_offload", "fsdp2")
FOUR_BITS = ("single_gpu", "zero2")
TABLE = (
    ("memorize", "biomistral_4bit", (), FOUR_BITS),
    ("rank", "biomistral_4bit", (), FOUR_BITS),
    ("memorize", "biomistral", (), SHARDED),
    ("rank", "biomistral", (), SHARDED),
    ("memorize", "biomistral", ALL_PARAMETERS, SHARDED),
    ("rank", "biomistral", ALL_PARAMETERS, SHARDED),
    ("memorize", "smollm2", (), ("ddp",)),
    ("rank", "smollm2", (), ("ddp",)),
    ("memorize", "flan_t5", (), ("ddp",)),
    ("rank", "flan_t5", (), ("ddp",)),
    ("bi_encoder", "bioclinical_modernbert", (), ("ddp",)),
    ("bi_encoder", "minilm", (), ("ddp",)),
    ("memorize", "tiny", (), ("cpu",)),
    ("rank", "tiny", (), ("cpu",)),
    ("memorize", "tiny_t5", (), ("cpu",)),
    ("rank", "tiny_t5", (), ("cpu",)),
    ("bi_encoder", "tiny", (), ("cpu",)),
)
"""Stage, recipe, changes to it, launch files."""
CARDS = {16: 14.5, 24: 22, 40: 37, 80: 76}
"""GB that a GPU is sold with -> GiB of it that a step may take, beside CUDA and fragmentation."""
COUNTS = (1, 2, 4, 8)


def overrides(stage: str, recipe: str, folder: Path) -> list[str]:
    """Stage two starts here from the base model of stage one, so that no checkpoint is needed; models of the hub are
    replaced by those of their shape in `folder`."""
    if recipe.startswith("bio") or recipe == "flan_t5":
        shape = recipe.removesuffix("_4bit")
        return ["--encoder.pretrained" if stage == "bi_encoder" else "--model.base", str(folder / shape)]
    if stage == "bi_encoder":
        return []
    if stage == "memorize":
        return []
    model = yaml.safe_load((ROOT / "configs" / "memorize" / f"{recipe}.yaml").read_text())["model"]
    words = ["--model.base", json.dumps(model.get("base"))]
    for key in ("architecture", "tokenizer_size", "gguf_file"):
        if key in model:
            words += [f"--model.{key}", json.dumps(model[key])]
    return words


def write_seven_billion(folder: Path, task: str) -> None:
    """Configuration and tokenizer of a 7B Mistral, without weights."""
    special = write_tokenizer(folder, task, 32_000)
    AutoConfig.for_model("mistral", vocab_size=32_000, sliding_window=None, **special).save_pretrained(folder)


def write_flan_t5(folder: Path, task: str) -> None:
    """Configuration and tokenizer of Flan-T5 base, without weights."""
    special = write_tokenizer(folder, task, 32_100)
    shape = {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "vocab_size": 32_128}
    own = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    start = {"decoder_start_token_id": special["pad_token_id"]}
    AutoConfig.for_model("t5", **shape, **own, **start, **special).save_pretrained(folder)


def write_tokenizer(folder: Path, task: str, size: int) -> dict[str, int]:
    """A stand-in of `size` entries; its special tokens as a model's configuration names them."""
    tokenizer = train_tokenizer(load_task(task).definitions, 2000, 32_768)
    tokenizer.add_tokens([f"<filler {number}>" for number in range(size - len(tokenizer))])
    tokenizer.save_pretrained(folder)
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def write_modern_bert(folder: Path, task: str) -> None:
    """ModernBERT-base's shape with random weights, and a tokenizer."""
    tokenizer = train_tokenizer(load_task(task).definitions, 2000, 8192, encoder=True)
    tokenizer.save_pretrained(folder)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
    AutoModel.from_config(AutoConfig.for_model("modernbert", **special)).save_pretrained(folder)


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


def compare(stage: str, recipe: str, task: str, folder: Path, keys: list[str]) -> None:
    more = [*overrides(stage, recipe, folder), *keys]
    found = doctor(stage, recipe, task, "cpu", 1, more)
    if found["peak_bytes"] is None:
        print(f"{stage}/{recipe}: {'; '.join(found['missing'])}")
        return
    estimated = found["peak_bytes"] - found["memory"]["weights"]  # the weights are there before the steps
    measured = sorted(measured_bytes(stage, recipe, task, more) for _ in range(REPEATS))
    low, median, high = (size / GIB for size in (measured[0], measured[REPEATS // 2], measured[-1]))
    print(
        f"{stage}/{recipe}: batch {found['estimate']['batch_shape']}, estimated {estimated / GIB:.3f} GiB, measured "
        f"{median:.3f} GiB ({low:.3f} to {high:.3f}), ratio {estimated / GIB / median:.2f}",
        flush=True,
    )


def hardware_table(task: str, notes: str, folder: Path) -> None:
    """GiB a device, and the smallest card that has them; a recipe is built once for all engines that compute alike."""
    built: dict[tuple, dict] = {}
    print("| recipe | launch file | " + " | ".join(f"{count} GPU" for count in COUNTS) + " | host | disk |")
    print("|---" * (4 + len(COUNTS)) + "|")
    for stage, recipe, changes, launch_files in TABLE:
        for launch_file in launch_files:
            engine = read_engine(ROOT / "launch" / "accelerate" / f"{launch_file}.yaml", 1, has_gpu=True)
            key = (stage, recipe, changes, engine.precision, engine.in_pieces, engine.on_cpu)
            if key not in built:
                more = [*overrides(stage, recipe, folder), *changes]
                built[key] = doctor(stage, recipe, notes if stage == "bi_encoder" else task, launch_file, 1, more)
            found = built[key]
            name = f"`{stage}/{recipe}`" + (", all parameters" if changes else "")
            if found["estimate"] is None:
                print(f"| {name} | {launch_file} | {'; '.join(found['missing'])} |", flush=True)
                continue
            values = read_values(ROOT / "configs" / stage / f"{recipe}.yaml")
            accumulates = values["training"].get("gradient_accumulation", 1) > 1
            counts = (1,) if engine.on_cpu or launch_file == "single_gpu" else COUNTS
            estimate = StepEstimate(**found["estimate"])
            sizes = [memory_of_a_device(replace(engine, processes=count), estimate, accumulates) for count in counts]
            cells = [fitting(peak(size)) for size in sizes] if not engine.on_cpu else [f"{peak(sizes[0]) / GIB:.2f}"]
            host = f"{sizes[0]['host'] / GIB:.0f}" if sizes[0]["host"] else ""
            cells += [""] * (len(COUNTS) - len(cells)) + [host, f"{found['checkpoint_bytes'] / GIB:.1f}"]
            print(f"| {name} | {launch_file} | {' | '.join(cells)} |", flush=True)


def fitting(size: int) -> str:
    cards = [card for card, usable in CARDS.items() if size <= usable * GIB]
    return f"{size / GIB:.1f}" + (f" ({cards[0]})" if cards else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="a prepared task with histories")
    parser.add_argument("--notes", help="a prepared task with notes, for the bi-encoder's rows of the table")
    parser.add_argument("--recipes", nargs="+", default=["tiny"], help="recipes to run on the CPU")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--table", action="store_true", help="only estimate, for the hardware each recipe is meant for")
    arguments, keys = parser.parse_known_args()
    if arguments.table and keys:
        parser.error(f"the table is of the recipes as they are; remove {' '.join(keys)}")
    with tempfile.TemporaryDirectory() as folder:
        write_seven_billion(Path(folder) / "biomistral", arguments.task)
        write_flan_t5(Path(folder) / "flan_t5", arguments.task)
        if arguments.table:
            write_modern_bert(Path(folder) / "bioclinical_modernbert", arguments.task)
            hardware_table(arguments.task, arguments.notes or arguments.task, Path(folder))
            return
        for recipe in arguments.recipes:
            for stage in arguments.stages:
                if (ROOT / "configs" / stage / f"{recipe}.yaml").is_file():
                    compare(stage, recipe, arguments.task, Path(folder), keys)


if __name__ == "__main__":
    main()
