"""Encoding a batch without its padding, where the attention can tell the texts of one long row apart."""

import torch
from sentence_transformers.sentence_transformer.modules import Transformer
from torch import Tensor


def unpadded_states(encoder: Transformer, input_ids: Tensor, mask: Tensor) -> Tensor:
    """input_ids, mask (B, T) bool -> token states (B, T, D), 0 on the padding.

    The texts are one row of all their tokens; flash attention's variable-length kernels take where each begins
    (`cu_seq_lens`). `encoder.can_flatten_inputs` says whether the encoder's attention does.
    """
    lengths = mask.sum(1)
    bounds = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)[mask]
    longest = int(lengths.max())
    row = {
        "input_ids": input_ids[mask][None],
        "position_ids": positions[None] + _first_position(encoder),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    flat = encoder(row)["token_embeddings"].reshape(len(positions), -1)
    states = flat.new_zeros((*mask.shape, flat.shape[-1]))
    states[mask] = flat
    return states


def _first_position(encoder: Transformer) -> int:
    """RoBERTa and its kin count positions from behind the padding index, and sentence-transformers knows which do."""
    return getattr(encoder, "_flatten_position_offset", 0)
