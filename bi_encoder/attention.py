"""Label-aware attention: each code looks for its own evidence in the tokens of a text.

B texts, T tokens, C codes, D width.
"""

import math

import torch
from torch import Tensor, nn


class LabelAttention(nn.Module):
    """Softmax over a text's tokens of (label . token) / temperature, for every label.

    There are no weights of its own but the temperature, so that a prefix of the states is attended exactly as a
    narrower model would, and labels unseen in training can be scored. `temperature` is where it starts; it is trained.
    """

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def forward(self, token_states: Tensor, token_mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """token_states (B, T, D), token_mask (B, T) bool, labels (C, D) -> evidence (B, C, D), weights (B, C, T).

        `weights` sum to 1 over the tokens of the mask and are 0 elsewhere; a text without any token has weights and
        evidence 0. Memory grows with B x C x (T + D): hand over the labels in chunks where they are many.
        """
        mask = token_mask[:, None, :]
        logits = torch.einsum("btd,cd->bct", token_states, labels) / self.log_temperature.exp()
        weights = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=-1)
        weights = weights.masked_fill(~mask, 0.0)
        return weights @ token_states, weights
