"""Label-aware attention: each code looks for its own evidence in the tokens of a text.

B texts, T tokens, C codes, D width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

NUMBERS_AT_ONCE = 1 << 25
"""Numbers of the two largest arrays, weights (B, C, T) and evidence (B, C, D), held in memory together: 128 MiB."""


class LabelAttention(nn.Module):
    """Softmax over a text's tokens of (label . token) / temperature, for every label.

    Its only weight is the temperature, so a prefix of the states is attended exactly as a narrower model would attend
    it, and labels unseen in training can be scored. `temperature`: its value before training.
    """

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        # One number in a row, because ZeRO-3 and FSDP2 cannot share out a scalar.
        self.log_temperature = nn.Parameter(torch.tensor([math.log(temperature)]))

    def forward(self, token_states: Tensor, token_mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """token_states (B, T, D), token_mask (B, T) bool, labels (C, D) -> evidence (B, C, D), weights (B, C, T).

        `labels` may be (B, C, D): each text's own. `weights` sum to 1 over the tokens of the mask and are 0 elsewhere;
        a text without any token has weights and evidence 0. Memory grows with B x C x (T + D).
        """
        weights = torch.softmax(self.logits(token_states, token_mask, labels), dim=-1)
        weights = weights.masked_fill(~token_mask[:, None, :], 0.0)
        return weights @ token_states, weights

    def logits(self, token_states: Tensor, token_mask: Tensor, labels: Tensor) -> Tensor:
        """As `forward` -> what the weights are the softmax of (B, C, T), the lowest number outside the mask."""
        logits = labels @ token_states.transpose(1, 2) / self.log_temperature.exp()
        return logits.masked_fill(~token_mask[:, None, :], torch.finfo(logits.dtype).min)


def attended_similarities(
    attention: LabelAttention, token_states: Tensor, token_mask: Tensor, labels: Tensor, at_once: int = NUMBERS_AT_ONCE
) -> Tensor:
    """token_states (B, T, w), token_mask (B, T) bool, labels (C, w) or (B, C, w) -> cosine similarities (B, C) of each
    label with its own evidence.

    Labels are taken in chunks of about `at_once` numbers; where gradients are wanted each chunk is computed again in
    the backward pass, so that only the result grows with the number of labels.
    """
    states, labels = normalize(token_states, dim=-1), normalize(labels, dim=-1)
    num_texts, num_tokens, width = states.shape
    chunks = labels.split(max(1, at_once // (num_texts * (num_tokens + width))), dim=-2)
    if len(chunks) > 1 and torch.is_grad_enabled():
        similarities = [
            checkpoint(_similarities, attention, states, token_mask, c, use_reentrant=False) for c in chunks
        ]
    else:
        similarities = [_similarities(attention, states, token_mask, chunk) for chunk in chunks]
    return torch.cat(similarities, dim=1)


def _similarities(attention: LabelAttention, states: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    evidence, _ = attention(states, mask, labels)
    return (normalize(evidence, dim=-1) * labels).sum(-1)
