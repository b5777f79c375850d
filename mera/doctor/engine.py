"""An accelerate settings file, and what it makes of the memory of a training step.

Sizes follow "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (Rajbhandari et al., SC 2020): with
DeepSpeed, weights and gradients are in bf16 and the optimizer keeps 12 bytes for each trained weight (a float32 copy
and AdamW's two averages), of which each of n processes holds a part.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MASTER_AND_MOMENTS = 12
BUCKET_WEIGHTS = 500_000_000
"""DeepSpeed's default reduce and gather buckets, in weights."""
LIVE_WEIGHTS = 1_000_000_000
"""Weights that ZeRO-3 gathers at once by default."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    name: str
    processes: int = 1
    on_cpu: bool = False
    bf16: bool = False
    zero_stage: int | None = None
    fsdp: bool = False
    offload_optimizer: bool = False
    offload_weights: bool = False

    @property
    def precision(self) -> str:
        """How a step computes, as `--estimate-as` names it."""
        if self.zero_stage is not None and self.bf16:
            return "bfloat16"
        return "autocast" if self.bf16 else "float32"


def read_engine(path: str | Path | None, processes: int | None, has_gpu: bool) -> Engine:
    """The engine of an accelerate settings file; without one, a single process on what there is.

    Raises FileNotFoundError where `path` is missing, ValueError where it is no accelerate settings file.
    """
    if path is None:
        return Engine(name="one process", processes=processes or 1, on_cpu=not has_gpu, bf16=has_gpu)
    if not Path(path).is_file():
        raise FileNotFoundError(f"accelerate settings not found: {path}; launch/accelerate/ has some")
    settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(settings, dict) or "distributed_type" not in settings:
        raise ValueError(f"{path} is no accelerate settings file: it has no distributed_type")
    zero = settings.get("deepspeed_config") or {}
    is_zero = str(settings["distributed_type"]).upper() == "DEEPSPEED"
    return Engine(
        name=Path(path).stem,
        processes=processes or int(settings.get("num_processes") or 1),
        on_cpu=bool(settings.get("use_cpu")),
        bf16=settings.get("mixed_precision") == "bf16",
        zero_stage=int(zero.get("zero_stage", 2)) if is_zero else None,
        fsdp=str(settings["distributed_type"]).upper() == "FSDP",
        offload_optimizer=is_zero and zero.get("offload_optimizer_device") not in (None, "none"),
        offload_weights=is_zero and zero.get("offload_param_device") not in (None, "none"),
    )


def memory_of_a_device(engine: Engine, found: dict[str, Any], accumulates: bool) -> dict[str, int]:
    """Bytes on one device by purpose, from an estimate of mera/step_estimate.py; `host`: moved off it, for all
    processes of one machine. The purposes other than `host` add up to the peak.
    """
    trained, weights, gradients = found["trainable"], found["weight_bytes"], found["gradient_bytes"]
    together = found["accumulated_bytes"] if accumulates else found["peak_bytes"]
    activations = max(found["forward_bytes"], found["peak_bytes"] - gradients)
    n = engine.processes
    if engine.zero_stage is None and not engine.fsdp:
        grown = max(0, together - activations)
        memory = {"weights": weights, "gradients": grown, "optimizer": 2 * gradients, "activations": activations}
        return memory | {"buffers": gradients if n > 1 else 0, "host": 0}
    if engine.fsdp:
        # accelerate keeps float32 weights in pieces and gathers a layer at a time in bf16.
        pieces = {"weights": 4 * found["parameters"] // n, "gradients": 4 * trained // n, "optimizer": 8 * trained // n}
        return pieces | {"activations": activations, "buffers": 2 * min(found["parameters"], BUCKET_WEIGHTS), "host": 0}
    optimizer = MASTER_AND_MOMENTS * trained // n
    memory = {
        "weights": weights // n if engine.zero_stage == 3 else weights,
        "gradients": gradients // n if engine.zero_stage >= 2 else gradients,
        "optimizer": optimizer,
        "activations": activations,
        "buffers": 2 * 2 * min(trained, BUCKET_WEIGHTS),
        "host": 0,
    }
    if engine.zero_stage == 3:
        memory["buffers"] += 2 * min(found["parameters"], LIVE_WEIGHTS)
    for purpose, moved in (("optimizer", engine.offload_optimizer), ("weights", engine.offload_weights)):
        if moved:
            memory["host"] += memory[purpose] * n
            memory[purpose] = 0
    return memory


def peak(memory: dict[str, int]) -> int:
    """Bytes of one device at its fullest."""
    return sum(size for purpose, size in memory.items() if purpose != "host")


def checkpoint_bytes(found: dict[str, Any], lora: bool) -> tuple[int, int]:
    """A checkpoint to resume from (weights, with LoRA those that train, and the optimizer), and the final one."""
    saved = found["gradient_bytes"] if lora else found["weight_bytes"]
    return saved + MASTER_AND_MOMENTS * found["trainable"], found["weight_bytes"]


def steps(engine: Engine, found: dict[str, Any]) -> int:
    """Optimiser steps of the run with this engine's processes; the estimate's are those of one."""
    epoch = -(-found["examples"] // (found["step_examples"] * engine.processes))
    return round(found["run_steps"] / found["epoch_steps"] * epoch)
