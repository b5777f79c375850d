"""Private names of accelerate: how a process learns its engine, and how FSDP starts on the CPU."""

from accelerate import DistributedType, PartialState

from mera.training.private_api.private_name import PrivateName

DISTRIBUTED_TYPE = PrivateName(
    library="accelerate",
    name="accelerate.state",
    attribute="distributed_type",
    reason="written for processes on the CPU, for which accelerate does not turn FSDP on otherwise",
    seen_in="1.15",
    remedy="see how AcceleratorState turns FSDP on now, in count_as_gpu_processes",
)
LAUNCH_VARIABLES = tuple(
    PrivateName(
        library="accelerate",
        name="accelerate.utils.launch",
        attribute=name,
        reason="how `accelerate launch` tells a process its engine, before an Accelerator is made",
        seen_in="1.15",
        remedy="read what `accelerate launch` sets now, in mera/training/engine.py",
    )
    for name in (
        *("ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_ZERO_STAGE"),
        "ACCELERATE_USE_FSDP",
    )
)


def count_as_gpu_processes(state: PartialState) -> None:
    """Let processes on the CPU call themselves processes with GPUs, so that accelerate turns FSDP on for them."""
    DISTRIBUTED_TYPE.require()
    state.distributed_type = DistributedType.MULTI_GPU  # all instances of PartialState share their attributes
