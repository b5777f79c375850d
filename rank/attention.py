"""Who may look at whom when several orders stand behind one prompt, for each attention kernel.

`sdpa` takes the mask as a (B, 1, T, T) tensor and runs everywhere. `flex` (FlexAttention, Dong et al. 2024) takes the
rule itself and skips the blocks that nobody may look at; PyTorch has its backward pass on GPUs only. FlashAttention has
no place for such a mask: its sequences are causal throughout, so a shared prompt would have to be copied.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import PreTrainedModel

from mera.system.errors import UserError

Kernel = Literal["sdpa", "flex"]
PADDING, PROMPT = -1, 0
"""`order_ids` of tokens that belong to no order; the orders are 1, 2, ..."""


def use_kernel(model: PreTrainedModel, kernel: Kernel) -> None:
    """Switch the model's attention; its results stay the same. Raises ValueError where `kernel` cannot train here."""
    if kernel == "flex" and not torch.cuda.is_available():
        raise UserError(
            "attention: flex trains on a GPU only (PyTorch has no backward pass for it on the CPU); use attention: sdpa"
        )
    model.set_attn_implementation("flex_attention" if kernel == "flex" else "sdpa")


def orders_mask(
    order_ids: Tensor, position_ids: Tensor, sliding_window: int | None, kernel: Kernel
) -> Tensor | BlockMask:
    """A token sees its prompt and the earlier tokens of its own order; a padding token sees itself alone, since a row
    without any key has no softmax.

    order_ids, position_ids (B, T), on the model's device; `sliding_window` in positions: a key is seen from less than
    so many positions away. Returns what the model takes as `attention_mask`: (B, 1, T, T) bool for `sdpa`.
    """
    batch, length = order_ids.shape

    def may_see(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        key_order = order_ids[row, key]
        allowed = (key <= query) & ((key_order == PROMPT) | (key_order == order_ids[row, query])) & (key_order >= 0)
        if sliding_window is not None:
            allowed = allowed & (position_ids[row, query] - position_ids[row, key] < sliding_window)
        return allowed | (key == query)

    if kernel == "flex":
        return create_block_mask(may_see, batch, None, length, length, device=order_ids.device)
    place = torch.arange(length, device=order_ids.device)
    row = torch.arange(batch, device=order_ids.device)[:, None, None]
    return may_see(row, row, place[:, None], place)[:, None]
