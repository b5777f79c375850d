"""Whether a base model fits this machine, asked before gigabytes are read and a run folder is filled."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mera.system.errors import UserError
from mera.system.free_memory import free_host_bytes
from mera.training.engine import shares_out_parameters, uses_deepspeed, uses_gpu

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GIB = 2**30
SMALL = 2**30
"""Bytes of weights that are not worth asking about: where there is no memory for them, loading ends at once."""
TRAINED_COPIES = 3
"""Beside each trained weight: its gradient and AdamW's two averages, in the same type."""


def has_small_files(source: str) -> bool:
    """Whether `source` is a folder whose weights are not worth asking about; of a hub's model nothing is known yet."""
    return Path(source).is_dir() and sum(path.stat().st_size for path in Path(source).glob("*.safetensors")) < SMALL


def require_memory(empty: "PreTrainedModel", trains_all: bool, in_four_bits: bool) -> None:
    """Raise UserError where the weights of `empty` (a model on the meta device), or what their training keeps beside
    them, do not fit this machine. A lower bound: activations and buffers come on top (`mera doctor` reckons them)."""
    weights = sum(_bytes(name, weight, in_four_bits) for name, weight in empty.named_parameters())
    copies = TRAINED_COPIES if trains_all else 0
    if uses_gpu():
        if not in_four_bits:  # 4-bit weights are made on the GPU, a shard at a time
            _refuse_above(free_host_bytes(), weights, 0, "memory of this machine, through which the weights are read")
        if not (shares_out_parameters() or uses_deepspeed()):
            total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
            _refuse_above(total, weights, copies, f"memory of {torch.cuda.get_device_name()}")
        return
    _refuse_above(free_host_bytes(), weights, copies, "free memory of this machine")


def _bytes(name: str, weight: torch.Tensor, in_four_bits: bool) -> int:
    is_quantized = in_four_bits and weight.ndim == 2 and not ("embed" in name or "head" in name)
    return weight.numel() // 2 if is_quantized else weight.nbytes


def _refuse_above(available: int, weights: int, copies: int, where: str) -> None:
    needed = weights * (1 + copies)
    if needed <= available:
        return
    training = f", {needed / GIB:.1f} with the gradients and averages of all that trains" if copies else ""
    remedy = "train LoRA (--model.lora.rank 32), " if copies else ""
    raise UserError(
        f"the base model takes {weights / GIB:.1f} GiB{training}, and {available / GIB:.1f} GiB are there ({where}): "
        f"{remedy}take 4 bits (--model.quantization nf4), a smaller base model, or share it out over GPUs "
        f"(launch/accelerate/zero3.yaml); `mera doctor` reckons what a recipe needs"
    )
