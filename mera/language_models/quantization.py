"""4-bit base weights (QLoRA, Dettmers et al. 2023): linear layers in NF4, frozen, beside adapters that train.

A weight is one of 16 values, half a byte, times the largest absolute value of its block of 64; those are kept in 8
bits, in blocks of 256 (double quantization), so that a weight takes 0.516 bytes in all. What is computed with it is
bf16. Embeddings, the output layer, norms and biases stay as they are. bitsandbytes does it, on GPUs and on the CPU.

Once it is quantized, a model passes for a plain one: no mark of a library says otherwise, since with such marks TRL
rounds what trains to bf16, and saving writes 4-bit weights.
"""

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.quantizers import HfQuantizer

from mera.system.errors import UserError
from mera.training.private_api import BLOCK_MAXIMA, BLOCK_WEIGHTS, keep_layout, quantized_layer, quantized_weight

if TYPE_CHECKING:
    from peft.tuners.lora.bnb import Linear4bit as LoraLayer4bit

Quantization = Literal["none", "nf4"]
COMPUTE_TYPE = torch.bfloat16
NOT_INSTALLED = "model.quantization nf4 needs bitsandbytes, which is not installed: pip install 'bitsandbytes>=0.49'"
NOT_UNDER_FSDP = (
    "model.quantization nf4 does not train under FSDP2, which cannot keep 4-bit weights in pieces: use "
    "launch/accelerate/single_gpu.yaml, ddp.yaml or zero2.yaml (7 billion weights take 4 GB on each GPU)"
)


def require_four_bits() -> None:
    """Raises UserError, with what to do, where bitsandbytes is missing or FSDP2 is to train."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(NOT_INSTALLED)
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise UserError(NOT_UNDER_FSDP)


def loading_in_four_bits(device: torch.device) -> dict[str, Any]:
    """Arguments of `from_pretrained` that quantize each weight as soon as it is read, so that no whole copy of the
    model is ever in memory; `mark_as_plain` comes after it."""
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=COMPUTE_TYPE,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def mark_as_plain(model: PreTrainedModel) -> None:
    """Take from a model that `from_pretrained` quantized every mark that says so."""
    quantizer = cast("HfQuantizer", model.hf_quantizer)  # it was loaded in 4 bits
    quantizer.remove_quantization_config(model)
    for name in ("is_loaded_in_4bit", "hf_device_map"):
        if hasattr(model, name):
            delattr(model, name)
    for layer in model.modules():
        if is_quantized(layer):
            keep_layout(layer)


def quantize(model: PreTrainedModel) -> None:
    """Quantize the linear layers of a model that is in memory, in place and on its device, all but the output layer;
    on the meta device only their class changes."""
    head = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if type(layer) is nn.Linear and layer is not head:
            model.set_submodule(name, quantized_layer(layer, COMPUTE_TYPE))


def require_whole_blocks(model: PreTrainedModel) -> None:
    """Raises UserError where there is no GPU and rows of a quantized layer's weight do not hold whole blocks: on a CPU
    bitsandbytes (0.50, measured) reads such rows with the maxima of other blocks."""
    if torch.cuda.is_available():
        return
    sizes = {cast("nn.Linear", layer).in_features for layer in model.modules() if is_quantized(layer)}
    broken = sorted(size for size in sizes if size % BLOCK_WEIGHTS)
    if broken:
        raise UserError(
            f"model.quantization nf4 on a CPU needs layers whose number of inputs is a multiple of {BLOCK_WEIGHTS}, "
            f"and this model has some with {', '.join(map(str, broken))}: train it on a GPU, or with "
            f"model.quantization none"
        )


def is_quantized(layer: nn.Module | None) -> bool:
    """Whether `layer` is a linear layer in 4 bits."""
    return isinstance(layer, nn.Linear) and hasattr(layer.weight, "quant_state")


def has_quantized_layers(model: nn.Module) -> bool:
    return any(is_quantized(layer) for layer in model.modules())


@contextmanager
def marked_for_adapters(model: PreTrainedModel) -> Iterator[None]:
    """Within it PEFT sees that the layers of `model` are in 4 bits, where they are."""
    if not has_quantized_layers(model):
        yield
        return
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # a mark on the model, no part of it
    try:
        yield
    finally:
        del model.is_loaded_in_4bit


def merge_quantized_layers(model: nn.Module) -> None:
    """Put plain layers, on the CPU, in the place of those in 4 bits, with their adapters merged where they have one.

    A merged weight is the sum, in float32, of the weight that the 4 bits stand for and of the adapter's product,
    rounded to the type that the weight was read in. A layer at a time leaves its device, and its 4 bits are gone: a
    whole copy of the model needs to fit the host's memory, not the GPU's. The rest of the model follows to the CPU.
    """
    if not has_quantized_layers(model):
        return
    # By their names: a list of the layers would keep all of them until the last is merged.
    with_adapter = [name for name, layer in model.named_modules() if is_quantized(getattr(layer, "base_layer", None))]
    for name in with_adapter:
        model.set_submodule(name, _merged_layer(model.get_submodule(name)))
        return_freed_memory()
    for name in [name for name, layer in model.named_modules() if is_quantized(layer)]:
        model.set_submodule(name, _plain_layer(cast("nn.Linear", model.get_submodule(name))))
        return_freed_memory()
    model.to("cpu")


def return_freed_memory() -> None:
    """Have the GNU C library give freed memory back to the system: of blocks up to 32 MiB, such as the largest layer's
    4 bits in 7 billion weights are, it keeps what is not at the end of its heap."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _merged_layer(layer: nn.Module) -> nn.Linear:
    """Of a layer of PEFT's around one in 4 bits."""
    wrapped = cast("LoraLayer4bit", layer)
    (adapter,) = wrapped.active_adapters
    return _plain_layer(cast("nn.Linear", wrapped.base_layer), wrapped.get_delta_weight(adapter))


@torch.no_grad()
def _plain_layer(layer: nn.Linear, delta: Tensor | None = None) -> nn.Linear:
    """A plain layer with the weight that the 4 bits of `layer` stand for, and `delta`; `layer` loses its own."""
    weight, kind = quantized_weight(layer)
    if delta is not None:
        weight = weight.float() + delta.float()
    plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
    plain.weight = nn.Parameter(weight.to(kind).cpu(), requires_grad=False)
    if layer.bias is not None:
        plain.bias = nn.Parameter(layer.bias.detach().to(kind).cpu(), requires_grad=False)
    # The weight refers to its layer: until Python looked for circles, both would stay, 3.6 GiB of 7 billion weights.
    del layer.weight
    return plain


def num_weights(weight: Tensor) -> int:
    """How many weights a parameter holds: more than its own numbers where two share a byte."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else state.shape.numel()


def num_bytes(weight: Tensor) -> int:
    """Bytes of a parameter, with the maxima of its blocks where it is in 4 bits."""
    stored = weight.numel() * weight.element_size()
    state = getattr(weight, "quant_state", None)
    if state is None:
        return stored
    maxima = -(-state.shape.numel() // BLOCK_WEIGHTS)
    return stored + maxima + 4 * -(-maxima // BLOCK_MAXIMA)


def plain_bytes(weight: Tensor) -> int:
    """Bytes of a parameter that is in 4 bits no more."""
    state = getattr(weight, "quant_state", None)
    return num_weights(weight) * (weight.element_size() if state is None else state.dtype.itemsize)
