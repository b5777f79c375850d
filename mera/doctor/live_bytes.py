"""How much memory tensors would take, without taking it.

`hollow` turns a model's weights into PyTorch's fake tensors, which have a shape, a type and a device but no storage, so
that a 7B model's step runs on any machine in seconds; `LiveBytes` adds up what is alive while it runs. PyTorch's own
`MemTracker`, which takes minutes for it, counts the same (`tests/benchmarks/memory_tracker.py`).
"""

import sys
import weakref
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mera.language_models.quantization import is_quantized
from mera.training.private_api import (
    DISPATCH_MODE,
    FAKE_TENSOR,
    FAKE_TENSOR_MODE,
    OPERATION_SCHEMA,
    READ_A_NUMBER,
    TREE_LEAVES,
    Operation,
    explained,
    hollow_quantized_layer,
    operation_name,
    own_tensors,
    reads_a_number,
    writes_in_place,
)

with explained(DISPATCH_MODE, FAKE_TENSOR, FAKE_TENSOR_MODE, TREE_LEAVES):
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves


LEAST_MOVED = 1024
"""Bytes of the smallest tensor that activation offloading moves."""
WEIGHT = [sys.maxsize]
"""What is counted of a weight: never exceeded."""


@dataclass(slots=True)
class MovedTensor:
    """What a tensor was that went to the host."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    size: int
    """bytes there"""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors made in this block: `live` now, `peak` the most at once.

    Views and tensors made before count nothing, and what a kernel needs inside itself is not seen. With `touched`,
    uninitialised memory counts only as far as something is written to it, as on a host whose pages are handed out when
    they are used; a GPU hands out the whole. A fake tensor has no values: asked for its number (for a log), it says 1.
    """

    def __init__(self, touched: bool = False) -> None:
        for name in (READ_A_NUMBER, OPERATION_SCHEMA):
            name.require()
        super().__init__()
        self.touched = touched
        self.live = self.peak = 0
        self.host = self.host_peak = 0
        self._moved: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self._counted: weakref.WeakKeyDictionary[torch.UntypedStorage, list[int]] = weakref.WeakKeyDictionary()

    def ignore(self, model: nn.Module) -> None:
        """Do not count the weights of `model` and what they will be views of."""
        for tensor in [*model.parameters(), *model.buffers()]:
            self._counted[tensor.untyped_storage()] = list(WEIGHT)

    def offloading(self) -> saved_tensors_hooks:
        """Within it what a step saves for its backward pass leaves for the host, whose bytes are `host` now and
        `host_peak` at most, until it is needed: as TRL's activation offloading, which leaves weights, small tensors and
        what is saved a second time."""
        return saved_tensors_hooks(self._move, self._bring_back)

    def _move(self, tensor: torch.Tensor) -> "torch.Tensor | MovedTensor":
        storage, size = tensor.untyped_storage(), tensor.numel() * tensor.element_size()
        stays = self._counted.get(storage) == WEIGHT or storage in self._moved or not isinstance(tensor, FakeTensor)
        if size < LEAST_MOVED or stays:
            return tensor
        self._moved.add(storage)
        self.host += size
        self.host_peak = max(self.host_peak, self.host)
        return MovedTensor(tensor.shape, tensor.dtype, tensor.device, size)

    def _bring_back(self, saved: "torch.Tensor | MovedTensor") -> torch.Tensor:
        if isinstance(saved, torch.Tensor):
            return saved
        self.host -= saved.size
        saved.size = 0  # it may be asked for again
        with fake_mode():
            return torch.empty(saved.shape, dtype=saved.dtype, device=saved.device)

    def __torch_dispatch__(
        self,
        function: Operation,
        types: object,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> object:
        options = options or {}
        if reads_a_number(function) and isinstance(arguments[0], FakeTensor):
            return 1
        if function is torch.ops.aten.index.Tensor:
            arguments = (arguments[0], _as_numbers(arguments[1]))
        results = function(*arguments, **options)
        if writes_in_place(function):
            for tensor in tensors_in([options.get("out"), arguments[:1]]):
                self._count(tensor.untyped_storage(), tensor.numel() * tensor.element_size())
            return results
        is_empty = operation_name(function).startswith(("aten::empty", "aten::new_empty"))
        for tensor in tensors_in(results):
            storage = tensor.untyped_storage()
            if storage not in self._counted:
                self._count(storage, 0 if is_empty and self.touched else storage.nbytes())
        return results

    def _count(self, storage: torch.UntypedStorage, size: int) -> None:
        if storage not in self._counted:
            counted = self._counted[storage] = [0]
            weakref.finalize(storage, self._release, counted)
        counted = self._counted[storage]
        if size > counted[0]:
            self.live += size - counted[0]
            counted[0] = size
            self.peak = max(self.peak, self.live)

    def _release(self, counted: list[int]) -> None:
        self.live -= counted[0]


def _as_numbers(indices: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Real masks among `indices` as the positions they choose: how many those are cannot be known of a fake mask."""
    positions: list[torch.Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype == torch.bool and not isinstance(index, FakeTensor):
            positions += index.nonzero(as_tuple=True)
        else:
            positions.append(index)
    return positions


def tensors_in(values: object) -> list[torch.Tensor]:
    """The tensors in `values`, however deep in lists, tuples and mappings."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def hollow(model: nn.Module, dtype: torch.dtype | None = None, device: str = "cpu") -> nn.Module:
    """Replace every weight and buffer of `model`, in place, by a fake one on `device`; tied weights stay tied.

    `dtype` converts floating-point weights. Whole numbers in real buffers stay. Real tensors may be mixed with the fake
    ones: the results are fake.
    """

    def empty(shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
        with fake_mode():
            return torch.empty(shape, dtype=kind, device=device)

    replaced: dict[int, torch.Tensor] = {}
    for module in model.modules():
        if isinstance(module, nn.Linear) and is_quantized(module):
            hollow_quantized_layer(module, empty)
        for tensors in own_tensors(module):
            for name, tensor in tensors.items():
                if tensor is not None and (tensor.is_floating_point() or tensor.is_meta):
                    if id(tensor) not in replaced:
                        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
                        fake = empty(tensor.shape, kind)
                        trains = tensor.requires_grad
                        is_weight = isinstance(tensor, nn.Parameter)
                        replaced[id(tensor)] = nn.Parameter(fake, requires_grad=trains) if is_weight else fake
                    tensors[name] = replaced[id(tensor)]
    return model


@cache
def fake_mode() -> FakeTensorMode:
    """One for the process: fake tensors of different modes do not mix."""
    return FakeTensorMode(allow_non_fake_inputs=True)
