"""Who may look at whom when several orders stand behind one prompt, for each attention kernel.

`sdpa` takes the mask as a (B, 1, T, T) tensor and runs everywhere. `flex` (FlexAttention, Dong et al. 2024) takes the
rule itself and skips the blocks that nobody may look at; PyTorch has its backward pass on GPUs only. FlashAttention has
no place for such a mask: its sequences are causal throughout, so a shared prompt would have to be copied.

Families of models differ in how far their layers look: all of them through a window (Mistral, Phi), all everywhere
(Llama), or some so and some so (Gemma, Qwen), for which each kind of layer gets a mask of its own. Those that cap their
attention scores (Gemma 2) compute it without a fused kernel in the place of `sdpa`, which would leave the cap out.

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
from transformers import PreTrainedConfig, PreTrainedModel

from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.system.errors import UserError
from mera.training.private_api import attention_name

Kernel = Literal["sdpa", "flex"]
Mask = Tensor | BlockMask
EVERYWHERE, WINDOW = "full_attention", "sliding_attention"
"""Kinds of layers, as a model's configuration names them."""
PADDING, PROMPT = -1, 0
"""`order_ids` of tokens that belong to no order; the orders are 1, 2, ..."""


def use_kernel(model: PreTrainedModel, kernel: Kernel) -> None:
    """Switch the model's attention; its results stay the same. An encoder-decoder takes `order_positions` from now on.
    Raises UserError where `kernel` cannot train here, or the model has layers that no mask of ours fits."""
    layer_kinds(model.config)
    if kernel == "flex" and is_encoder_decoder(model):
        raise UserError("attention: flex is for causal models; an encoder-decoder trains with attention: sdpa")
    if kernel == "flex" and not torch.cuda.is_available():
        raise UserError(
            "attention: flex trains on a GPU only (PyTorch has no backward pass for it on the CPU); use attention: sdpa"
        )
    fused = "eager" if getattr(model.config, "attn_logit_softcapping", None) else "sdpa"
    model.set_attn_implementation("flex_attention" if kernel == "flex" else fused)
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


def masks_for(
    model: PreTrainedModel, order_ids: Tensor, position_ids: Tensor, kernel: Kernel
) -> Mask | dict[str, Mask]:
    """What `model` takes as `attention_mask`: one mask, or one for each kind of its layers (see `orders_mask`).

    Raises UserError where it has layers of another kind.
    """
    config = model.config
    window = getattr(config, "sliding_window", None)
    kinds = layer_kinds(config)
    masks: dict[str, Mask] = {}
    for kind in kinds:
        mask = orders_mask(order_ids, position_ids, window if kind == WINDOW else None, kernel)
        if isinstance(mask, Tensor) and attention_name(model) == "eager":
            mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)
        masks[kind] = mask
    return masks if len(kinds) > 1 else masks[kinds[0]]


def layer_kinds(config: PreTrainedConfig) -> list[str]:
    """The kinds of a model's layers, in the order of their names. Raises UserError where one is neither EVERYWHERE nor
    WINDOW."""
    windowed = WINDOW if getattr(config, "sliding_window", None) is not None else EVERYWHERE
    kinds = sorted(set(getattr(config, "layer_types", None) or [windowed]))
    other = [kind for kind in kinds if kind not in (EVERYWHERE, WINDOW)]
    if other:
        raise UserError(
            f"a {config.model_type} has layers of the kind {other[0]}, in which several orders behind one prompt "
            f"cannot be told apart; choose a base model with plain or sliding attention, such as Mistral, Llama, Qwen "
            f"or Gemma"
        )
    return kinds


def orders_mask(order_ids: Tensor, position_ids: Tensor, sliding_window: int | None, kernel: Kernel) -> Mask:
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
