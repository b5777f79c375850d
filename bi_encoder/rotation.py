"""Turning the encoder's space before training, so that its prefixes hold what its whole vectors hold.

An encoder that was not trained with Matryoshka (Kusupati et al. 2022, arXiv 2205.13147) spreads what it knows over all
of its numbers, and a few hundred training texts do not gather it in the first 64. A rotation changes no scalar product
at full width, so the model that starts to train is the same one, only that its principal directions come first.
"""

from collections.abc import Sequence

import torch
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor

from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_texts
from bi_encoder.search.first_pass import principal_directions, unit_rows


def turn_to_principal_directions(model: BiEncoder, texts: Sequence[str], max_tokens: int) -> None:
    """Give `model` a linear map (D, D) of its token states, and so of their means: orthogonal at the start, trained
    with the rest. Its rows are the principal directions of the embeddings of `texts`, cut at `max_tokens`, in
    descending order of their second moments.
    """
    embeddings = unit_rows(embed_texts(model, texts, max_tokens).cpu().numpy())
    append_map(model, torch.from_numpy(principal_directions(embeddings, model.hidden_size).T.copy()))


def append_map(model: BiEncoder, weight: Tensor) -> None:
    """Put the linear map `weight` (D, D) behind the encoder of `model`, and behind the map that it has already."""
    if model.rotation is not None:
        weight = weight @ model.rotation.linear.weight.detach().to(weight)
    size = model.hidden_size
    model.rotation = Dense(
        size,
        size,
        bias=False,
        activation_function=None,
        init_weight=weight.to(model.device),
        module_input_name="token_embeddings",
    )
