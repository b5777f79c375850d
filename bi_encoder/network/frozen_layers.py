"""Lower layers of an encoder that do not train: their states of a text are computed once in a training.

B texts, T tokens, D width.
"""

import torch
from sentence_transformers.sentence_transformer.modules import Transformer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mera.system.errors import UserError
from mera.training.private_api import copy_with_modules

TOKENS_REMEMBERED = 4_000_000
"""Tokens whose states are held in memory, in float16: at 384 numbers 3 GB. Those of further texts are computed each
time."""


class _AsEmbedded(nn.Module):
    """In the place of an encoder's embeddings: takes states for embeddings that are ready."""

    def forward(self, inputs_embeds: Tensor, **_: object) -> Tensor:
        return inputs_embeds


class FrozenLayers:
    """The embeddings and first `num_layers` layers of `encoder`, without gradients and without dropout, and the layers
    above them, which train. `states` is the encoder in two parts, with a memory between them.

    For BERT and models built as it is (`embeddings`, `encoder.layer`). Raises UserError for others, and where there
    are fewer layers.
    """

    def __init__(self, encoder: Transformer, num_layers: int):
        model = encoder.model
        layers = getattr(getattr(model, "encoder", None), "layer", None)
        if layers is None or not hasattr(model, "embeddings"):
            raise UserError(
                f"encoder.frozen_layers is for models built as BERT is, with embeddings and encoder.layer; this one is "
                f"{type(model).__name__}; set it to 0"
            )
        if num_layers > len(layers):
            raise UserError(f"encoder.frozen_layers is {num_layers}, but the encoder has {len(layers)} layers")
        for module in (model.embeddings, *layers[:num_layers]):
            module.requires_grad_(False)
        self._lower = _with_layers(model, layers[:num_layers])
        self._upper = _with_layers(model, layers[num_layers:])
        self._upper.embeddings = _AsEmbedded()
        self._remembered: dict[bytes, Tensor] = {}
        self._num_tokens = 0

    def states(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """input_ids, mask (B, T) bool -> token states (B, T, D) behind all layers."""
        rows = [ids[is_token] for ids, is_token in zip(input_ids, mask, strict=True)]
        names = [row.cpu().numpy().tobytes() for row in rows]
        new = {name: row for name, row in zip(names, rows, strict=True) if name not in self._remembered}
        computed = self._computed(new)
        lower = [self._remembered[name] if name in self._remembered else computed[name] for name in names]
        padded = pad_sequence(lower, batch_first=True).to(input_ids.device).float()
        padded = nn.functional.pad(padded, (0, 0, 0, input_ids.shape[1] - padded.shape[1]))
        return self._upper(inputs_embeds=padded, attention_mask=mask.long()).last_hidden_state

    @torch.no_grad()
    def _computed(self, rows: dict[bytes, Tensor]) -> dict[bytes, Tensor]:
        """Name -> states (T, D) float16 of the lower layers, remembered as long as there is room."""
        if not rows:
            return {}
        for module in self._lower.modules():
            module.training = False  # the layers are the encoder's, whose mode is that of the training
        ids = pad_sequence(list(rows.values()), batch_first=True)
        lengths = torch.tensor([len(row) for row in rows.values()], device=ids.device)
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        states = self._lower(input_ids=ids, attention_mask=mask.long()).last_hidden_state.half()
        computed = {name: state[: len(row)] for (name, row), state in zip(rows.items(), states, strict=True)}
        for name, state in computed.items():
            if self._num_tokens + len(state) <= TOKENS_REMEMBERED:
                self._remembered[name] = state.clone()
                self._num_tokens += len(state)
        return computed


def _with_layers(model: nn.Module, layers: nn.ModuleList) -> nn.Module:
    """`model` with some of its layers; the weights are the same tensors."""
    stack = copy_with_modules(model.get_submodule("encoder"), layer=layers)
    return copy_with_modules(model, encoder=stack, pooler=None)
