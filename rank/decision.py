"""What is chosen on validation, and by which numbers: the best ranking, where the cut is, and what probability a score
stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

import numpy as np
from scipy.special import expit, logsumexp

from mera.evaluation.calibration import fit_platt
from mera.evaluation.metrics import f1, mean_average_precision, recall_at_k, telling_k, weighted_f1_at_label_count
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.system.errors import UserError

EOV_SHARES = (1.0, 0.75, 0.5, 0.25)
"""What is tried, the plain form first. EOV always keeps a part: without any, a set's size would not be learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRule:
    """A code is predicted where its score is greater than

        eov_share * EOV + (1 - eov_share) * log(sum over candidates of e^score) + offset

    Trained in the form `atlop` on few patients, EOV is a noisy threshold: on Diabetes-130's validation patients it
    strays by a random 0.2 from the scores' log-sum-exp, a threshold that needs no training. Sharing the two keeps what
    EOV has learned of the size of the set and averages the noise out. With `eov_share` 0 the cut is one constant on
    log-probabilities.
    """

    eov_share: float
    """1: EOV alone, the paper's form; 0: trained without EOV"""
    offset: float
    slope: float
    """probability = sigmoid(slope * (score - threshold) + intercept)  (Platt 1999)"""
    intercept: float

    @property
    def least_probability(self) -> float:
        """Of a code that is predicted: that of a score at the threshold, the same for every example."""
        return float(expit(self.intercept))

    @classmethod
    def constant(cls, threshold: float, calibration: Mapping[str, float]) -> "DecisionRule":
        """That of a model without EOV, whose EOV is 0 throughout; `calibration`: `slope` and `intercept`."""
        return cls(eov_share=1.0, offset=threshold, slope=calibration["slope"], intercept=calibration["intercept"])

    def thresholds(self, scores: np.ndarray, eov: np.ndarray) -> np.ndarray:
        """(N,) the score above which each example's codes are predicted; scores (N, C), eov (N,)."""
        return _base(scores, eov, self.eov_share) + np.float32(self.offset)

    def probabilities(self, scores: np.ndarray, eov: np.ndarray) -> np.ndarray:
        """(N, C) calibrated probability that each code is a target; scores (N, C), eov (N,)."""
        return expit(self.slope * (scores - self.thresholds(scores, eov)[:, None]) + self.intercept)


class DecisionRecord(TypedDict):
    """The part of a manifest that says how scores become decisions."""

    calibration: dict[str, float]
    """`slope` and `intercept` of the rule"""
    threshold: dict[str, float | None]
    """see `threshold_record`"""
    deep_share: NotRequired[float]
    """with a full wide part: how much of what training changed the ranker takes (rank/validation.py)"""


def fit_decision_rule(
    scores: np.ndarray, eov: np.ndarray, targets: np.ndarray, uses_eov: bool, fit_offset: bool
) -> DecisionRule:
    """Choose EOV's share and the offset with the best micro F1, then slope and intercept with the best likelihood.

    scores (N, C), eov (N,), targets (N, C) bool, all of the validation split. Without `fit_offset` and with EOV the
    threshold is EOV as trained.
    """
    if uses_eov and not fit_offset:
        share, offset = 1.0, 0.0
    else:
        share, offset = max(
            (_fitted_offset(scores, eov, targets, share) for share in (EOV_SHARES if uses_eov else (0.0,))),
            key=lambda fitted: fitted[0],
        )[1]
    return calibrated(DecisionRule(eov_share=share, offset=offset, slope=1.0, intercept=0.0), scores, eov, targets)


def calibrated(rule: DecisionRule, scores: np.ndarray, eov: np.ndarray, targets: np.ndarray) -> DecisionRule:
    """`rule` with the slope and intercept of the best likelihood; arguments as in `fit_decision_rule`."""
    calibration = fit_platt(scores - rule.thresholds(scores, eov)[:, None], targets)
    if calibration is None:
        raise UserError("every code has the same score on validation: the model has learnt nothing to rank by")
    return replace(rule, **calibration)


def threshold_record(
    rule: DecisionRule, scores: np.ndarray, eov: np.ndarray, targets: np.ndarray, uses_eov: bool
) -> dict[str, float | None]:
    """The manifest's `threshold`: the rule, and what it is worth on the validation split, on which it was fitted.

    Micro F1 of the rule, of EOV as it was trained (None without EOV), and of the best fixed threshold, one constant on
    the log-probabilities of all examples. scores (N, C), eov (N,), targets (N, C) bool.
    """
    fitted = f1(scores > rule.thresholds(scores, eov)[:, None], targets, "micro")
    return {
        "eov_share": rule.eov_share,
        "offset": rule.offset,
        "validation_micro_f1": fitted,
        "validation_micro_f1_eov": f1(scores > eov[:, None], targets, "micro") if uses_eov else None,
        "validation_micro_f1_fixed": _fitted_offset(scores, eov, targets, 0.0)[0],
    }


def decision_record(
    rule: DecisionRule, scores: np.ndarray, eov: np.ndarray, targets: np.ndarray, uses_eov: bool
) -> DecisionRecord:
    """What a manifest says of a rule and of its worth on the validation split; arguments as in `threshold_record`."""
    return {
        "calibration": {"slope": rule.slope, "intercept": rule.intercept},
        "threshold": threshold_record(rule, scores, eov, targets, uses_eov),
    }


def ranking_quality(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The numbers by which epochs are chosen: recall@10, recall@20, that of `telling_k`, and weighted F1 at label
    count, 0 to 1. scores (N, C), targets (N, C) bool: the validation split."""
    recalls = sorted({10, 20, telling_k(scores.shape[1])})
    return {
        **{f"recall_at_{k}": float(recall_at_k(scores, targets, k)) for k in recalls},
        "weighted_f1_at_label_count": float(weighted_f1_at_label_count(scores, targets)),
    }


def order_quality(scores: np.ndarray, targets: np.ndarray) -> float:
    """By what the bonus of rare codes is chosen: the mean of `ranking_quality` and of MAP, which holds to the first
    places. Arguments as there."""
    return float(np.mean([*ranking_quality(scores, targets).values(), mean_average_precision(scores, targets)]))


def _fitted_offset(
    scores: np.ndarray, eov: np.ndarray, targets: np.ndarray, share: float
) -> tuple[float, tuple[float, float]]:
    """The micro F1 that is reached, and (share, offset)."""
    margins = scores - _base(scores, eov, share)[:, None]
    offset = best_threshold(margins, targets)
    return f1(margins > offset, targets, "micro"), (share, offset)


def _base(scores: np.ndarray, eov: np.ndarray, share: float) -> np.ndarray:
    if share == 1:
        return eov
    return share * eov + (1 - share) * logsumexp(scores, axis=1)
