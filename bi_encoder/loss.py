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


def sigmoid_loss(scores: Tensor, positive: Tensor, temperature: float = 1.0) -> Tensor:
    """Binary cross-entropy of every pair of a row and a code, summed and divided by the number of positives.

    scores (B, C) float, positive (B, C) bool -> scalar, computed in float32; 0 where nothing or everything is positive.
    The log-odds of a pair are score / temperature less an offset, the one at which as many pairs are expected as are
    true (as in Zhai et al. 2023, arXiv 2303.15343, where it is trained). Unlike InfoNCE this compares scores of
    different rows, as the one threshold of a run does.
    """
    log_odds = scores.float() / temperature
    num_positives = positive.sum()
    if num_positives == 0 or num_positives == positive.numel():
        return 0.0 * log_odds.sum()
    log_odds = log_odds - balancing_offset(log_odds.detach(), num_positives)
    return softplus(torch.where(positive, -log_odds, log_odds)).sum() / num_positives


def balancing_offset(log_odds: Tensor, expected: Tensor, steps: int = 40) -> Tensor:
    """The offset b at which sigmoid(log_odds - b) sums to `expected`, found by halving an interval."""
    low, high = log_odds.min() - 30.0, log_odds.max() + 30.0
    for _ in range(steps):
        middle = (low + high) / 2
        too_many = torch.sigmoid(log_odds - middle).sum() > expected
        low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
    return (low + high) / 2


def matryoshka_info_nce(
    scores: Sequence[Tensor], positive: Tensor, temperature: float, width_weights: Sequence[float]
) -> Tensor:
    """Mean over the widths of weight x InfoNCE, for W score matrices (B, C), one of each prefix width (Kusupati et al.
    2022, arXiv 2205.13147), and W weights of mean 1 -> scalar float32."""
    losses = torch.stack([multi_positive_info_nce(of_width, positive, temperature) for of_width in scores])
    return (losses * losses.new_tensor(width_weights)).mean()
