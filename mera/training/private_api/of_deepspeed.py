"""Private names of DeepSpeed: parameters that ZeRO-3 keeps in pieces and fetches ahead, what it compiles on a CPU, and
how it loads a universal checkpoint."""

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mera.training.private_api.private_name import PrivateName

PREFETCHES = PrivateName(
    library="deepspeed",
    name="deepspeed.runtime.zero.parameter_offload",
    attribute="ds_inflight_param_registry",
    reason="parameters that ZeRO-3 fetches ahead, which cannot be gathered before they have come",
    seen_in="0.19",
    remedy="wait for them in the way that DeepSpeed does now, in wait_for_prefetches",
)
ZERO_ID = PrivateName(
    library="deepspeed",
    name="deepspeed.runtime.zero.partition_parameters",
    attribute="ds_id",
    reason="marks a parameter that ZeRO-3 keeps in pieces",
    seen_in="0.19",
    remedy="ask in the way that deepspeed.runtime.zero.utils.is_zero_param does now, in zero_pieces",
)
COMPILED_REDUCTION = PrivateName(
    library="deepspeed",
    name="deepspeed.comm.torch",
    attribute="build_shm_op",
    reason="compiles a reduction for inference on CPUs in C++, for a minute, which training never calls",
    seen_in="0.19",
    remedy="see whether deepspeed.init_distributed still compiles one, in start_deepspeed_on_the_cpu",
)
LOADS_UNIVERSAL = PrivateName(
    library="deepspeed",
    name="deepspeed.runtime.engine",
    attribute="_config.load_universal_checkpoint",
    reason="whether an engine reads universal checkpoints, which one resume does and the next need not",
    seen_in="0.19",
    remedy="turn it on in the way that DeepSpeedEngine.load_universal_checkpoint asks for now, in load_universal",
)
PIECES = PrivateName(
    library="deepspeed",
    name="deepspeed.runtime.base_optimizer",
    attribute="_hp_mapping",
    reason="marks a parameter of which this process has a piece under ZeRO-1 and ZeRO-2",
    seen_in="0.19",
    remedy="see whether DeepSpeed still fails to load a group of which a process has no piece, in _groups_with_pieces",
)


def start_deepspeed_on_the_cpu() -> None:
    """Make DeepSpeed's process group over gloo, without compiling anything."""
    import deepspeed

    COMPILED_REDUCTION.require()
    backend = importlib.import_module("deepspeed.comm.torch")  # `from deepspeed.comm import torch` is torch itself
    name = COMPILED_REDUCTION.attribute
    assert name is not None
    compiles = getattr(backend, name)
    setattr(backend, name, lambda: None)
    try:
        deepspeed.init_distributed("gloo")
    finally:
        setattr(backend, name, compiles)


def zero_pieces(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that DeepSpeed's ZeRO-3 keeps in pieces; none under another engine."""
    if "deepspeed" in sys.modules:
        ZERO_ID.require()
    return [parameter for parameter in module.parameters() if hasattr(parameter, "ds_id")]


def wait_for_prefetches(model: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
    """Wait until those of `parameters` are there that ZeRO-3 is fetching ahead for `model`."""
    PREFETCHES.require()
    on_their_way = getattr(model, "ds_inflight_param_registry", {})
    for parameter in parameters:
        if parameter in on_their_way:
            on_their_way.pop(parameter).wait()


def load_universal(engine: Any, folder: Path, tag: str) -> None:
    """Read weights and optimizer of the universal checkpoint `folder`/`tag` into a DeepSpeed engine of any number of
    processes; every process must call it. Learning rates stay as they are: the schedule sets them.

    What DeepSpeed 0.19 leaves wrong is mended here. ZeRO-1 and ZeRO-2 fail where a process has no piece of a group of
    few numbers. ZeRO-3 gives every group the settings of the first one, and the step counters of all groups become one
    tensor, which each group's step then increments. The counters are left on the CPU, where a fused optimizer on a GPU
    cannot read them.
    """
    from deepspeed.utils import logger

    LOADS_UNIVERSAL.require()
    optimizer = engine.optimizer.optimizer
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    engine._config.load_universal_checkpoint = True
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that no model parallelism was asked for
    try:
        with _groups_with_pieces(engine.optimizer):
            engine.load_checkpoint(str(folder), tag=tag)
    finally:
        engine._config.load_universal_checkpoint = False
        logger.setLevel(level)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    beside_weights = optimizer.defaults.get("fused") or optimizer.defaults.get("capturable")
    for parameter, state in optimizer.state.items():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].clone().to(parameter.device if beside_weights else "cpu")


@contextmanager
def _groups_with_pieces(zero: Any) -> Iterator[None]:
    """Within it an optimizer of ZeRO-1 or ZeRO-2 has only those groups of parameters of which this process has a piece;
    one of ZeRO-3, where each has a piece of every parameter, has all."""
    PIECES.require()
    all_groups, all_parameters = zero.optimizer.param_groups, getattr(zero, "bit16_groups", None)
    if all_parameters is None:
        yield
        return
    has_piece = [any(parameter._hp_mapping is not None for parameter in group) for group in all_parameters]
    zero.optimizer.param_groups = list(compress(all_groups, has_piece))
    zero.bit16_groups = list(compress(all_parameters, has_piece))
    try:
        yield
    finally:
        zero.optimizer.param_groups, zero.bit16_groups = all_groups, all_parameters
