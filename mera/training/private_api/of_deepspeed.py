"""Private names of DeepSpeed: parameters that ZeRO-3 keeps in pieces and fetches ahead; what it compiles on a CPU."""

import importlib
import sys
from collections.abc import Sequence

from torch import nn

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
