"""Fusion: the scores of several models of one task as one score, fitted on rows that none of them trained on.

Legend: N examples, C codes, M sampled pairs of an example and a code, P parts (the models), G frequency groups.

The parts' scores are of different kinds (sums of word weights, cosines, precisions, logits), so each is first turned
into log-odds by a logistic regression on a line with one bend, at the median score of the true pairs:

    log_odds_p(s) = intercept + below * min(s - knot, 0) / scale + above * max(s - knot, 0) / scale

with slopes that are not negative, so that a part's order within an example stays. The fused score is

    f(example, code) = sum over parts of weight_p * log_odds_p(s_p) + offset of the code's frequency group

with weights that are not negative, fitted by a second logistic regression: stacking (Wolpert 1992), with the constraint
of Breiman (1996). A part that adds nothing gets the weight 0. Frequency groups have offsets because parts that learn
from examples are silent on codes without any, and parts that read names are not. A group of which there is no pair to
fit on has the offset of the next one, the rarer first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from scipy.special import expit, log_expit

from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, group_numbers
from mera.system.errors import UserError

NUM_GROUPS = len(FREQUENCY_GROUPS)
MOST_PAIRS = 2_000_000
"""False pairs that are fitted on; beyond that a sample, each of which counts for several."""
PENALTY = 1e-3
"""Of squared slopes and weights, and of squared offsets about their mean; the logistic loss beside it is a sum over
pairs divided by the number of true ones. It keeps what separates true from false completely at finite values."""
FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Every true pair of a split and a sample of the others."""

    rows: np.ndarray
    """(M,) int."""
    columns: np.ndarray
    """(M,) int."""
    true: np.ndarray
    """(M,) bool."""
    weights: np.ndarray
    """(M,) float64: how many pairs of the split each stands for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """A part's scores as log-odds; see the module's formula."""

    knot: float
    scale: float
    below: float
    above: float
    intercept: float

    def log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Of the shape of `scores`."""
        ramps = _ramps(scores, self.knot, self.scale)
        return self.intercept + self.below * ramps[0] + self.above * ramps[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion:
    calibrations: tuple[Calibration, ...]
    """P of them."""
    weights: np.ndarray
    """(P,), none negative."""
    offsets: np.ndarray
    """(G,), of each of FREQUENCY_GROUPS."""

    def part(self, number: int, scores: np.ndarray) -> np.ndarray:
        """What part `number` adds to the fused score, of the shape of its `scores`."""
        added: np.ndarray = self.weights[number] * self.calibrations[number].log_odds(scores)
        return added

    def of_codes(self, train_counts: np.ndarray) -> np.ndarray:
        """(C,): what is added to all scores of each code. train_counts (C,) int."""
        added: np.ndarray = self.offsets[group_numbers(train_counts, FREQUENCY_GROUPS)]
        return added


def sample_pairs(targets: np.ndarray, most: int = MOST_PAIRS, seed: int = 0) -> Pairs:
    """All pairs of `targets` (N, C) bool where no more than `most` are false; else the true ones and `most` draws, with
    replacement, from the others."""
    true = np.flatnonzero(targets)
    num_false = targets.size - len(true)
    if num_false <= most:
        false = np.flatnonzero(~targets)
    else:
        drawn = np.random.default_rng(seed).integers(0, targets.size, size=most)
        false = drawn[~targets.ravel()[drawn]]
    rows, columns = np.unravel_index(np.concatenate([true, false]), targets.shape)
    return Pairs(
        rows=rows,
        columns=columns,
        true=np.arange(len(rows)) < len(true),
        weights=np.concatenate([np.ones(len(true)), np.full(len(false), num_false / max(1, len(false)))]),
    )


def fit_fusion(scores: np.ndarray, true: np.ndarray, pair_weights: np.ndarray, groups: np.ndarray) -> Fusion:
    """scores (M, P), true (M,) bool, pair_weights (M,), groups (M,) int: the frequency group of each pair's code.

    Raises UserError where no pair is true.
    """
    if not true.any():
        raise UserError("cannot fit a fusion on rows without any true code")
    calibrations = tuple(_fit_calibration(scores[:, part], true, pair_weights) for part in range(scores.shape[1]))
    log_odds = np.stack([fitted.log_odds(scores[:, part]) for part, fitted in enumerate(calibrations)], axis=1)
    weights, offsets = _fit_logistic(log_odds, groups, NUM_GROUPS, true, pair_weights)
    fitted = np.unique(groups)
    nearest = [min(fitted, key=lambda group: (abs(group - number), group)) for number in range(NUM_GROUPS)]
    return Fusion(calibrations=calibrations, weights=weights, offsets=offsets[nearest])


def logistic_loss(
    parameters: np.ndarray,
    features: np.ndarray,
    groups: np.ndarray,
    true: np.ndarray,
    pair_weights: np.ndarray,
    penalty: float = PENALTY,
) -> tuple[float, np.ndarray]:
    """The loss of logit = features @ weights + offset of the group, and its gradient.

    parameters (K + G,): weights, then offsets. features (M, K), groups (M,) int, true (M,) bool, pair_weights (M,).
    The loss is the weighted sum over pairs of -log p(true or not), divided by the weight of the true pairs, plus
    `penalty` times the sum of squared weights and of squared distances of the offsets from their mean.
    """
    num_weights = features.shape[1]
    weights, offsets = parameters[:num_weights], parameters[num_weights:]
    logits = features @ weights + offsets[groups]
    total = pair_weights[true].sum()
    from_mean = offsets - offsets.mean()
    loss = -(pair_weights * log_expit(np.where(true, logits, -logits))).sum() / total
    loss += penalty * (weights @ weights + from_mean @ from_mean)
    residuals = pair_weights * (expit(logits) - true) / total
    of_weights = features.T @ residuals + 2 * penalty * weights
    of_offsets = np.bincount(groups, weights=residuals, minlength=len(offsets)) + 2 * penalty * from_mean
    return float(loss), np.concatenate([of_weights, of_offsets])


def patient_folds(patient_ids: Sequence[str], has_target: np.ndarray, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """(N,) int: the fold of each row, the same for all rows of a patient; each fold has as many patients with a true
    code as the others, but for one. has_target (N,) bool. Fewer folds where there are fewer patients.

    Raises UserError where fewer than two patients have a true code: leaving one out leaves nothing to fit on.
    """
    patients, patient_of_row = np.unique(np.asarray(patient_ids), return_inverse=True)
    is_true = np.bincount(patient_of_row, weights=has_target, minlength=len(patients)) > 0
    if is_true.sum() < 2:
        raise UserError("fusing needs at least two patients with a true code in the validation split")
    order = np.random.default_rng(seed).permutation(len(patients))
    order = order[np.argsort(~is_true[order], kind="stable")]
    fold_of_patient = np.empty(len(patients), dtype=np.int64)
    fold_of_patient[order] = np.arange(len(order)) % folds
    of_rows: np.ndarray = fold_of_patient[patient_of_row]
    return of_rows


def variance_shares(contributions: np.ndarray, pair_weights: np.ndarray) -> np.ndarray:
    """(P,): the share that each column has of the variance of their sum, which is its covariance with that sum; they
    add up to 1, and a column that works against the others has less than 0. contributions (M, P), pair_weights (M,).
    NaN where the sum does not vary.
    """
    centred = contributions - np.average(contributions, axis=0, weights=pair_weights)
    covariances = (pair_weights[:, None] * centred * centred.sum(axis=1, keepdims=True)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = covariances / covariances.sum()
    return shares


def _ramps(scores: np.ndarray, knot: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    from_knot = (scores - knot) / scale
    return np.minimum(from_knot, 0), np.maximum(from_knot, 0)


def _fit_calibration(scores: np.ndarray, true: np.ndarray, pair_weights: np.ndarray) -> Calibration:
    """scores (M,)."""
    scores = scores.astype(np.float64)
    knot = float(np.median(scores[true]))
    mean = np.average(scores, weights=pair_weights)
    scale = float(np.sqrt(np.average((scores - mean) ** 2, weights=pair_weights))) or 1.0
    features = np.stack(_ramps(scores, knot, scale), axis=1)
    (below, above), (intercept,) = _fit_logistic(features, np.zeros(len(scores), dtype=np.int64), 1, true, pair_weights)
    return Calibration(knot=knot, scale=scale, below=float(below), above=float(above), intercept=float(intercept))


def _fit_logistic(
    features: np.ndarray, groups: np.ndarray, num_groups: int, true: np.ndarray, pair_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) weights, none negative, and (num_groups,) offsets with the least `logistic_loss`."""
    num_weights = features.shape[1]
    odds = pair_weights[true].sum() / max(1.0, pair_weights[~true].sum())
    start = np.concatenate([np.full(num_weights, 1 / num_weights), np.full(num_groups, np.log(odds))])
    fitted = scipy.optimize.minimize(
        logistic_loss,
        start,
        args=(features, groups, true, pair_weights),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * num_weights + [(None, None)] * num_groups,
        options={"maxiter": 1000},
    )
    return fitted.x[:num_weights], fitted.x[num_weights:]
