"""Names of bitsandbytes' 4-bit layers that its documentation does not have."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mera.training.private_api.private_name import PrivateName

MODULES = "bitsandbytes.nn.modules"
BLOCK_WEIGHTS = 64
"""Weights that share a largest absolute value."""
BLOCK_MAXIMA = 256
"""Such values that share one of their own."""
QUANTIZED_STATE = PrivateName(
    library="bitsandbytes",
    name=MODULES,
    attribute="quant_state",
    reason="the maxima, the shape and the type behind a 4-bit weight",
    seen_in="0.50",
    remedy="ask a Params4bit in the way that Linear4bit.forward does now, in quantized_weight",
)
CPU_LAYOUT = PrivateName(
    library="bitsandbytes",
    name=MODULES,
    attribute="support_avx512bf16_for_cpu",
    reason="set to False: an evaluation on the CPU would repack 4-bit weights for good, and nothing could train then",
    seen_in="0.50",
    remedy="see what Linear4bit.forward does to its weight on a CPU now, in keep_layout",
)


def quantized_layer(layer: nn.Linear, compute_type: torch.dtype) -> nn.Linear:
    """`layer` in NF4 with double quantization, on its device, computing in `compute_type`. On the meta device it is
    marked with the shape and the type that it would have, and its weight stays as it is."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    QUANTIZED_STATE.require()
    quantized = Linear4bit(
        layer.in_features,
        layer.out_features,
        layer.bias is not None,
        compute_dtype=compute_type,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    weight: Any = Params4bit(
        layer.weight.detach(), requires_grad=False, compress_statistics=True, quant_type="nf4", module=quantized
    )
    quantized.weight = weight.to(device=layer.weight.device)
    quantized.bias = layer.bias
    quantized.requires_grad_(False)
    keep_layout(quantized)
    return quantized


def keep_layout(layer: nn.Module) -> None:
    """Have a 4-bit layer leave its weight as it is when it is asked on a CPU with bf16 instructions."""
    CPU_LAYOUT.require()
    layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # a mark on the layer


def quantized_weight(layer: nn.Linear) -> tuple[Tensor, torch.dtype]:
    """The weight that the 4 bits of `layer` stand for, (outputs, inputs), and the type that it had before."""
    from bitsandbytes.functional import dequantize_4bit

    QUANTIZED_STATE.require()
    weight: Any = layer.weight
    return dequantize_4bit(weight.data, weight.quant_state), weight.quant_state.dtype


def hollow_quantized_layer(layer: nn.Linear, empty: Callable[[tuple[int, ...], torch.dtype], Tensor]) -> None:
    """Give a 4-bit layer a weight made of what `empty` makes of a shape and a type; what it had may be a meta tensor
    that is no 4-bit weight yet."""
    from bitsandbytes.functional import QuantState

    QUANTIZED_STATE.require()
    weight: Any = layer.weight
    shape, kind = (
        (weight.shape, weight.dtype)
        if weight.quant_state is None
        else (
            weight.quant_state.shape,
            weight.quant_state.dtype,
        )
    )
    maxima = -(-shape.numel() // BLOCK_WEIGHTS)
    packed: Any = nn.Parameter(empty((-(-shape.numel() // 2), 1), torch.uint8), requires_grad=False)
    packed.quant_state = QuantState(
        absmax=empty((maxima,), torch.uint8),
        shape=shape,
        code=empty((16,), torch.float32),
        blocksize=BLOCK_WEIGHTS,
        quant_type="nf4",
        dtype=kind,
        offset=empty((), torch.float32),
        state2=QuantState(
            absmax=empty((-(-maxima // BLOCK_MAXIMA),), torch.float32),
            code=empty((256,), torch.float32),
            blocksize=BLOCK_MAXIMA,
            dtype=torch.float32,
        ),
    )
    layer.weight = packed
