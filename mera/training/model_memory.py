"""Whether a base model fits this machine, asked before gigabytes are read and a run folder is filled."""

from dataclasses import replace
from pathlib import Path

import psutil
import torch
from transformers import PreTrainedModel

from mera.language_models.models import ModelConfig, load_base_model, resolve_source
from mera.system.errors import UserError
from mera.training.engine import shares_out_parameters, uses_deepspeed, uses_gpu

GIB = 2**30
SMALL = GIB
"""Bytes of weights that are not worth asking about: where there is no memory for them, loading ends at once."""
TRAINED_COPIES = 3
"""Beside each trained weight: its gradient and AdamW's two averages, in the same type."""
CGROUP = Path("/sys/fs/cgroup")
"""Of a container its own limits stand here (Linux, cgroup version 2; of version 1 in the folder `memory`)."""

_FILE_PAGES = ("active", "inactive")


def require_memory(config: ModelConfig) -> None:
    """Raise UserError where the base model's weights, or what training keeps beside them, do not fit this machine.

    A lower bound: activations and buffers come on top (`mera doctor` reckons them). Of a model in 4 bits the one that
    it is merged into must fit the host's memory too. Nothing is asked of small folders, GGUF files and models without
    loaded weights.
    """
    if config.base is None or config.gguf_file or config.weights != "load":
        return
    if _has_small_files(resolve_source(config.base, "model.base")):
        return
    empty, _ = load_base_model(replace(config, weights="none", quantization="none"), ())
    in_four_bits = config.quantization != "none"
    weights = _bytes(empty, in_four_bits)
    if in_four_bits:
        _refuse_merging(free_host_bytes(), _bytes(empty, in_four_bits=False))
    copies = 0 if config.lora.rank else TRAINED_COPIES
    if not uses_gpu():
        _refuse_above(free_host_bytes(), weights, copies, in_four_bits, "free memory of this machine")
        return
    if not in_four_bits:  # 4-bit weights are made on the GPU, a shard at a time
        where = "memory of this machine, through which the weights are read"
        _refuse_above(free_host_bytes(), weights, 0, False, where)
    if not (shares_out_parameters() or uses_deepspeed()):
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        _refuse_above(total, weights, copies, in_four_bits, f"memory of {torch.cuda.get_device_name()}")


def free_host_bytes() -> int:
    """What the system can give without swapping, and, in a container, its limit allows. Pages of files that were read
    or written (a base model just downloaded) count as free in both: the system gives them up when memory is asked for.
    """
    free = psutil.virtual_memory().available
    in_container = [
        _free_in(CGROUP, "memory.max", "memory.current", ""),
        _free_in(CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ]
    return max(0, min([free, *(each for each in in_container if each is not None)]))


def _free_in(folder: Path, limit: str, usage: str, prefix: str) -> int | None:
    """What the container's files of these names leave; None where there are none, or no limit. Bytes that hold pages of
    files, which `memory.stat` counts under names with this `prefix`, are free; shared memory is not among them."""
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        used = int((folder / usage).read_text(encoding="ascii"))
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        counts = {name: int(count) for name, count in (line.split() for line in lines)}
        return None if most == "max" else int(most) - used + sum(counts[f"{prefix}{kind}_file"] for kind in _FILE_PAGES)
    except (OSError, ValueError, KeyError):
        return None


def _has_small_files(source: str) -> bool:
    """Whether `source` is a folder whose weights are not worth asking about; of a hub's model nothing is known yet."""
    return Path(source).is_dir() and sum(path.stat().st_size for path in Path(source).glob("*.safetensors")) < SMALL


def _bytes(model: PreTrainedModel, in_four_bits: bool) -> int:
    """Of all weights; in four bits those of linear layers but the output layer, as bitsandbytes puts them."""
    quantized: set[torch.Tensor] = set()
    if in_four_bits:
        output = model.get_output_embeddings()
        layers = (module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not output)
        quantized = {layer.weight for layer in layers}
    return sum(weight.numel() // 2 if weight in quantized else weight.nbytes for _, weight in model.named_parameters())


def _refuse_merging(available: int, merged: int) -> None:
    if merged > available:
        raise UserError(
            f"a base model in 4 bits is merged at the end into one of {merged / GIB:.1f} GiB, in the memory of this "
            f"machine, of which {available / GIB:.1f} GiB are free: free some, or take a smaller base model"
        )


def _refuse_above(available: int, weights: int, copies: int, in_four_bits: bool, where: str) -> None:
    needed = weights * (1 + copies)
    if needed <= available:
        return
    training = f", {needed / GIB:.1f} with the gradients and averages of all that trains" if copies else ""
    remedy = "train LoRA (--model.lora.rank 32), " if copies else ""
    remedy += "" if in_four_bits else "take 4 bits (--model.quantization nf4), "
    raise UserError(
        f"the base model takes {weights / GIB:.1f} GiB{training}, and {available / GIB:.1f} GiB are there ({where}): "
        f"{remedy}take a smaller base model, or share it out over GPUs (launch/accelerate/zero3.yaml); `mera doctor` "
        f"reckons what a recipe needs"
    )
