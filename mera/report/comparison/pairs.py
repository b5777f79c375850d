"""Paired comparisons of runs: differences on the same resamples, tested and corrected.

Runs of kind `oracle` are a bound, not a competitor: they are never best and never tested.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mera.evaluation import bootstrap
from mera.evaluation.paired_tests import paired_tests
from mera.report.measures.estimates import finite
from mera.report.measures.measure import METRICS, Measures
from mera.report.text import Interval

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


class TestedDifference(Interval, Protocol):
    """Whatever has an interval and a corrected p-value: a difference of two runs, overall or in a group."""

    @property
    def p_holm(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """Interval and p-value of a paired difference; None where its replicates have none."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None


NOT_TESTED = PairedTest(difference=None, low=None, high=None, p=None)


def outcomes_of_pairs(
    replicates: Sequence[np.ndarray], num_patients: int, least_errors: Sequence[float] | None = None
) -> list[PairedTest]:
    """Each pair of runs in the order of `itertools.combinations`; replicates: (B,) of each run, on the same resamples
    of `num_patients` patients with a value."""
    pairs = list(itertools.combinations(range(len(replicates)), 2))
    tests = paired_tests(np.stack(replicates), pairs, num_patients, least_errors)
    columns = (tests.differences, tests.low, tests.high, tests.p)
    return [
        PairedTest(difference=finite(difference), low=finite(low), high=finite(high), p=finite(p))
        for difference, low, high, p in zip(*(column.tolist() for column in columns), strict=True)
    ]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction; what has no p-value stays without and does not count."""
    return [finite(p) for p in bootstrap.holm(np.array(p_values, dtype=np.float64))]


def paired_differences(measured: Sequence[Measures]) -> tuple[MetricDifference, ...]:
    """Every pair of competitors on every metric that both have; no interval and no test where one has no replicates."""
    runs = [run for run in measured if not run.is_oracle]
    entries = [entry for metric in METRICS for entry in _on_metric(metric.key, runs)]
    corrected = holm([test.p for _, _, _, test in entries])
    return tuple(
        MetricDifference(
            metric=metric,
            first=first.name,
            second=second.name,
            difference=first.values[metric] - second.values[metric],
            low=test.low,
            high=test.high,
            p=test.p,
            p_holm=p_holm,
        )
        for (metric, first, second, test), p_holm in zip(entries, corrected, strict=True)
    )


def _on_metric(metric: str, runs: Sequence[Measures]) -> list[tuple[str, Measures, Measures, PairedTest]]:
    valued = [run for run in runs if not math.isnan(run.values[metric])]
    pairs = list(itertools.combinations(valued, 2))
    tested = [run for run in valued if metric in run.replicates]
    tests: dict[tuple[str, str], PairedTest] = {}
    if len(tested) > 1:
        tested_pairs = list(itertools.combinations(tested, 2))
        least_errors = [_least_error(metric, first, second) for first, second in tested_pairs]
        num_patients = tested[0].patients[metric]
        outcomes = outcomes_of_pairs([run.replicates[metric] for run in tested], num_patients, least_errors)
        tests = {
            (first.name, second.name): outcome for (first, second), outcome in zip(tested_pairs, outcomes, strict=True)
        }
    return [(metric, *pair, tests.get((pair[0].name, pair[1].name), NOT_TESTED)) for pair in pairs]


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


def is_tested(difference: TestedDifference) -> bool:
    """Whether there is a test at all: without one nothing is said of the difference, neither for nor against it."""
    return difference.p_holm is not None


def is_supported(difference: TestedDifference) -> bool:
    """Whether a difference is certain: the corrected paired test supports it, and its interval, where it has one,
    leaves 0 out. The two are different procedures, and of few patients one may say what the other does not."""
    low, high = difference.low, difference.high
    leaves_out = low is None or high is None or low > 0 or high < 0
    return difference.p_holm is not None and difference.p_holm < SIGNIFICANCE and leaves_out


def best_runs(measured: Sequence[Measures], pairs: Sequence[MetricDifference]) -> dict[str, str]:
    """Metric -> the run that is above every other competitor with a value, each difference being supported."""
    others: dict[str, int] = {}
    for metric in METRICS:
        valued = [run for run in measured if not run.is_oracle and not math.isnan(run.values[metric.key])]
        others[metric.key] = len(valued) - 1
    wins: dict[tuple[str, str], int] = {}
    for pair in pairs:
        if is_supported(pair) and pair.difference != 0:
            winner = pair.metric, pair.first if pair.difference > 0 else pair.second
            wins[winner] = wins.get(winner, 0) + 1
    return {metric: run for (metric, run), count in wins.items() if count == others[metric]}
