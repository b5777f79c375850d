"""From margins over a threshold to probabilities: Platt's (1999) sigmoid, fitted on validation with his smoothed
targets, (P + 1) / (P + 2) for the P that are true and 1 / (N + 2) for the N others: a handful of examples that a model
separates perfectly is no proof of certainty."""

import numpy as np

from mera.evaluation.spread_rows import spread_rows
from mera.system.errors import UserError

THRESHOLD_HELP = (
    "predict codes with a probability above P (default: what gave the best micro F1 on validation; the command says it)"
)
MAX_FITTED_SCORES = 2_000_000
"""Two parameters need no more."""
WEAK_PENALTY = 1e6
"""Inverse strength of the penalty: none to speak of."""


def fit_platt(margins: np.ndarray, targets: np.ndarray) -> dict[str, float] | None:
    """`slope` and `intercept` of probability = sigmoid(slope * margin + intercept), as a manifest keeps them.

    margins (N, C): score minus threshold; targets (N, C) bool. Logistic regression on standardised margins. None where
    every target is the same or every margin is: there is nothing to fit.
    """
    from sklearn.linear_model import LogisticRegression

    rows = spread_rows(len(margins), max(1, MAX_FITTED_SCORES // margins.shape[1]))
    values, true = margins[rows].ravel().astype(np.float64), targets[rows].ravel()
    if true.all() or not true.any() or np.ptp(values) == 0:
        return None
    centre, scale = values.mean(), values.std()
    standard = ((values - centre) / scale)[:, None]
    share = np.where(true, (true.sum() + 1) / (true.sum() + 2), 1 / (np.sum(~true) + 2))
    # Each margin once as true and once as not, by its smoothed target.
    both, weights = np.repeat([True, False], len(true)), np.concatenate([share, 1 - share])
    model = LogisticRegression(C=WEAK_PENALTY, tol=1e-7).fit(np.concatenate([standard, standard]), both, weights)
    slope = float(model.coef_[0, 0] / scale)
    return {"slope": slope, "intercept": float(model.intercept_[0] - slope * centre)}


def threshold_sentence(least_probability: float) -> str:
    return f"predicted: codes with a probability above {least_probability:.1%}"


def read_threshold(text: str) -> float:
    """A probability, as `--threshold` takes it. Raises UserError where it is none between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise UserError(f"--threshold is a probability between 0 and 1, as 0.25; got {text!r}")
    return value
