"""Calibration: whether codes that get a probability of 30% are true in 30% of the cases.

A run has probabilities where its manifest says how to get them: `calibration: {slope, intercept}` stands for
sigmoid(slope * (score - threshold) + intercept) (Platt 1999), `calibration: {folds: [{slope, intercept, examples}]}`
for one such sigmoid for each so many rows, `calibration: {scores: probabilities}` for the scores themselves. Fitted on
validation, never on the rows that are measured here. Pairs of an example and a code that is no candidate for it (score
-inf) have no probability and are left out.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.special

from mera import metrics
from mera.evaluation import bootstrap
from mera.report.json_form import JsonObject
from mera.report.measures.estimates import Estimate, estimate
from mera.runs.predictions import Predictions

FIRST = 20
NUM_BINS = 10
BLOCK_ELEMENTS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityPoint:
    """One group of pairs with similar probabilities."""

    predicted: float
    """Mean probability."""
    observed: Estimate
    """Share that is true."""
    pairs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """Expected calibration error, Brier score, and the reliability curve of each row's first 20 codes."""

    ece: Estimate
    """Over all pairs of row and code, in 10 equal steps of probability (Guo et al. 2017). Nearly all pairs are certain
    negatives, so it is small for every model."""
    ece_first: Estimate
    """Over the first 20 codes of each row, in 10 groups of equal number, which is where a reader looks."""
    brier: Estimate
    curve: tuple[ReliabilityPoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Calibration:
    """Probability = sigmoid(slope * margin over the threshold + intercept), or the score itself."""

    of_scores: bool
    slopes: np.ndarray
    """(N,)"""
    intercepts: np.ndarray
    """(N,)"""

    def rows(self, block: slice) -> "_Calibration":
        return replace(self, slopes=self.slopes[block], intercepts=self.intercepts[block])


def reliability(run: Predictions, ranking: metrics.Ranking, weights: np.ndarray) -> Reliability | None:
    """weights (B, N). None where the run has no probabilities."""
    how = _calibration(run.manifest.get("calibration"), len(run.scores))
    if how is None or not (how.of_scores or np.isfinite(run.thresholds).all()):
        return None
    chosen = ranking.top[:, :FIRST]
    scores = np.take_along_axis(run.scores, chosen, axis=1)
    scored = ~np.isneginf(scores)
    first = _probabilities(scores, run.thresholds, how)
    true = np.take_along_axis(run.targets, chosen, axis=1)
    edges = np.unique(np.quantile(first[scored], np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, first, side="right")
    sums = _bin_sums(first, true, bins, len(edges) + 1, scored)
    observed = bootstrap.ratio_of_sums(weights, sums[1], sums[2]).T
    everything = _all_pairs(run, how)
    return Reliability(
        ece=estimate(_expected_error(weights, *everything[:3])),
        ece_first=estimate(_expected_error(weights, *sums)),
        brier=estimate(bootstrap.row_mean(weights, everything[3])),
        curve=tuple(
            ReliabilityPoint(
                predicted=float(sums[0][:, place].sum() / sums[2][:, place].sum()),
                observed=estimate(observed[place]),
                pairs=int(sums[2][:, place].sum()),
            )
            for place in range(len(edges) + 1)
            if sums[2][:, place].any()
        ),
    )


def _calibration(record: JsonObject | None, num_rows: int) -> _Calibration | None:
    if not record:
        return None
    of_scores = record.get("scores") == "probabilities"
    parts = record.get("folds") or [{"slope": 0.0, "intercept": 0.0, "examples": num_rows} | record]
    numbers = [part["examples"] for part in parts]
    slopes, intercepts = (np.repeat([part[key] for part in parts], numbers) for key in ("slope", "intercept"))
    return _Calibration(of_scores=of_scores, slopes=slopes, intercepts=intercepts)


def _probabilities(scores: np.ndarray, thresholds: np.ndarray, how: _Calibration) -> np.ndarray:
    """Any number in [0, 1] where a score is -inf."""
    scores = np.where(np.isneginf(scores), 0, scores)
    if how.of_scores:
        return np.clip(scores.astype(np.float64), 0.0, 1.0)
    margin = scores.astype(np.float64) - thresholds[:, None]
    return np.asarray(scipy.special.expit(how.slopes[:, None] * margin + how.intercepts[:, None]))


def _all_pairs(run: Predictions, how: _Calibration) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The bin sums of all pairs, and each row's mean squared error."""
    parts = []
    rows_at_once = max(1, BLOCK_ELEMENTS // run.scores.shape[1])
    for start in range(0, len(run.scores), rows_at_once):
        block = slice(start, start + rows_at_once)
        scored = ~np.isneginf(run.scores[block])
        probabilities = _probabilities(run.scores[block], run.thresholds[block], how.rows(block))
        bins = np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)
        sums = _bin_sums(probabilities, run.targets[block], bins, NUM_BINS, scored)
        errors = np.square(probabilities - run.targets[block])
        parts.append((*sums, np.where(scored, errors, 0).sum(axis=1) / scored.sum(axis=1)))
    probability_sums, true_sums, pairs, errors = (np.concatenate(part) for part in zip(*parts, strict=True))
    return probability_sums, true_sums, pairs, errors


def _bin_sums(
    probabilities: np.ndarray, true: np.ndarray, bins: np.ndarray, num_bins: int, scored: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, bins) sums of probability, of truths, and of pairs, over the pairs that are `scored`."""
    num_rows = len(bins)
    cells = (bins + num_bins * np.arange(num_rows)[:, None])[scored]
    counted = [
        np.bincount(cells, weights=values, minlength=num_rows * num_bins).reshape(num_rows, num_bins)
        for values in (probabilities[scored], true[scored], None)
    ]
    return counted[0], counted[1], counted[2].astype(np.float64)


def _expected_error(
    weights: np.ndarray, probability_sums: np.ndarray, true_sums: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    """(B,) sum over bins of the bin's share of the pairs times |mean probability - share of truths|."""
    weights = weights.astype(np.float64)
    errors: np.ndarray = np.abs(weights @ (probability_sums - true_sums)).sum(axis=1) / (weights @ pairs.sum(axis=1))
    return errors
