"""The engine a process trains under: one process, DDP, DeepSpeed ZeRO or FSDP, on GPUs or, over gloo, on the CPU.

`accelerate launch` tells the engine by environment variables; the functions here make a machine without a GPU follow
them too, which accelerate and DeepSpeed do not do by themselves.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
import torch.distributed
from accelerate import Accelerator, DistributedType, PartialState
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import Trainer

from mera.system.errors import UserError
from mera.training.private_api import (
    count_as_gpu_processes,
    multiplies_bfloat16,
    own_parameters,
    start_deepspeed_on_the_cpu,
    wait_for_prefetches,
    zero_pieces,
)

NO_CPU_BF16_UNDER_DEEPSPEED = "training.cpu_bf16 is not for DeepSpeed on the CPU; set it to false, or use ddp.yaml"
CPU_BF16_IS_SLOW = (
    "training.cpu_bf16: this processor has no instructions for bfloat16, and a step would take many times as long; it "
    "computes in float32"
)

_NO_SIGNAL = 1_000
"""Larger than the number of any."""


def prepare_engine(cpu_bf16: bool = False) -> bool:
    """Set up precision, and on the CPU the process group; returns whether a GPU trains.

    bf16 is used where the GPU has it. Without a GPU everything is float32, whatever the launch file says, unless
    `cpu_bf16` asks for autocast to bf16 and the processor has instructions for it, which is said where it has none;
    raises UserError where DeepSpeed would have to do that.
    Call it after the model is built: parts of transformers write files in the first process alone once a group exists.
    """
    on_gpu = uses_gpu()
    bf16 = torch.cuda.is_bf16_supported() if on_gpu else computes_in_bf16(cpu_bf16)
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if bf16 else "no"
    if on_gpu:
        return True
    if bf16 and uses_deepspeed():
        raise UserError(NO_CPU_BF16_UNDER_DEEPSPEED)
    if cpu_bf16 and not bf16 and os.environ.get("RANK", "0") == "0":
        print(CPU_BF16_IS_SLOW, file=sys.stderr)
    tell_deepspeed_of_the_cpu()
    if uses_deepspeed() and not torch.distributed.is_initialized():
        start_deepspeed_on_the_cpu()
    return False


def computes_in_bf16(cpu_bf16: bool) -> bool:
    """Whether a CPU that is asked by `cpu_bf16` to compute in bf16 does: one without instructions for it does not."""
    return cpu_bf16 and multiplies_bfloat16()


def tell_deepspeed_of_the_cpu() -> None:
    """Without a GPU: DeepSpeed, which other libraries import too, looks for none and warns of none."""
    if not uses_gpu():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def uses_gpu() -> bool:
    """Whether there is a GPU and `accelerate launch` was not told to leave it alone (`use_cpu`, as in cpu.yaml)."""
    return torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "false").lower() not in ("true", "1")


def uses_deepspeed() -> bool:
    """Whether `accelerate launch` was told to use DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def uses_fsdp() -> bool:
    """Whether `accelerate launch` was told to use FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def shares_out_parameters() -> bool:
    """Whether `accelerate launch` was told to keep each parameter in pieces: ZeRO-3 or FSDP."""
    zero3 = uses_deepspeed() and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"
    return zero3 or uses_fsdp()


def let_fsdp_start_on_the_cpu() -> None:
    """Let accelerate turn FSDP2 on for processes without a GPU. Call it before an `Accelerator` is made; with a GPU, or
    under another engine, it does nothing.

    FSDP2 works over gloo as over nccl, but accelerate turns it on only where `PartialState.distributed_type` is one
    with GPUs, and otherwise ignores that it was asked for. So that type is set to MULTI_GPU here. The device (CPU) and
    the process group (gloo) have been set up before and do not change.
    """
    state = PartialState()
    if uses_fsdp() and state.distributed_type == DistributedType.MULTI_CPU:
        count_as_gpu_processes(state)


def keep_precise_outputs(accelerator: Accelerator) -> None:
    """Under FSDP2 in bf16, leave the outputs of the model as they are; elsewhere do nothing. Call it before training.

    accelerate has FSDP2 round what the whole model returns to bf16: the loss, and cosines that are still to be divided
    by a small temperature.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, output_dtype=None)


