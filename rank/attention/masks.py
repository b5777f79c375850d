"""Who may look at whom when several orders stand behind one prompt, and several patients in one row.

`sdpa` takes the mask as a (B, 1, T, T) tensor. `flex` (FlexAttention, Dong et al. 2024) takes the rule itself and skips
the blocks of tokens that nobody may look at.

Families of models differ in how far their layers look: all of them through a window (Mistral, Phi), all everywhere
(Llama), or some so and some so (Gemma, Qwen), for which each kind of layer gets a mask of its own.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import PreTrainedConfig, PreTrainedModel

from mera.system.errors import UserError
from mera.training.private_api import attention_name

Kernel = Literal["sdpa", "flex"]
Mask = Tensor | BlockMask
EVERYWHERE, WINDOW = "full_attention", "sliding_attention"
"""Kinds of layers, as a model's configuration names them."""
FLEX = "mera_flex_attention"
"""The name of flex in a model's configuration; transformers looks in it for what the model must support."""
PADDING, PROMPT = -1, 0
"""`order_ids` of tokens that belong to no order; the orders are 1, 2, ..."""
ORDERS = 2**16
"""By so much are the `order_ids` of each further patient of a row higher: the second's prompt is ORDERS, its orders
ORDERS + 1, ..."""


def masks_for(model: PreTrainedModel, order_ids: Tensor, position_ids: Tensor) -> Mask | dict[str, Mask]:
    """What `model` takes as `attention_mask` with its kernel: one mask, or one for each kind of its layers (see
    `orders_mask`).

    Raises UserError where it has layers of another kind.
    """
    config = model.config
    window = getattr(config, "sliding_window", None)
    kinds = layer_kinds(config)
    kernel: Kernel = "flex" if attention_name(model) == FLEX else "sdpa"
    masks: dict[str, Mask] = {}
    for kind in kinds:
        mask = orders_mask(order_ids, position_ids, window if kind == WINDOW else None, kernel)
        if isinstance(mask, Tensor) and (attention_name(model) == "eager" or caps_scores(config)):
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
    """A token sees its patient's prompt and the earlier tokens of its own order; a padding token sees itself alone,
    since a row without any key has no softmax.

    order_ids, position_ids (B, T), on the model's device; `sliding_window` in positions: a key is seen from less than
    so many positions away. Returns what the model takes as `attention_mask`: (B, 1, T, T) bool for `sdpa`.
    """
    batch, length = order_ids.shape
    own_prompt = order_ids - order_ids % ORDERS

    def may_see(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        key_order = order_ids[row, key]
        is_own = (key_order == own_prompt[row, query]) | (key_order == order_ids[row, query])
        allowed = (key <= query) & is_own & (key_order >= 0)
        if sliding_window is not None:
            allowed = allowed & (position_ids[row, query] - position_ids[row, key] < sliding_window)
        return allowed | (key == query)

    if kernel == "flex":
        return create_block_mask(may_see, batch, None, length, length, device=order_ids.device)
    place = torch.arange(length, device=order_ids.device)
    row = torch.arange(batch, device=order_ids.device)[:, None, None]
    return may_see(row, row, place[:, None], place)[:, None]


def caps_scores(config: PreTrainedConfig) -> bool:
    """Whether a model's attention scores are capped, as Gemma 2's are: sdpa would leave that out."""
    return getattr(config, "attn_logit_softcapping", None) is not None
