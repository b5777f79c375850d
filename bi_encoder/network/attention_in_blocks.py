"""Attention of layers that look a few tokens to each side, in blocks of the text instead of over all pairs.

ModernBERT's layers look at 128 tokens but for every third (Warner et al. 2024, arXiv 2412.13663). Without flash
attention transformers masks what lies outside and computes it all the same: of a note of 8,192 tokens 64 times as much.
Here each block of queries meets the keys in its reach alone. What comes out is that of `sdpa`.

B texts, H heads, T tokens, N blocks of them, D of a head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from mera.training.private_api import attention_name

IN_BLOCKS = "sdpa_in_blocks"
"""What transformers calls it (`attn_implementation`)."""
BLOCKS_FROM = 4
"""Blocks of a text from which on they are worth their copies."""


def attend_in_blocks(model: PreTrainedModel) -> None:
    """Have a model whose attention is `sdpa` and looks to both sides compute its local layers in blocks."""
    is_local = "sliding_attention" in (getattr(model.config, "layer_types", None) or ())
    if model.config.model_type == "modernbert" and is_local and attention_name(model) == "sdpa":
        AttentionInterface.register(IN_BLOCKS, _attention)
        AttentionMaskInterface.register(IN_BLOCKS, _padding_mask)
        model.set_attn_implementation(IN_BLOCKS)


def _padding_mask(*, attention_mask: Tensor | None = None, **_: object) -> Tensor | None:
    """attention_mask (B, T) bool -> (B, 1, 1, T); None where nothing is padded. The window is `_attention`'s own."""
    if attention_mask is None or bool(attention_mask.all()):
        return None
    return attention_mask[:, None, None, :]


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """query, key, value (B, H, T, D) -> (B, T, H, D). `sliding_window`: one more than a token sees to each side."""
    if sliding_window is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False
        )
    length, reach = query.shape[2], sliding_window - 1
    block = 2 * reach
    if length < BLOCKS_FROM * block:
        block = length
    blocks = -(-length // block)
    past_end = blocks * block - length
    is_key = (
        query.new_ones((len(query), length), dtype=torch.bool) if attention_mask is None else attention_mask[:, 0, 0]
    )
    away = _distances(block, reach, query.device)
    # A padded query sees itself, as the softmax of nothing is no number.
    keys_of_block = pad(is_key, (reach, reach + past_end)).unfold(1, block + 2 * reach, block)
    near = keys_of_block[:, :, None, :] & (away <= reach) | (away == 0)
    queries = _windows(pad(query, (0, 0, 0, past_end)), block, 0).flatten(0, 1)
    keys, values = (
        _windows(pad(each, (0, 0, reach, reach + past_end)), block, reach).flatten(0, 1) for each in (key, value)
    )
    attended = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=near.flatten(0, 1)[:, None], dropout_p=dropout, scale=scaling
    )
    return attended.unflatten(0, (-1, blocks)).transpose(2, 3).flatten(1, 2)[:, :length], None


def _windows(values: Tensor, block: int, reach: int) -> Tensor:
    """(B, H, T, D) of padded texts -> (B, N, H, block + 2 * reach, D)."""
    return values.unfold(2, block + 2 * reach, block).permute(0, 2, 1, 4, 3)


def _distances(block: int, reach: int, device: torch.device) -> Tensor:
    """(block, block + 2 * reach): how far each key of its window is from a query."""
    places = torch.arange(block + 2 * reach, device=device) - reach
    return (places - torch.arange(block, device=device)[:, None]).abs()
