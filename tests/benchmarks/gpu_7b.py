"""Speed and memory of both stages at BioMistral's size (a 7B Mistral with random weights, bf16) on one GPU.

python tests/benchmarks/gpu_7b.py
python tests/benchmarks/gpu_7b.py --size tiny            every part of it on the CPU, with a tiny shape

Each line is a `--dry-run` of the real trainer on a synthetic cohort: the second optimiser step, on long batches.
Full-parameter training needs its optimizer in 8 bits (bitsandbytes) or off the GPU (DeepSpeed, zero3_offload).
Model FLOPs utilisation counts 4 operations a token for each weight of the blocks and 2 more for each that is trained
(Chowdhery et al., PaLM, appendix B), not those that are computed again, and no attention scores.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data.task import load_task
from mera.language_models.tokenizer import train_tokenizer
from mera.root import ROOT

SHAPES = {
    "7b": {"vocab_size": 32_000, "sliding_window": None},
    "tiny": {
        "vocab_size": 4_000,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "sliding_window": None,
    },
}
BF16_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bf16 operations a second, from the makers' data sheets."""


def prepare(folder: Path, size: str, patients: int) -> tuple[Path, Path]:
    """A synthetic task, and a folder with configuration and tokenizer of the shape."""
    command = [sys.executable, "-m", "data.prepare", "synthetic", "--kind", "diagnosis", "--patients", str(patients)]
    subprocess.run([*command, "--output", folder / "task"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shape = SHAPES[size]
    tokenizer = train_tokenizer(load_task(folder / "task").definitions, 2000, 32_768)
    tokenizer.add_tokens([f"<filler {number}>" for number in range(shape["vocab_size"] - len(tokenizer))])
    tokenizer.save_pretrained(folder / "base")
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    AutoConfig.for_model("mistral", **shape, **special).save_pretrained(folder / "base")
    return folder / "task", folder / "base"


def block_weights(base: Path) -> int:
    """Weights without both embeddings."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base, trust_remote_code=False))
    total = sum(weight.numel() for weight in model.parameters())
    return total - sum(part.weight.numel() for part in (model.get_input_embeddings(), model.get_output_embeddings()))


LARGER_BATCHES = {
    "rank": ("LoRA, 64 patients at once", ["--training.batch_size", "64", "--training.gradient_accumulation", "1"]),
    "memorize": ("LoRA, 256 questions at once", ["--training.batch_size", "256"]),
}


def modes(stage: str, on_gpu: bool) -> dict[str, tuple[str | None, list[str]]]:
    """Name -> launch file and options; None where what it needs is not here."""
    single = "single_gpu" if on_gpu else "cpu"
    full = ["--model.lora.rank", "0"]
    found = {"LoRA": (single, []), "full, 8-bit AdamW": (None, []), "full, optimizer off the GPU": (None, [])}
    if on_gpu and importlib.util.find_spec("bitsandbytes"):
        found["full, 8-bit AdamW"] = (single, [*full, "--training.optimizer", "adamw_bnb_8bit"])
    if on_gpu and (ROOT / "launch" / "accelerate" / "zero3_offload.yaml").is_file():
        found["full, optimizer off the GPU"] = ("zero3_offload", full)
    if not on_gpu:
        return found | {"full": (single, full)}
    name, options = LARGER_BATCHES[stage]
    return found | {name: (single, options)}


def measure(stage: str, launch: str, options: list[str], task: Path, base: Path, dtype: str) -> dict[str, float] | str:
    """Tokens/s and peak GPU memory of the second step, or the trainer's error."""
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1"),
        *("--config_file", f"launch/accelerate/{launch}.yaml", f"{stage}/train.py"),
        *("--config", f"configs/{stage}/biomistral.yaml", "--task", str(task), "--output", str(task.parent / "run")),
        *("--model.base", str(base), "--model.weights", "random", "--model.dtype", dtype, "--dry-run", *options),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"([\d.]+) steps/s, ([\d,]+) tokens/s", done.stdout)
    if found is None:
        return reason(done.stderr)
    gpu = re.search(r"and ([\d.]+) GiB of its GPU", done.stdout)
    return {
        "steps_per_second": float(found[1]),
        "tokens_per_second": float(found[2].replace(",", "")),
        "gpu_gib": float(gpu[1]) if gpu else float("nan"),
    }


def reason(errors: str) -> str:
    """Why a command of the toolkit failed: its one sentence, else the last line that names an error other than that of
    the launcher, which only says that the command failed."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    sentences = [line for line in lines if line.startswith("error: ")]
    named = [line for line in lines if "Error" in line and "CalledProcessError" not in line]
    return (sentences or named or lines or ["it ended without a word"])[-1]


def utilisation(tokens_per_second: float, weights: int, is_full: bool, device: str) -> float | None:
    """Share of the device's bf16 operations; LoRA's own weights are few enough to leave out. None: unknown device."""
    peak = next((flops for name, flops in BF16_FLOPS.items() if name in device), None)
    return None if peak is None else tokens_per_second * weights * (6 if is_full else 4) / peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="7b")
    parser.add_argument("--stages", nargs="+", choices=("memorize", "rank"), default=("memorize", "rank"))
    parser.add_argument("--patients", type=int, default=600, help="of the synthetic cohort (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    arguments = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    if arguments.size == "7b" and not on_gpu:
        print("skipped: a 7B model needs a GPU, and there is none here (--size tiny runs the parts on the CPU)")
        return
    device = torch.cuda.get_device_name(0) if on_gpu else "CPU"
    with tempfile.TemporaryDirectory(prefix="mera-7b-") as folder:
        task, base = prepare(Path(folder), arguments.size, arguments.patients)
        weights = block_weights(base)
        print(f"{device}: {weights / 1e9:.2f} billion weights in the blocks", flush=True)
        for stage in arguments.stages:
            for name, (launch, options) in modes(stage, on_gpu).items():
                if launch is None:
                    print(
                        f"{stage}, {name}: skipped, it needs a GPU and bitsandbytes or launch/accelerate/zero3_offload"
                    )
                    continue
                found = measure(stage, launch, options, task, base, "bfloat16" if on_gpu else "float32")
                if isinstance(found, str):
                    print(f"{stage}, {name}: failed: {found}", flush=True)
                    continue
                share = utilisation(found["tokens_per_second"], weights, name.startswith("full"), device)
                record = {"stage": stage, "mode": name, "device": device} | found | {"model_flops_utilisation": share}
                print(json.dumps(record) if arguments.json else in_words(record), flush=True)


def in_words(record: dict) -> str:
    share = record["model_flops_utilisation"]
    return (
        f"{record['stage']}, {record['mode']}: {record['tokens_per_second']:,.0f} tokens/s, model FLOPs utilisation "
        f"{'-' if share is None else f'{share:.0%}'}, peak {record['gpu_gib']:.1f} GiB"
    )


if __name__ == "__main__":
    main()
