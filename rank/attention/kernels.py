"""The attention kernels that stage two trains with.

`sdpa` runs everywhere. `flex` (FlexAttention, Dong et al. 2024) skips what the masks of rank/attention/masks.py leave
out; PyTorch has its backward pass on GPUs only. FlashAttention has no place for such masks: its sequences are causal
throughout, so a shared prompt would have to be copied. Models that cap their attention scores (Gemma 2) compute it
without a fused kernel in the place of `sdpa`, which would leave the cap out.

In the decoder of an encoder-decoder the orders stand behind one start token. T5 has no position ids: it adds a bias to
each pair of tokens, which depends on how far apart they are in the row. `order_positions`, which `use_kernel` teaches
its decoder to take, says instead where each token is in its order.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import embedding
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flex_attention_mask, sdpa_mask

from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.system.errors import UserError
from rank.attention.masks import FLEX, Kernel, Mask, caps_scores, layer_kinds

KERNEL_OPTIONS = {"FORCE_USE_FLEX_ATTENTION": True}
"""Else rows of fewer than 128 tokens go to a kernel for decoding, which finds no block size where several query heads
share a key head (`NoValidChoicesError`, torch up to 2.13; pytorch/pytorch#185349)."""


def use_kernel(model: PreTrainedModel, kernel: Kernel, trains: bool = True) -> None:
    """Switch the model's attention; its results stay the same. An encoder-decoder takes `order_positions` from now on.

    `trains`: false where only the memory of a step is reckoned, on any machine; sdpa stands in for flex then, which
    keeps the same and the whole mask. Raises UserError where `kernel` cannot train here, or the model has layers that
    no mask of ours fits.
    """
    layer_kinds(model.config)
    if kernel == "flex" and is_encoder_decoder(model):
        raise UserError("attention: flex is for causal models; an encoder-decoder trains with attention: sdpa")
    if kernel == "flex" and not trains:
        kernel = "sdpa"
    if kernel == "flex" and not torch.cuda.is_available():
        raise UserError(
            "attention: flex trains on a GPU only (PyTorch has no backward pass for it on the CPU); use attention: sdpa"
        )
    fused = "eager" if caps_scores(model.config) else "sdpa"
    if kernel == "flex":
        AttentionInterface.register(FLEX, _flex_or_sdpa)
        AttentionMaskInterface.register(FLEX, _mask_of_prompts)
    model.set_attn_implementation(FLEX if kernel == "flex" else fused)
    if is_encoder_decoder(model):
        first = model.get_submodule("decoder.block.0.layer.0.SelfAttention")  # whose bias all layers take
        first.register_forward_pre_hook(_with_bias_of_positions, with_kwargs=True)


def _flex_or_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Mask,
    softcap: float | None = None,
    **settings: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it: flex for what `orders_mask` made, and where scores are capped; sdpa for the
    plain prompts of validation, whose changing shapes would be compiled for nothing.

    query (B, H, T, D), key and value (B, H', T, D). In the range of sdpa's autocast, but not in flex's of torch 2.6,
    rotary embeddings in float32 leave query and key in another type than the value.
    """
    if not isinstance(attention_mask, BlockMask) and softcap is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    if torch.is_autocast_enabled(query.device.type):
        query, key, value = (part.to(torch.get_autocast_dtype(query.device.type)) for part in (query, key, value))
    return flex_attention_forward(
        module, query, key, value, attention_mask, softcap=softcap, kernel_options=KERNEL_OPTIONS, **settings
    )


def _mask_of_prompts(*, config: PreTrainedConfig, **settings: Any) -> Mask | None:
    """What transformers makes of plain prompts for `_flex_or_sdpa`."""
    mask: Mask | None = flex_attention_mask(**settings) if caps_scores(config) else sdpa_mask(**settings)
    return mask


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
