"""Paired comparisons of runs: differences on the same resamples, tested and corrected.

Runs of kind `oracle` are a bound, not a competitor: they are never best and never tested.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mera.evaluation import bootstrap
from mera.report.measures.estimates import finite
from mera.report.measures.measure import METRICS, Measures

SIGNIFICANCE = 0.05
LEADING_METRIC = "recall@20"
"""Runs are ordered by it, and the differences are shown against its best run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricDifference:
    """First run minus second on one metric, on the same patients; None where nothing was tested."""

    metric: str
    first: str
    second: str
    difference: float
    low: float | None
    """Ends of the 95% interval of the paired difference, not corrected."""
    high: float | None
    p: float | None
    p_holm: float | None
    """Corrected over the whole list of differences, so that whichever a reader picks out is covered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """Interval and p-value of a paired difference; None where its replicates have none."""

    low: float | None
    high: float | None
    p: float | None


def paired_test(first: np.ndarray, second: np.ndarray, num_patients: int, least_error: float = 0.0) -> PairedTest:
    """first, second (B,): replicates of two runs on the same resamples of `num_patients` patients."""
    low, high = bootstrap.interval(first - second, least_error=least_error)
    p = bootstrap.paired_p_value(first, second, num_patients, least_error)
    return PairedTest(low=finite(low), high=finite(high), p=finite(p))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction; what has no p-value stays without and does not count."""
    return [finite(p) for p in bootstrap.holm(np.array(p_values, dtype=np.float64))]


def paired_differences(measured: Sequence[Measures], num_patients: int) -> tuple[MetricDifference, ...]:
    """Every pair of competitors on every metric that both have; no interval and no test where one has no replicates."""
    runs = [run for run in measured if not run.is_oracle]
    pairs = []
    for metric, (first, second) in itertools.product(METRICS, itertools.combinations(runs, 2)):
        if math.isnan(first.values[metric.key]) or math.isnan(second.values[metric.key]):
            continue
        test = PairedTest(low=None, high=None, p=None)
        if metric.key in first.replicates and metric.key in second.replicates:
            replicates = first.replicates[metric.key], second.replicates[metric.key]
            test = paired_test(*replicates, num_patients, _least_error(metric.key, first, second))
        pairs.append(
            MetricDifference(
                metric=metric.key,
                first=first.name,
                second=second.name,
                difference=first.values[metric.key] - second.values[metric.key],
                low=test.low,
                high=test.high,
                p=test.p,
                p_holm=None,
            )
        )
    corrected = holm([pair.p for pair in pairs])
    return tuple(replace(pair, p_holm=p_holm) for pair, p_holm in zip(pairs, corrected, strict=True))


def _least_error(metric: str, first: Measures, second: Measures) -> float:
    if metric not in first.by_code or metric not in second.by_code:
        return 0.0
    return bootstrap.mean_error(first.by_code[metric] - second.by_code[metric])


def find_pair(pairs: Sequence[MetricDifference], metric: str, first: str, second: str) -> MetricDifference | None:
    """The comparison of two runs, turned so that `difference` is first minus second; None where there is none."""
    for pair in pairs:
        if pair.metric == metric and (pair.first, pair.second) == (first, second):
            return pair
        if pair.metric == metric and (pair.first, pair.second) == (second, first):
            low = None if pair.high is None else -pair.high
            high = None if pair.low is None else -pair.low
            return replace(pair, first=first, second=second, difference=-pair.difference, low=low, high=high)
    return None


def is_supported(p_holm: float | None) -> bool:
    """Whether the corrected paired test supports the difference."""
    return p_holm is not None and p_holm < SIGNIFICANCE


def best_on(metric: str, measured: Sequence[Measures], pairs: Sequence[MetricDifference]) -> str | None:
    """The run that is above every other competitor with a value, each difference being supported."""
    names = [run.name for run in measured if not run.is_oracle and not math.isnan(run.values[metric])]
    for name in names:
        differences = [find_pair(pairs, metric, name, other) for other in names if other != name]
        if differences and all(pair and is_supported(pair.p_holm) and pair.difference > 0 for pair in differences):
            return name
    return None
