"""The runs of a comparison, as the report names and shows them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mera.evaluation import bootstrap
from mera.report.comparison.pairs import MetricDifference, best_runs
from mera.report.json_form import INLINE, called
from mera.report.measures.estimates import Estimate, estimate, finite
from mera.report.measures.measure import METRICS, Breakdown, Measures
from mera.report.measures.run_manifest import BASELINE, ORACLE, RunManifest

LONGEST_FUSION = 40
"""Characters of a fusion's name above which tables count its parts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricValue(Estimate):
    best: bool
    """The run is above every other competitor, and the tests support each difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRun:
    name: str = field(metadata=called("run"))
    label: str
    """What tables call it."""
    kind: str | None
    metrics: Mapping[str, MetricValue]
    """By the key of each of METRICS."""
    breakdown: Breakdown = field(metadata=INLINE)
    manifest: RunManifest

    @property
    def measured_in_full(self) -> str:
        """Whose breakdown it is: `it`, or `its first seed` where the runs of several were put together."""
        return "it" if self.manifest.seeds == 1 else "its first seed"

    @property
    def first_seed(self) -> "ComparedRun":
        """Itself, called so that its label says whose breakdown it shows."""
        seeds = self.manifest.seeds
        return self if seeds == 1 else replace(self, label=self.label.replace(f"({seeds} seeds)", "(first seed)"))

    @property
    def is_oracle(self) -> bool:
        return self.kind == ORACLE

    @property
    def is_baseline(self) -> bool:
        return self.kind == BASELINE


def compared_runs(measured: Sequence[Measures], pairs: Sequence[MetricDifference]) -> tuple[ComparedRun, ...]:
    """The runs in their order, each metric with its interval; `pairs`: every comparison of two of them."""
    best = best_runs(measured, pairs)
    return tuple(
        ComparedRun(
            name=run.name,
            label=label,
            kind=run.manifest.kind,
            metrics={
                metric.key: _metric_value(run, metric.key, best.get(metric.key) == run.name) for metric in METRICS
            },
            breakdown=run.breakdown,
            manifest=run.manifest,
        )
        for run, label in zip(measured, _labels(measured), strict=True)
    )


def competitors(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The runs without oracles, highest recall@20 first."""
    return [run for run in runs if not run.is_oracle]


def _metric_value(run: Measures, metric: str, best: bool) -> MetricValue:
    if metric not in run.replicates:
        return MetricValue(value=finite(run.values[metric]), low=None, high=None, best=best)
    least_error = bootstrap.mean_error(run.by_code.get(metric, np.empty(0)))
    measured = estimate(run.replicates[metric], least_error, units=run.units(metric))
    return MetricValue(value=measured.value, low=measured.low, high=measured.high, best=best)


def _labels(measured: Sequence[Measures]) -> list[str]:
    """A run's model, and its run name where two runs have the same model name."""
    names = [_short_name(run.manifest) for run in measured]
    shared = Counter(names)
    return [name if shared[name] == 1 else f"{name} ({run.name})" for run, name in zip(measured, names, strict=True)]


def _short_name(manifest: RunManifest) -> str:
    """The model; of a fusion with a long list of parts how many they are, since the report lists them elsewhere."""
    if manifest.fusion is None or len(manifest.model) <= LONGEST_FUSION:
        return manifest.model
    how = "fusion" if manifest.fusion.trees is None else "fusion by trees"
    return f"{how} of {len(manifest.fusion.parts)} runs"
