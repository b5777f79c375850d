"""torch.compile of a model's blocks (its decoder or encoder layers), each by itself.

Compiled block by block ("regional compilation", PyTorch's recipes), a model of any depth costs the compiler one block
for each shape of a batch: all blocks of the same form share what was compiled for the first. The names of the weights
do not change, as they do where a module is wrapped.
"""

import functools
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from mera.system.errors import UserError
from mera.training.private_api import kept_activations, most_compiled_shapes

BACKEND = "inductor"
MOST_SHAPES = 128
"""Shapes, times forms of blocks, that are compiled; beyond them blocks run as they are."""
COMPILERS = ("g++", "clang++", "c++")


def require_compiler(on_gpu: bool, fetches_weights: bool) -> None:
    """Raises UserError, with what to do, where blocks cannot be compiled: on a CPU without a C++ compiler, or under an
    engine that fetches the weights of every layer in hooks (`fetches_weights`: ZeRO-3)."""
    if fetches_weights:
        raise UserError(
            "training.compile does not go with ZeRO-3, which fetches weights in the middle of a block: use "
            "launch/accelerate/fsdp2.yaml or zero2.yaml, or set training.compile to false"
        )
    if sys.platform == "win32" or not (on_gpu or any(map(shutil.which, COMPILERS))):
        raise UserError(
            "training.compile needs a C++ compiler on a CPU, and none is found: apt-get install g++, or set "
            "training.compile to false"
        )


@contextmanager
def compiled_blocks(model: nn.Module, of_any_length: bool = False, kept: float = 1.0) -> Iterator[None]:
    """Within it the blocks of `model` run compiled while they train; evaluated, and afterwards, they run as they are.

    Each shape of a batch is compiled anew, or, with `of_any_length`, lengths and batch sizes are symbols. `kept`: the
    share of a block's activations that the compiler may keep for the backward pass; it computes the rest, what is
    cheapest first, again. What is measured in between (without gradients, with a cache, one token at a time) would be
    compiled anew for seconds of use. Raises UserError where the model has no blocks that transformers marks as such.
    """
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not blocks:
        raise UserError(
            f"training.compile finds no blocks in a {type(model).__name__} (transformers' GradientCheckpointingLayer): "
            f"set training.compile to false"
        )
    for block in blocks:
        block.forward = _compiled_in_training(block, of_any_length)
    try:
        with most_compiled_shapes(MOST_SHAPES), kept_activations(kept):
            yield
    finally:
        for block in blocks:
            del block.forward


def _compiled_in_training(block: nn.Module, of_any_length: bool) -> Callable[..., Any]:
    @functools.cache
    def compiled() -> Callable[..., Any]:
        # Made at the first step: FSDP2 gives the block another class when training starts.
        return torch.compile(MethodType(type(block).forward, block), dynamic=of_any_length, backend=BACKEND)

    @functools.wraps(block.forward)
    def forward(*arguments: Any, **options: Any) -> Any:
        if block.training and torch.is_grad_enabled():
            return compiled()(*arguments, **options)
        return type(block).forward(block, *arguments, **options)

    return forward
