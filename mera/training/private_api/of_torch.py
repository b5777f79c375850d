"""Private names of torch: weights put in the place of others, and what an operation makes."""

import copy
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mera.training.private_api.private_name import PrivateName

Operation = Any
"""An operation of torch, as a dispatch mode is told it; its class is private."""
TensorsByName = dict[str, Any]
"""Parameters or buffers of a module, which torch types apart."""
DISPATCH_MODE = PrivateName(
    library="torch",
    name="torch.utils._python_dispatch.TorchDispatchMode",
    reason="sees every tensor that a step makes, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="look for its public successor and count with it in mera/doctor/live_bytes.py",
)
FAKE_TENSOR = PrivateName(
    library="torch",
    name="torch._subclasses.fake_tensor.FakeTensor",
    reason="weights without storage, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="take torch.device('meta') in mera/doctor/live_bytes.py, or whatever took its place",
)
FAKE_TENSOR_MODE = PrivateName(
    library="torch",
    name="torch._subclasses.fake_tensor.FakeTensorMode",
    reason="makes weights without storage, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="take torch.device('meta') in mera/doctor/live_bytes.py, or whatever took its place",
)
TREE_LEAVES = PrivateName(
    library="torch",
    name="torch.utils._pytree.tree_leaves",
    reason="the tensors among an operation's results, for the memory that `mera doctor` reckons",
    seen_in="2.13",
    remedy="walk lists, tuples and mappings in mera/doctor/live_bytes.py",
)
READ_A_NUMBER = PrivateName(
    library="torch",
    name="torch.ops.aten._local_scalar_dense",
    reason="the operation behind `item()`, which a tensor without values cannot answer",
    seen_in="2.13",
    remedy="find the operation that `item()` dispatches now, and name it in reads_a_number",
)
OPERATION_SCHEMA = PrivateName(
    library="torch",
    name="torch._ops",
    attribute="_schema",
    reason="the name of an operation, and whether it writes into its arguments",
    seen_in="2.13",
    remedy="find where an operation says so now, and read it in operation_name and writes_in_place",
)
MOST_COMPILED = PrivateName(
    library="torch",
    name="torch._dynamo.config.recompile_limit",
    reason="raised: the compiler gives up a function that it has compiled for 8 shapes",
    seen_in="2.13",
    remedy="set what limits the shapes that torch.compile compiles now, in most_compiled_shapes",
)
KEPT_ACTIVATIONS = PrivateName(
    library="torch",
    name="torch._functorch.config.activation_memory_budget",
    reason="how much of a block's activations torch.compile keeps for the backward pass",
    seen_in="2.13",
    remedy="set what decides what is recomputed now, in kept_activations, or leave training.kept_activations at 1",
)
MULTIPLIES_BFLOAT16 = PrivateName(
    library="torch",
    name="torch.ops.mkldnn._is_mkldnn_bf16_supported",
    reason="whether products in bfloat16 are computed by oneDNN on this processor, or in a plain loop",
    seen_in="2.13",
    remedy="ask what decides that now, in multiplies_bfloat16",
)
OWN_PARAMETERS = PrivateName(
    library="torch",
    name="torch.nn.Module._parameters",
    reason="puts another tensor in a weight's place without registering it again",
    seen_in="2.13",
    remedy="use register_parameter in own_parameters' callers",
)
OWN_MODULES = PrivateName(
    library="torch",
    name="torch.nn.Module._modules",
    reason="a copy of a module that shares the weights and has other modules in places",
    seen_in="2.13",
    remedy="build such a module anew in copy_with_modules, and give it the weights",
)
OWN_BUFFERS = PrivateName(
    library="torch",
    name="torch.nn.Module._buffers",
    reason="puts another tensor in a buffer's place without registering it again",
    seen_in="2.13",
    remedy="use register_buffer in own_tensors' callers",
)


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The parameters of `module` itself, not of its submodules, by name; another one may be put in a place of it."""
    OWN_PARAMETERS.require()
    return module._parameters


def copy_with_modules(module: nn.Module, **modules: nn.Module | None) -> nn.Module:
    """`module` with some of its modules replaced, beside the one that stays as it is; the weights are the same."""
    OWN_MODULES.require()
    copied = copy.copy(module)
    copied._modules = {**module._modules, **modules}
    return copied


def own_tensors(module: nn.Module) -> tuple[TensorsByName, TensorsByName]:
    """The parameters and the buffers of `module` itself, as `own_parameters`."""
    OWN_BUFFERS.require()
    return own_parameters(module), module._buffers


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions with which torch multiplies matrices in bfloat16."""
    MULTIPLIES_BFLOAT16.require()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def reads_a_number(operation: Operation) -> bool:
    """Whether an operation of torch is the one behind `tensor.item()`."""
    return operation is torch.ops.aten._local_scalar_dense.default


def operation_name(operation: Operation) -> str:
    """`aten::empty`, ..."""
    return operation._schema.name


def writes_in_place(operation: Operation) -> bool:
    """Whether an operation of torch writes into one of its arguments."""
    return operation._schema.is_mutable


@contextmanager
def most_compiled_shapes(number: int) -> Iterator[None]:
    """Within it torch.compile compiles a function for up to `number` shapes of its arguments."""
    MOST_COMPILED.require()
    with importlib.import_module("torch._dynamo.config").patch(recompile_limit=number):
        yield


@contextmanager
def kept_activations(share: float) -> Iterator[None]:
    """Within it what torch.compile compiles keeps at most this share of its activations; 1: as it decides by itself."""
    KEPT_ACTIVATIONS.require()
    with importlib.import_module("torch._functorch.config").patch(activation_memory_budget=share):
        yield