def zero_stage(trainer: Trainer) -> int:
    """DeepSpeed's ZeRO stage; 0 without DeepSpeed."""
    return trainer.accelerator.state.deepspeed_plugin.zero_stage if trainer.is_deepspeed_enabled else 0


def has_whole_parameters(trainer: Trainer) -> bool:
    """Whether every process has all parameters whole: not so under ZeRO-3 and FSDP."""
    return zero_stage(trainer) < 3 and not trainer.is_fsdp_enabled


def engine_name(trainer: Trainer) -> str:
    """One process, DDP, ZeRO-n or FSDP2, as messages call it."""
    if trainer.is_deepspeed_enabled:
        return f"ZeRO-{zero_stage(trainer)}"
    if trainer.is_fsdp_enabled:
        return "FSDP2"
    return "DDP" if trainer.args.world_size > 1 else "one process"


def lost_steps(trainer: Trainer) -> str | None:
    """What to say where weights train in bfloat16 and nobody keeps them in float32 beside: in one process and under
    DDP; None elsewhere."""
    if engine_name(trainer) not in ("one process", "DDP"):
        return None
    assert trainer.model is not None, "a trainer of ours is built with its model"
    if all(weight.dtype != torch.bfloat16 for weight in trainer.model.parameters() if weight.requires_grad):
        return None
    return (
        "all weights train in bfloat16, in which a step below a 256th of a weight is rounded away: --model.dtype "
        "float32 keeps them (a GPU multiplies in bfloat16 all the same), and so do zero2, zero3 and fsdp2"
    )


@contextlib.contextmanager
def whole_parameters(model: nn.Module, part: nn.Module | None = None) -> Iterator[None]:
    """Within it every process can read the parameters of `part`, a submodule of `model`, or, without `part`, the first
    process those of the whole model, also where ZeRO-3 or FSDP2 keeps them in pieces.

    All must enter it; `model` is the one that the engine was given.
    """
    if isinstance(model, FSDPModule):
        with _whole_fsdp_parameters(model, part):
            yield
        return
    parts = zero_pieces(part or model)
    if not parts:
        yield
        return
    import deepspeed

    # DeepSpeed prefetches parameters in the order of the last pass. One that this pass did not use is still being
    # fetched, and can be neither gathered nor released before that has ended.
    wait_for_prefetches(model, parts)
    with deepspeed.zero.GatheredParameters(parts):
        yield


@contextlib.contextmanager
def _whole_fsdp_parameters(model: nn.Module, part: nn.Module | None) -> Iterator[None]:
    """Within it whole copies of the parameters, on the CPU, stand in the place of FSDP2's pieces. Where those of the
    whole model are asked for, only the first process gets values, the others meta tensors: one copy on the host."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # parameters left whole by a pass are in its (lower) precision, the pieces in float32
    keep = part is not None or torch.distributed.get_rank() == 0
    pieces: list[tuple[nn.Module, str, nn.Parameter]] = [
        (module, name, parameter)
        for module in (part or model).modules()
        for name, parameter in own_parameters(module).items()
        if parameter is not None and isinstance(parameter, DTensor)
    ]
    whole: dict[nn.Parameter, nn.Parameter] = {}  # tied ones stay one
    for _, _, piece in pieces:
        if piece not in whole:
            values = cast("DTensor", piece.detach()).full_tensor().to("cpu" if keep else "meta")
            whole[piece] = nn.Parameter(values, piece.requires_grad)
    for module, name, piece in pieces:
        own_parameters(module)[name] = whole[piece]
    try:
        yield
    finally:
        for module, name, piece in pieces:
            own_parameters(module)[name] = piece


def all_agree_to(value: bool, device: torch.device) -> bool:
    """Whether any process says True; every process must ask. For a decision that all must take in the same step."""
    return signal_of_any(1 if value else None, device) is not None


def signal_of_any(received: int | None, device: torch.device) -> int | None:
    """The signal that any process has received, None where none has; every process must ask. For a decision that all
    must take in the same step. Of several the one of the smallest number: Ctrl-C, where a launcher passes it on to some
    as SIGTERM."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return received
    flag = torch.tensor(_NO_SIGNAL if received is None else received, device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MIN)
    agreed = int(flag.item())
    return None if agreed == _NO_SIGNAL else agreed
