"""Private names of TRL: its chunked loss, made to allocate on the CPU what it allocates on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from mera.training.private_api.private_name import PrivateName

COMPACT_LOSS = PrivateName(
    library="trl",
    name="trl.trainer.utils._use_triton",
    reason="replaced, so that `mera doctor` reckons with the loss that TRL takes on a GPU",
    seen_in="1.16",
    remedy="see which positions SFTTrainer.compute_loss takes on a GPU now, in gpu_kernels_of_trl",
)
TILES = tuple(
    PrivateName(
        library="trl",
        name=f"trl.kernels.chunked_logprob.{name}",
        reason="replaced by what allocates nothing, as TRL's kernel on a GPU does, for the memory of `mera doctor`",
        seen_in="1.16",
        remedy="see what a tile of the loss allocates now, in gpu_kernels_of_trl",
    )
    for name in ("_forward_tile", "_backward_tile", "_addmm_fp32")
)


@contextmanager
def gpu_kernels_of_trl() -> Iterator[None]:
    """Within it TRL's chunked loss allocates, on tensors without values, what it allocates on a GPU.

    There it multiplies only the positions that carry loss by the output matrix, and its kernels work on the products in
    place; elsewhere it takes all positions, and each operation makes a tensor of its own.
    """
    for name in (COMPACT_LOSS, *TILES):
        name.require()
    from trl.kernels import chunked_logprob
    from trl.trainer import utils as trl_utils

    with (
        _replaced(trl_utils, "_use_triton", lambda device: True),
        _replaced(chunked_logprob, "_forward_tile", _in_place),
        _replaced(chunked_logprob, "_backward_tile", _in_place),
        _replaced(chunked_logprob, "_addmm_fp32", _in_place),
    ):
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _in_place(*_: object, **__: object) -> None:
    """In the place of a kernel that allocates nothing, where tensors have no values."""
