"""From scores to decisions: where the cut is, and what probability a score stands for, fitted on validation."""

from dataclasses import dataclass

import numpy as np

from mera.calibration import fit_platt
from mera.threshold import best_threshold


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRule:
    """A code is predicted where its score is greater than EOV + offset (or than `offset`, where EOV is not used)."""

    uses_eov: bool
    offset: float
    slope: float
    """probability = sigmoid(slope * (score - threshold) + intercept)  (Platt 1999)"""
    intercept: float

    def thresholds(self, eov: np.ndarray) -> np.ndarray:
        """(N,) the score above which each example's codes are predicted; eov (N,)."""
        return (eov if self.uses_eov else np.zeros_like(eov)) + self.offset

    def probabilities(self, scores: np.ndarray, eov: np.ndarray) -> np.ndarray:
        """(N, C) calibrated probability that each code is a target; scores (N, C), eov (N,)."""
        margin = scores - self.thresholds(eov)[:, None]
        return 1.0 / (1.0 + np.exp(-(self.slope * margin + self.intercept)))


def fit_decision_rule(
    scores: np.ndarray, eov: np.ndarray, targets: np.ndarray, uses_eov: bool, fit_offset: bool
) -> DecisionRule:
    """Choose the offset with the best micro F1, then the slope and intercept with the best likelihood.

    scores (N, C), eov (N,), targets (N, C) bool, all of the validation split. Without `fit_offset` and with EOV the
    offset is 0: the threshold as trained.
    """
    base = eov if uses_eov else np.zeros_like(eov)
    margins = scores - base[:, None]
    offset = best_threshold(margins, targets) if fit_offset or not uses_eov else 0.0
    calibration = fit_platt(margins - offset, targets)
    if calibration is None:
        raise ValueError("every code has the same score on validation: the model has learnt nothing to rank by")
    return DecisionRule(uses_eov=uses_eov, offset=offset, **calibration)
