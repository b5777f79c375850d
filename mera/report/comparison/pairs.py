"""Paired comparisons of runs: differences on the same resamples, tested and corrected.

Runs of kind `oracle` are a bound, not a competitor: they are never best and never tested.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mera.evaluation import bootstrap
from mera.report.measures.measure import METRICS, Measures

SIGNIFICANCE = 0.05
LEADING_METRIC = "recall@20"
"""Runs are ordered by it, and the differences are shown against its best run."""
MIN_TESTED_PATIENTS = 20
"""Patients in a group below which no difference within it is tested."""


def is_oracle(manifest: dict[str, Any]) -> bool:
    return manifest.get("kind") == "oracle"


def paired_differences(measured: list[Measures], num_patients: int) -> list[dict[str, Any]]:
    """Every pair of competitors on every metric: first minus second, its 95% interval, p-value, Holm-adjusted p-value.

    The family of the correction is the whole list, so that whichever pair a reader picks out is covered; the
    intervals are not adjusted.
    """
    found = []
    runs = [run for run in measured if not is_oracle(run.manifest)]
    for metric, (first, second) in itertools.product(METRICS, itertools.combinations(runs, 2)):
        if math.isnan(first.values[metric.key]) or math.isnan(second.values[metric.key]):
            continue
        pair = {
            "metric": metric.key,
            "first": first.manifest["run"],
            "second": second.manifest["run"],
            "difference": first.values[metric.key] - second.values[metric.key],
            "low": math.nan,
            "high": math.nan,
            "p": math.nan,
        }
        if metric.key in first.replicates and metric.key in second.replicates:
            replicates = first.replicates[metric.key], second.replicates[metric.key]
            least_error = _least_error(metric.key, first, second)
            pair |= _tested(*replicates, num_patients, least_error)
        found.append(pair)
    return _corrected(found)


def stratum_differences(measured: list[Measures], key: str, patients_in_group: Sequence[int]) -> list[dict[str, Any]]:
    """Every pair of competitors within every group of the stratification `key`, corrected over all of them.

    A group of fewer than `MIN_TESTED_PATIENTS` patients is not tested: its resamples hold too few different values.
    """
    runs = [run for run in measured if not is_oracle(run.manifest)]
    tested_groups = [group for group, patients in enumerate(patients_in_group) if patients >= MIN_TESTED_PATIENTS]
    found = [
        {
            "group": group,
            "first": first.manifest["run"],
            "second": second.manifest["run"],
            "difference": first.strata[key][group][0] - second.strata[key][group][0],
            **_tested(first.strata[key][group], second.strata[key][group], patients_in_group[group]),
        }
        for group, (first, second) in itertools.product(tested_groups, itertools.combinations(runs, 2))
    ]
    return _corrected(found)


def _tested(first: np.ndarray, second: np.ndarray, num_patients: int, least_error: float = 0.0) -> dict[str, float]:
    low, high = bootstrap.interval(first - second, least_error=least_error)
    return {"low": low, "high": high, "p": bootstrap.paired_p_value(first, second, num_patients, least_error)}


def _corrected(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for pair, adjusted in zip(pairs, bootstrap.holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = float(adjusted)
    return pairs


def _least_error(metric: str, first: Measures, second: Measures) -> float:
    if metric not in first.by_code or metric not in second.by_code:
        return 0.0
    return bootstrap.mean_error(first.by_code[metric] - second.by_code[metric])


def competitors(section: dict[str, Any]) -> list[dict[str, Any]]:
    """The section's runs without oracles, highest recall@20 first."""
    return [run for run in section["runs"] if run["kind"] != "oracle"]


def find_pair(section: dict[str, Any], metric: str, first: str, second: str) -> dict[str, Any] | None:
    """The comparison of two runs, turned so that `difference` is first minus second; None where there is none."""
    for pair in section["pairs"]:
        if pair["metric"] == metric and (pair["first"], pair["second"]) == (first, second):
            return pair
        if pair["metric"] == metric and (pair["first"], pair["second"]) == (second, first):
            low, high = pair["low"], pair["high"]
            turned = {"low": None if high is None else -high, "high": None if low is None else -low}
            return pair | turned | {"first": first, "second": second, "difference": -pair["difference"]}
    return None


def is_real(pair: dict[str, Any] | None) -> bool:
    """Whether the corrected paired test supports the difference."""
    return pair is not None and pair["p_holm"] is not None and pair["p_holm"] < SIGNIFICANCE


def mark_best(section: dict[str, Any]) -> None:
    """Set `best` in each metric of each run: True where it is above every other competitor with a real difference."""
    for metric in METRICS:
        for run in section["runs"]:
            run["metrics"][metric.key]["best"] = False
        valued = [run for run in competitors(section) if run["metrics"][metric.key]["value"] is not None]
        for run in valued:
            pairs = [find_pair(section, metric.key, run["run"], other["run"]) for other in valued if other is not run]
            run["metrics"][metric.key]["best"] = bool(pairs) and all(
                is_real(pair) and pair["difference"] > 0 for pair in pairs
            )


def best_in_group(part: dict[str, Any], group: int) -> str | None:
    """The run that is above every other competitor in this group of a stratification, each difference being real."""
    wins: dict[str, int] = {}
    pairs = [pair for pair in part["pairs"] if pair["group"] == group]
    for pair in pairs:
        if is_real(pair):
            winner = pair["first"] if pair["difference"] > 0 else pair["second"]
            wins[winner] = wins.get(winner, 0) + 1
    others = len({pair[side] for pair in pairs for side in ("first", "second")}) - 1
    return next((run for run, count in wins.items() if count == others), None)
