"""The contrastive loss. B rows, C candidate codes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus


def multi_positive_info_nce(scores: Tensor, positive: Tensor, temperature: float = 1.0) -> Tensor:
    """InfoNCE where a row has several positives, none of which is a negative for another.

    scores (B, C) float, positive (B, C) bool -> scalar, computed in float32. The formula is this project's own:

        row loss = mean over positives c of -log( e^{s_c/t} / (e^{s_c/t} + sum over non-positives n of e^{s_n/t}) )
        loss     = mean over the rows that have a positive; 0 if none has
    """
    scores = scores.float() / temperature
    negatives = torch.logsumexp(scores.masked_fill(positive, -torch.inf), dim=1, keepdim=True)
    # A row without negatives has -inf here; its loss is 0, and clamping keeps its gradient finite.
    loss_BC = softplus(negatives.clamp(min=torch.finfo(torch.float32).min / 2) - scores).masked_fill(~positive, 0.0)
    num_positives = positive.sum(dim=1)
    loss_B = loss_BC.sum(dim=1) / num_positives.clamp(min=1)
    return loss_B.sum() / (num_positives > 0).sum().clamp(min=1)


def matryoshka_info_nce(
    scores: Sequence[Tensor], positive: Tensor, temperature: float, width_weights: Sequence[float]
) -> Tensor:
    """Mean over the widths of weight x InfoNCE, for W score matrices (B, C), one of each prefix width (Kusupati et al.
    2022, arXiv 2205.13147), and W weights of mean 1 -> scalar float32."""
    losses = torch.stack([multi_positive_info_nce(of_width, positive, temperature) for of_width in scores])
    return (losses * losses.new_tensor(width_weights)).mean()
