"""Kernels in the place of a base model's modules: Liger's for RMSNorm, RoPE and the gated MLP (Hsu et al. 2024).

They compute what the modules of transformers do, each in one pass over memory, and keep less for the backward pass. The
losses stay ours: Liger's fused cross-entropy, which would replace the model's forward, is left out.
"""

import importlib.util
import inspect
import os
import sys
from typing import Literal

import torch
from transformers import PreTrainedModel

from mera.system.errors import UserError

Kernels = Literal["plain", "liger"]
NO_LIGER = "model.kernels liger needs liger-kernel, which is not installed: pip install liger-kernel"
NO_GPU = "model.kernels liger needs a GPU, and none is found: set model.kernels plain"
LOSSES = ("cross_entropy", "fused_linear_cross_entropy")
ACTIVATIONS = ("swish", "silu", "gelu_pytorch_tanh")  # swish is another name of silu


def has_liger() -> bool:
    return importlib.util.find_spec("liger_kernel") is not None


def require_liger() -> None:
    """Raises UserError, with what to do, where Liger's kernels cannot run. (Triton's interpreter runs them on a CPU,
    for tests.)"""
    if not has_liger():
        raise UserError(NO_LIGER)
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        raise UserError(NO_GPU)


def require_family(model: PreTrainedModel) -> None:
    """Raises UserError where Liger, which is installed, has no kernels for such a model."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as FAMILIES

    family = model.config.model_type
    if family not in FAMILIES:
        raise UserError(
            f"model.kernels liger has nothing for a model of type {family}: set model.kernels plain, or take one of "
            f"{', '.join(sorted(FAMILIES))}"
        )
    activation = getattr(model.config, "hidden_activation", None) or getattr(model.config, "hidden_act", None)
    if activation not in ACTIVATIONS:
        raise UserError(
            f"model.kernels liger computes {' and '.join(ACTIVATIONS[1:])} alone, and this model's activation is "
            f"{activation}: set model.kernels plain"
        )


def use_liger(model: PreTrainedModel) -> None:
    """Put Liger's kernels into `model`, in place; the names of its weights stay. RoPE is replaced for all models of the
    same family in this process.

    Raises UserError where Liger has no kernels for such a model.
    """
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as FAMILIES

    require_family(model)
    apply, home = FAMILIES[model.config.model_type], sys.modules[type(model).__module__]
    classes = {name: value for name, value in vars(home).items() if isinstance(value, type)}
    apply(model=model, **{name: False for name in LOSSES if name in inspect.signature(apply).parameters})
    for name, plain in classes.items():  # which Liger replaces, too, for models that are built later
        setattr(home, name, plain)
