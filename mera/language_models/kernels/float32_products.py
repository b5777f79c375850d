"""Linear layers in bfloat16 on a processor without instructions for it, multiplied in float32 a few rows at a time.

There torch computes the gradient of such a layer's input in a plain loop: on AVX2, for the largest layer of a
7-billion model, 0.2 GFLOP/s, against 19 for the forward pass. With rows of the weight turned into float32 just before
they are used, while they lie in the processor's cache, it is 35, and the forward pass 29 (`python
tests/benchmarks/bench_cpu_bf16.py --layer`). What is added up is in float32, and the result is rounded to bfloat16
once, as torch does. Layers in 4 bits are turned into bfloat16 first, as bitsandbytes does it.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from mera.language_models.quantization import is_quantized
from mera.training.private_api import multiplies_bfloat16, quantized_weight

ROWS = 256
"""Of a weight, that are in float32 at once: some megabytes."""


@contextmanager
def float32_products(model: nn.Module, is_on: bool) -> Iterator[None]:
    """Within it, where `is_on` and this processor needs it, linear layers of `model` in bfloat16 or 4 bits compute so;
    before and afterwards they are as they were."""
    changed: list[nn.Linear] = []
    if is_on and not multiplies_bfloat16():
        changed = [cast("nn.Linear", each) for each in model.modules() if type(each) is nn.Linear or is_quantized(each)]
    for layer in changed:
        vars(layer)["forward"] = functools.partial(_forward, layer, layer.forward)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward  # the one of its class is behind it


def _forward(layer: nn.Linear, plain: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    if is_quantized(layer):
        outputs = _Product.apply(inputs.bfloat16(), None, lambda: quantized_weight(layer)[0].bfloat16())
    elif layer.weight.dtype == inputs.dtype == torch.bfloat16 and layer.weight.device.type == "cpu":
        outputs = _Product.apply(inputs, layer.weight, None)
    else:
        return plain(inputs)
    outputs = outputs.to(inputs.dtype)
    return outputs if layer.bias is None else outputs + layer.bias.to(outputs.dtype)


class _Context(Protocol):
    """Of torch.autograd.Function, with what the forward pass leaves for the backward pass."""

    make: Callable[[], Tensor] | None
    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _Product(torch.autograd.Function):
    """inputs (..., I) times the transposed weight (O, I), which is given, or made by `make` each time it is needed."""

    @staticmethod
    def forward(ctx: _Context, inputs: Tensor, weight: Tensor | None, make: Callable[[], Tensor] | None) -> Tensor:
        ctx.make = make
        ctx.save_for_backward(inputs if ctx.needs_input_grad[1] else None, weight)
        used = weight if make is None else make()
        assert used is not None, "a weight, or what makes it"
        with torch.autocast("cpu", enabled=False):
            return _times_transposed(inputs.float(), used).to(inputs.dtype)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        inputs, weight = ctx.saved_tensors
        of_inputs = of_weight = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                used = weight if ctx.make is None else ctx.make()
                of_inputs = _times(gradient.float(), used).to(gradient.dtype)
            if ctx.needs_input_grad[1]:
                columns = gradient.flatten(end_dim=-2).float().T
                of_weight = torch.cat([part @ inputs.flatten(end_dim=-2).float() for part in columns.split(ROWS)])
                of_weight = of_weight.to(weight.dtype)
        return of_inputs, of_weight, None


def _times_transposed(inputs: Tensor, weight: Tensor) -> Tensor:
    """(..., I) float32 times (O, I) -> (..., O) float32."""
    return torch.cat([inputs @ rows.float().T for rows in weight.split(ROWS)], dim=-1)


def _times(inputs: Tensor, weight: Tensor) -> Tensor:
    """(..., O) float32 times (O, I) -> (..., I) float32."""
    flat = inputs.flatten(end_dim=-2)
    total = flat.new_zeros(len(flat), weight.shape[1])
    for rows, part in zip(weight.split(ROWS), flat.split(ROWS, dim=-1), strict=True):
        total.addmm_(part, rows.float())
    return total.unflatten(0, inputs.shape[:-1])
