"""Intervals and p-values of many paired differences at once: `bootstrap.interval` and `bootstrap.paired_p_value` row by
row, in a hundredth of the time. 120 runs have 7,140 pairs on every metric and in every group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from mera.evaluation import bootstrap

PAIRS_AT_ONCE = 2000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTests:
    """Of D differences, each (D,) float64; NaN where there is none."""

    differences: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def paired_tests(
    replicates: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    num_patients: int,
    least_errors: Sequence[float] | np.ndarray | None = None,
) -> PairedTests:
    """replicates (R, B) of R runs on the same resamples of `num_patients` patients with a value; pairs: D times
    (first, second), of which the replicates are subtracted; least_errors (D,) as in `bootstrap.interval`, 0 where it is
    None."""
    first, second = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    least = np.zeros(len(pairs)) if least_errors is None else np.asarray(least_errors, dtype=np.float64)
    results = np.full((4, len(pairs)), np.nan)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        block = slice(start, start + PAIRS_AT_ONCE)
        differences = replicates[first[block]] - replicates[second[block]]
        results[0, block] = differences[:, 0]
        results[1:, block] = _tests(differences, num_patients, least[block])
    return PairedTests(differences=results[0], low=results[1], high=results[2], p=results[3])


def _tests(differences: np.ndarray, num_patients: int, least: np.ndarray) -> np.ndarray:
    """(3, D) low, high, p of differences (D, B); rows in which a resample is undefined one by one."""
    results = np.full((3, len(differences)), np.nan)
    whole = ~np.isnan(differences).any(axis=1)
    for row in np.flatnonzero(~whole):
        low, high = bootstrap.interval(differences[row], LEVEL, least[row])
        zeros = np.zeros_like(differences[row])
        results[:, row] = low, high, bootstrap.paired_p_value(differences[row], zeros, num_patients, least[row])
    if not whole.any() or differences.shape[1] < 3:  # two resamples at least
        return results
    observed, resampled = differences[whole, 0], np.ascontiguousarray(differences[whole, 1:])
    deviations = resampled - resampled.mean(axis=1)[:, None]
    errors = deviations.std(axis=1)
    equal = bootstrap.is_rounding(errors, observed)
    stretched = ~equal & (errors < least[whole])
    deviations[stretched] *= (least[whole][stretched] / errors[stretched])[:, None]
    shares = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends = np.quantile(deviations, shares, axis=1)
    known_errors = np.where(least[whole][equal] > 0, least[whole][equal], np.nan)
    ends[:, equal] = scipy.stats.norm.ppf(shares)[:, None] * known_errors
    results[:2, whole] = observed + ends
    if num_patients < 2:
        return results
    spread = np.maximum(resampled.std(axis=1, ddof=1), least[whole])
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * scipy.stats.t.sf(np.abs(observed) / spread, num_patients - 1)
    alike = np.where(bootstrap.is_rounding(observed, 1.0), 1.0, bootstrap.alike_p_value(num_patients))
    results[2, whole] = np.where(bootstrap.is_rounding(spread, observed), alike, p)
    return results
