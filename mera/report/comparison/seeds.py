"""Runs of one recipe that differ in their seed alone: the mean, how far the seeds lie apart, the interval over
patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mera.evaluation import bootstrap
from mera.report.comparison.ablations import models_of, names_without_seeds, seed_order, trained_runs
from mera.report.measures.estimates import Estimate, estimate, finite
from mera.report.measures.measure import METRICS, Measures


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedsValue:
    """A metric over the seeds."""

    mean: float | None
    low: float | None
    high: float | None
    """95% interval over patients of the mean over seeds; None where the metric has none."""
    deviation: float | None
    """Standard deviation over the seeds, with one less than their number in its denominator."""
    by_seed: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedGroup:
    """One model, trained with two seeds or more."""

    model: str
    runs: tuple[str, ...]
    seeds: tuple[str, ...]
    """In the order of `runs`."""
    metrics: Mapping[str, SeedsValue]
    """By the key of each of METRICS."""


def seed_groups(measured: Sequence[Measures]) -> tuple[SeedGroup, ...]:
    """The models among the runs that were trained with several seeds."""
    runs = {run.name: run for run in measured}
    trained = trained_runs(measured)
    groups = []
    for kind in dict.fromkeys(run.kind for run in trained):
        for model in models_of([run for run in trained if run.kind == kind]):
            if len(model.runs) < 2:
                continue
            seeds = sorted(model.runs, key=seed_order)
            members = [runs[model.runs[seed]] for seed in seeds]
            groups.append(
                SeedGroup(
                    model=_called(members, seeds),
                    runs=tuple(run.name for run in members),
                    seeds=tuple(map(str, seeds)),
                    metrics={metric.key: _over_seeds(metric.key, members) for metric in METRICS},
                )
            )
    return tuple(groups)


def _called(members: Sequence[Measures], seeds: Sequence[object]) -> str:
    names = {seed: {run.manifest.model} for seed, run in zip(seeds, members, strict=True)}
    return names_without_seeds(names)[seeds[0], members[0].manifest.model]


def _over_seeds(metric: str, runs: Sequence[Measures]) -> SeedsValue:
    values = np.array([run.values[metric] for run in runs])
    ends = Estimate(value=None, low=None, high=None)
    if all(metric in run.replicates for run in runs):
        by_code = [run.by_code[metric] for run in runs if metric in run.by_code]
        least_error = bootstrap.mean_error(np.mean(by_code, axis=0)) if by_code else 0.0
        ends = estimate(
            np.mean([run.replicates[metric] for run in runs], axis=0),
            least_error=least_error,
            units=runs[0].units(metric),
        )
    return SeedsValue(
        mean=finite(float(values.mean())),
        low=ends.low,
        high=ends.high,
        deviation=finite(float(values.std(ddof=1))),
        by_seed=tuple(finite(float(value)) for value in values),
    )
