"""What the backward pass needs, kept in the host's memory while the forward pass runs.

TRL's, which follows torchtune: a copy of each activation leaves the GPU on a stream of its own and comes back before
its turn. What is saved a second time (the input of several adapters) stays where it is.
"""

from contextlib import AbstractContextManager
from typing import cast

from torch import nn

from mera.system.errors import UserError

NO_GPU = (
    "activation_offloading moves what a GPU keeps for the backward pass to the host's memory, and no GPU trains here: "
    "set it to false"
)


def offloaded_activations(model: nn.Module, on_gpu: bool) -> AbstractContextManager[object]:
    """To be entered around each step of `model`, which is on its device. Raises UserError where no GPU trains."""
    if not on_gpu:
        raise UserError(NO_GPU)
    from trl.models.activation_offloading import get_act_offloading_ctx_manager

    return cast("AbstractContextManager[object]", get_act_offloading_ctx_manager(model, warn_if_no_head=False))
