"""The stage-two loss: hierarchical InfoNCE over the ontology's levels, and the EOV threshold.

`hierarchical_info_nce` and `threshold_loss` are this project's reading of Ma et al., "Memorize and Rank" (AAAI 2025,
arXiv 2501.17326), whose equations were not available to us; `probability_threshold_loss` is another way to train EOV.
`stage_two_loss` adds them up as a configuration says. The formulas are in their docstrings. All compute in float32
whatever the logits' type, and without loops over rows, groups or codes.

Shape suffixes: N rows (one position of one order of one example), C candidate codes, L levels, P positive entries.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mera.system.errors import UserError
from rank.config import LossConfig


def stage_two_loss(
    scores: Tensor,
    eov: Tensor,
    positive: Tensor,
    ignored: Tensor,
    group_ids: Tensor,
    config: LossConfig,
    row_weights: Tensor | None = None,
    step_rows: Tensor | None = None,
    positive_weights: Tensor | None = None,
) -> Tensor:
    """The total: hierarchical InfoNCE + threshold_weight * threshold loss, of the form that `config` names.

    scores (N, C) and eov (N,) logits; positive, ignored (N, C) bool; group_ids (L, C) int; row_weights (N,), None: all
    1. With `step_rows` (2,), the weight of all rows and that of the rows with a positive in the whole optimiser step,
    the two means are turned into these rows' share of the step's means, so that chunks, accumulated batches and several
    processes add up to one large batch. `positive_weights`: as in `hierarchical_info_nce`. Returns a float32 scalar; 0
    without rows.
    """
    if len(scores) == 0:
        return (scores.sum() + eov.sum()) * 0.0  # blank examples alone
    if row_weights is None:
        row_weights = scores.new_ones(len(scores), dtype=torch.float32)
    info_nce = hierarchical_info_nce(
        scores, positive, ignored, group_ids, config.temperature, config.level_weights, row_weights, positive_weights
    )
    threshold = scores.new_zeros(())
    if config.threshold_weight:
        inputs = (scores, eov, positive, ignored)
        if config.threshold_form == "probability":
            threshold = probability_threshold_loss(*inputs, config.threshold_probability, row_weights)
        else:
            threshold = threshold_loss(*inputs, row_weights)
    if step_rows is not None:
        of_step = torch.where(step_rows[1] > 0, step_rows[1], 1.0)
        info_nce = info_nce * row_weights[positive.any(dim=1)].sum() / of_step
        threshold = threshold * row_weights.sum() / step_rows[0]
    return info_nce + config.threshold_weight * threshold


def hierarchical_info_nce(
    scores: Tensor,
    positive: Tensor,
    ignored: Tensor,
    group_ids: Tensor,
    temperature: float | Sequence[float] = 1.0,
    level_weights: Sequence[float] | None = None,
    row_weights: Tensor | None = None,
    positive_weights: Tensor | None = None,
) -> Tensor:
    """InfoNCE of every positive against the negatives of its own group, at every level of the ontology.

    For level l and positive c of a row, with the level's temperature t:

        -log( e^{s_c/t} / (e^{s_c/t} + sum of e^{s_n/t} over n in c's group at l, n neither positive nor ignored) )

    Mean over the row's positives, then the (weighted) means over the rows that have one and over levels; 0 if no row
    has a positive.

    scores (N, C) logits; positive, ignored (N, C) bool; group_ids (L, C) int: equal numbers are one group;
    temperature: one number, or one per level; level_weights: L numbers; row_weights (N,), none of them 0;
    positive_weights (N, C), none of them 0: the weight of each positive in its row's mean, None: all 1. Returns a
    float32 scalar. Raises UserError where the numbers are not one per level.
    """
    num_levels = len(group_ids)
    temperatures = [temperature] * num_levels if isinstance(temperature, int | float) else list(temperature)
    weights = [1.0] * num_levels if level_weights is None else list(level_weights)
    for name, numbers in (("temperature", temperatures), ("level_weights", weights)):
        if len(numbers) != num_levels:
            raise UserError(f"{name} needs one number per level: got {len(numbers)} for {num_levels} levels")
    scores_NC = scores.float()
    negative_NC = ~(positive | ignored)
    row_P, column_P = positive.nonzero(as_tuple=True)
    if row_P.numel() == 0:
        return scores_NC.sum() * 0.0
    score_P = scores_NC[row_P, column_P]
    positives_per_row_N = positive.sum(dim=1)
    weight_N = scores_NC.new_ones(len(scores)) if row_weights is None else row_weights.float()
    weight_P = weight_N[row_P] / (positives_per_row_N[row_P] * weight_N[positives_per_row_N > 0].sum())
    if positive_weights is not None:
        own_P = positive_weights[row_P, column_P].float()
        sums_N = torch.zeros_like(weight_N).index_add(0, row_P, own_P)
        weight_P = weight_P * own_P * positives_per_row_N[row_P] / sums_N[row_P]
    negative_scores_NC = scores_NC.masked_fill(~negative_NC, float("-inf"))
    loss = scores_NC.new_zeros(())
    for ids_C, t, weight in zip(group_ids.to(scores.device), temperatures, weights, strict=True):
        group_lse_NG = _group_logsumexp(negative_scores_NC / t if t != 1 else negative_scores_NC, ids_C)
        negatives_lse_P = group_lse_NG[row_P, ids_C[column_P]]
        loss = loss + weight / sum(weights) * (weight_P * F.softplus(negatives_lse_P - score_P / t)).sum()
    return loss


def threshold_loss(
    scores: Tensor, eov: Tensor, positive: Tensor, ignored: Tensor, row_weights: Tensor | None = None
) -> Tensor:
    """Every positive above EOV, EOV above every negative (the adaptive threshold of ATLOP, Zhou et al., AAAI 2021).

        row loss = mean over positives of -log( e^{s_c} / (sum over positives e^{s} + e^{s_EOV}) )     (0 if none)
                 + -log( e^{s_EOV} / (e^{s_EOV} + sum over negatives e^{s}) )

    (Weighted) mean over rows. scores (N, C) logits, eov (N,) logits, positive, ignored (N, C) bool, row_weights (N,).
    Returns a float32 scalar.
    """
    scores_NC, eov_N = scores.float(), eov.float()
    negative_NC = ~(positive | ignored)
    positives_lse_N = scores_NC.masked_fill(~positive, float("-inf")).logsumexp(dim=1)
    negatives_lse_N = scores_NC.masked_fill(~negative_NC, float("-inf")).logsumexp(dim=1)
    count_N = positive.sum(dim=1)
    mean_positive_N = scores_NC.masked_fill(~positive, 0.0).sum(dim=1) / count_N.clamp(min=1)
    above_N = torch.where(count_N > 0, torch.logaddexp(positives_lse_N, eov_N) - mean_positive_N, 0.0)
    below_N = F.softplus(negatives_lse_N - eov_N)
    if row_weights is None:
        return (above_N + below_N).mean()
    return (row_weights * (above_N + below_N)).sum() / row_weights.sum()


def probability_threshold_loss(
    scores: Tensor,
    eov: Tensor,
    positive: Tensor,
    ignored: Tensor,
    probability: float,
    row_weights: Tensor | None = None,
) -> Tensor:
    """EOV at the score of a code that is a target with `probability`: the log-likelihood of every code by itself.

        p_c = sigmoid(s_c - s_EOV + logit(probability))
        row loss = sum over positives of -log p_c  +  sum over negatives of -log(1 - p_c)

    `threshold_loss` wants EOV above all negatives together, so where no code is certain it ends above nearly all codes.
    Here the cut can be put where it is worth most: F1 is highest if codes are predicted from a probability of half that
    F1 (Lipton et al., ECML PKDD 2014). (Weighted) mean over rows; shapes as in `threshold_loss`, `probability` within
    (0, 1). Returns a float32 scalar.
    """
    log_odds_NC = scores.float() - eov.float()[:, None] + math.log(probability / (1 - probability))
    loss_NC = F.softplus(log_odds_NC) - torch.where(positive, log_odds_NC, 0.0)
    loss_N = loss_NC.masked_fill(ignored, 0.0).sum(dim=1)
    if row_weights is None:
        return loss_N.mean()
    return (row_weights * loss_N).sum() / row_weights.sum()


def _group_logsumexp(scores_NC: Tensor, ids_C: Tensor) -> Tensor:
    """(N, G): log of the sum of e^score over each group's columns, -inf for an empty group.

    The maximum is taken per group, not per row: a group far below the row's maximum would underflow to zero.
    """
    num_groups = int(ids_C.max()) + 1
    if num_groups == 1:
        return scores_NC.logsumexp(dim=1, keepdim=True)
    index_NC = ids_C.expand_as(scores_NC)
    shape = (scores_NC.shape[0], num_groups)
    maximum_NG = scores_NC.detach().new_full(shape, float("-inf"))
    maximum_NG = maximum_NG.scatter_reduce(1, index_NC, scores_NC.detach(), reduce="amax")
    maximum_NG = maximum_NG.masked_fill(maximum_NG == float("-inf"), 0.0)
    sums_NG = scores_NC.new_zeros(shape).scatter_add(1, index_NC, (scores_NC - maximum_NG.gather(1, index_NC)).exp())
    empty_NG = sums_NG == 0
    return sums_NG.masked_fill(empty_NG, 1.0).log().masked_fill(empty_NG, float("-inf")) + maximum_NG
