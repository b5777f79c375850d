"""An accelerate settings file, and what it makes of the memory of a training step.

Sizes follow "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (Rajbhandari et al., SC 2020): with
DeepSpeed, weights and gradients are in bf16 and the optimizer keeps 12 bytes for each trained weight (a float32 copy
and AdamW's two averages), of which each of n processes holds a part.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from mera.doctor.step_estimate import StepEstimate
from mera.system.errors import UserError
from mera.training.steps import raised_epochs

MASTER_AND_MOMENTS = 12
BUCKET_WEIGHTS = 500_000_000
"""DeepSpeed's bucket for gradients on their way, in weights; a GPU gives all of it, however small
the model; a host only what is written to."""
LIVE_WEIGHTS = 1_000_000_000
"""Weights that ZeRO-3 gathers at once by default."""
SUBGROUP_WEIGHTS = 1_000_000_000
"""Weights that ZeRO-3 updates at once by default."""


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
        if (self.zero_stage is not None or self.fsdp) and self.bf16:
            return "bfloat16"
        return "autocast" if self.bf16 else "float32"

    @property
    def in_pieces(self) -> bool:
        """Whether each parameter is kept in pieces, so that a trainer may compute its loss in another way."""
        return self.zero_stage == 3 or self.fsdp


def read_engine(path: str | Path | None, processes: int | None, has_gpu: bool) -> Engine:
    """The engine of an accelerate settings file; without one, a single process on what there is.

    Raises FileNotFoundError where `path` is missing, UserError where it is no accelerate settings file.
    """
    if path is None:
        count = processes or 1
        return Engine(name="one process" if count == 1 else "DDP", processes=count, on_cpu=not has_gpu, bf16=has_gpu)
    if not Path(path).is_file():
        raise FileNotFoundError(f"accelerate settings not found: {path}; launch/accelerate/ has some")
    settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(settings, dict) or "distributed_type" not in settings:
        raise UserError(f"{path} is no accelerate settings file: it has no distributed_type")
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


def memory_of_a_device(
    engine: Engine, estimate: StepEstimate, accumulates: bool, eight_bit: bool = False
) -> dict[str, int]:
    """Bytes on one device by purpose; `host`: moved off it, for all processes of one machine. The purposes other than
    `host` add up to the peak.

    `eight_bit`: the optimizer keeps its averages in one byte each, but those of embeddings in four (bitsandbytes).
    """
    if engine.zero_stage is not None:
        return _under_deepspeed(engine, estimate, eight_bit)
    trained, n = estimate.trainable, engine.processes
    if engine.fsdp:
        # accelerate keeps what is trained in float32, in pieces. Whole, in bf16, are a layer and what is gathered ahead
        # of its turn, the next layer or the embeddings, and a layer's gradients twice, as made and on their way.
        frozen = estimate.weight_bytes - estimate.gradient_bytes
        ahead = max(estimate.layer_parameters, estimate.outside_unit)
        return {
            "weights": (4 * trained + frozen) // n,
            "gradients": 4 * trained // n,
            "optimizer": _moment_bytes(estimate, 8 * trained, eight_bit) // n,
            "activations": _activations(estimate),
            "buffers": 2 * (estimate.layer_parameters + ahead) + 2 * 2 * estimate.layer_trained,
            "host": n * estimate.host_bytes,
        }
    activations = max(estimate.forward_bytes, estimate.peak_bytes - estimate.gradient_bytes)
    together = estimate.accumulated_bytes if accumulates else estimate.peak_bytes
    return {
        "weights": estimate.weight_bytes,
        "gradients": max(0, together - activations),
        "optimizer": _moment_bytes(estimate, 2 * estimate.gradient_bytes, eight_bit),
        "activations": activations,
        "buffers": estimate.gradient_bytes if n > 1 else 0,
        "host": n * estimate.host_bytes,
    }


def _under_deepspeed(engine: Engine, estimate: StepEstimate, eight_bit: bool) -> dict[str, int]:
    """Of a step's two parts, the backward pass and the optimizer's update, the one that needs more.

    Moved with the optimizer: the gradients, in bf16 and, for the update, in float32.
    """
    assert engine.zero_stage is not None, "DeepSpeed has a stage of ZeRO"
    weights, gradients = estimate.weight_bytes, estimate.gradient_bytes
    trained, n, activations = estimate.trainable, engine.processes, _activations(estimate)
    size = 2 if engine.bf16 else 4
    backward = size * (min(trained, BUCKET_WEIGHTS) if engine.on_cpu else BUCKET_WEIGHTS)
    if engine.zero_stage == 3:
        backward += size * min(estimate.parameters, LIVE_WEIGHTS)
    piece = trained // n
    update = 4 * (min(piece, SUBGROUP_WEIGHTS) if engine.zero_stage == 3 else piece)
    if engine.offload_optimizer:
        update = 0
    memory = {
        "weights": weights // n if engine.zero_stage == 3 else weights,
        "gradients": gradients // n if engine.zero_stage >= 2 else gradients,
        "optimizer": 4 * piece + _moment_bytes(estimate, 8 * trained, eight_bit) // n,
        "activations": activations,
        "buffers": max(backward, update - activations),
        "host": n * estimate.host_bytes,
    }
    moved = ["optimizer", "gradients"] if engine.offload_optimizer else []
    for purpose in moved + (["weights"] if engine.offload_weights else []):
        memory["host"] += memory[purpose] * n
        memory[purpose] = 0
    if engine.offload_optimizer:
        memory["host"] += 4 * trained
    return memory


def _activations(estimate: StepEstimate) -> int:
    """The most that a step takes where gradients go elsewhere as soon as they are there: what a step that adds to
    gradients takes beside them. (At the peak of a step that makes them, activations may be past their own.)"""
    return estimate.accumulated_bytes - estimate.gradient_bytes


def _moment_bytes(estimate: StepEstimate, plain: int, eight_bit: bool) -> int:
    """AdamW's two averages of every trained weight; `plain`: where they are not kept in 8 bits."""
    if not eight_bit:
        return plain
    return 2 * (estimate.trainable - estimate.trained_embeddings) + 8 * estimate.trained_embeddings


def peak(memory: dict[str, int]) -> int:
    """Bytes of one device at its fullest."""
    return sum(size for purpose, size in memory.items() if purpose != "host")


def checkpoint_bytes(estimate: StepEstimate, lora: bool) -> tuple[int, int]:
    """A checkpoint to resume from (weights, with LoRA those that train, and the optimizer), and the final one."""
    saved = estimate.gradient_bytes if lora else estimate.weight_bytes
    return saved + MASTER_AND_MOMENTS * estimate.trainable, estimate.merged_bytes


def steps(engine: Engine, estimate: StepEstimate) -> int:
    """Optimiser steps of the run with this engine's processes; the estimate's are those of one."""
    epoch = -(-estimate.examples // (estimate.step_examples * engine.processes))
    return math.ceil(raised_epochs(estimate.asked_epochs, epoch, estimate.min_steps) * epoch)
