"""Who may look at whom when several orders stand behind one prompt, for each attention kernel.

`sdpa` takes the mask as a (B, 1, T, T) tensor and runs everywhere. `flex` (FlexAttention, Dong et al. 2024) takes the
rule itself and skips the blocks that nobody may look at; PyTorch has its backward pass on GPUs only. FlashAttention has
no place for such a mask: its sequences are causal throughout, so a shared prompt would have to be copied.

In the decoder of an encoder-decoder the orders stand behind one start token. T5 has no position ids: it adds a bias to
each pair of tokens, which depends on how far apart they are in the row. `order_positions`, which `use_kernel` teaches
its decoder to take, says instead where each token is in its order.
"""

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.nn.functional import embedding
from transformers import PreTrainedModel

from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.system.errors import UserError

Kernel = Literal["sdpa", "flex"]
PADDING, PROMPT = -1, 0
"""`order_ids` of tokens that belong to no order; the orders are 1, 2, ..."""


def use_kernel(model: PreTrainedModel, kernel: Kernel) -> None:
    """Switch the model's attention; its results stay the same. An encoder-decoder takes `order_positions` from now on.
    Raises ValueError where `kernel` cannot train here."""
    if kernel == "flex" and is_encoder_decoder(model):
        raise UserError("attention: flex is for causal models; an encoder-decoder trains with attention: sdpa")
    if kernel == "flex" and not torch.cuda.is_available():
        raise UserError(
            "attention: flex trains on a GPU only (PyTorch has no backward pass for it on the CPU); use attention: sdpa"
        )
    model.set_attn_implementation("flex_attention" if kernel == "flex" else "sdpa")
    if is_encoder_decoder(model):
        first = model.get_submodule("decoder.block.0.layer.0.SelfAttention")  # whose bias all layers take
        first.register_forward_pre_hook(_with_bias_of_positions, with_kwargs=True)


def _with_bias_of_positions(
    attention: nn.Module, positional: tuple[object, ...], keywords: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Before a T5's attention: `order_positions`, which the model hands down, becomes its `position_bias`."""
    positions = keywords.pop("order_positions", None)
    if isinstance(positions, Tensor):
        keywords["position_bias"] = bias_of_positions(attention, positions)
    return positional, keywords


def bias_of_positions(attention: nn.Module, position_ids: Tensor) -> Tensor:
    """(B, H, T, T): what a T5's `attention` of H heads adds to the scores of a query and a key, from their distance by
    `position_ids` (B, T), which are below T; keys that come later count as at the same place."""
    length = position_ids.shape[1]
    compute_bias = cast("Callable[..., Tensor]", attention.compute_bias)
    last_query_HT = compute_bias(1, length, past_seen_tokens=length - 1)[0, :, 0]
    by_distance_TH = last_query_HT.flip(-1).T
    distance_BTT = (position_ids[:, :, None] - position_ids[:, None, :]).clamp(min=0)
    return embedding(distance_BTT, by_distance_TH).permute(0, 3, 1, 2)


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
