"""The runs with the seeds of each model put together: what a page shows where a model was trained more than once.

A model's value is the mean over its seeds, its interval that of the mean over the same resamples of patients; the
spread over the seeds stands in `seeds.py`. Its breakdown (sets, calibration, errors) is that of its first seed, but for
the curve of recall, and the parts of the page that show it say so (`ComparedRun.first_seed`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mera.report.comparison.pairs import MetricDifference, paired_differences
from mera.report.comparison.runs import ComparedRun, compared_runs
from mera.report.comparison.seeds import SeedGroup
from mera.report.comparison.strata import StratifiedRecall, stratified_recall
from mera.report.measures.load import Comparable
from mera.report.measures.measure import Measures
from mera.report.measures.run_manifest import BASELINE, ORACLE
from mera.report.measures.strata import Stratification

FAMILY_NAMES = {
    ORACLE: "Oracles",
    BASELINE: "Baselines",
    "rank": "Stage two",
    "bi_encoder": "Bi-encoders",
    "fusion": "Fusions",
}
SHOWN_AT_ONCE = 8
"""A family of more models is divided by what they were built on."""
BUILT_ON = {"rank": ("model", "base"), "bi_encoder": ("variant",)}
"""Kind -> where its configuration says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Averaged:
    """One entry for each model, in the place of its runs; of the same form as those of the comparison."""

    runs: tuple[ComparedRun, ...]
    """Called as the run with the first seed; oracles first, then by recall@20."""
    pairs: tuple[MetricDifference, ...]
    """Corrected over this list."""
    strata: tuple[StratifiedRecall, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Models that a reader compares with each other first."""

    label: str
    runs: tuple[str, ...]
    """In the order of the comparison."""


def averaged_runs(
    measured: Sequence[Measures],
    groups: Sequence[SeedGroup],
    partitions: Sequence[Stratification],
    shared: Comparable,
) -> Averaged | None:
    """None where no model was trained with several seeds."""
    if not groups:
        return None
    together = put_together(measured, groups)
    pairs = paired_differences(together)
    return Averaged(
        runs=compared_runs(together, pairs),
        pairs=pairs,
        strata=tuple(stratified_recall(partition, together, shared) for partition in partitions),
    )


def put_together(measured: Sequence[Measures], groups: Sequence[SeedGroup]) -> list[Measures]:
    """One for each model, in the place of its runs; oracles first, then by recall@20."""
    by_name = {run.name: run for run in measured}
    models = [_mean(group, [by_name[name] for name in group.runs]) for group in groups]
    members = {name for group in groups for name in group.runs}
    return sorted([*models, *(run for run in measured if run.name not in members)], key=lambda run: run.place)


def _mean(group: SeedGroup, runs: Sequence[Measures]) -> Measures:
    first = runs[0]
    curve = np.mean([run.breakdown.recall_curve for run in runs], axis=0)
    return replace(
        first,
        manifest=replace(first.manifest, model=f"{group.model} ({len(runs)} seeds)", seeds=len(runs)),
        values={key: float(np.mean([run.values[key] for run in runs])) for key in first.values},
        replicates=_means([run.replicates for run in runs]),
        by_code=_means([run.by_code for run in runs]),
        strata=_means([run.strata for run in runs]),
        breakdown=replace(first.breakdown, recall_curve=tuple(curve.tolist())),
    )


def _means(arrays: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """By key that all have."""
    return {
        key: np.mean([one[key] for one in arrays], axis=0) for key in arrays[0] if all(key in one for one in arrays)
    }


def families(runs: Sequence[ComparedRun]) -> tuple[Family, ...]:
    """The runs by kind, in the order in which a kind comes first; large families by what their models were built on."""
    members: dict[str, list[ComparedRun]] = {}
    for run in runs:
        members.setdefault(FAMILY_NAMES.get(run.kind or "", run.kind or "Others"), []).append(run)
    divided: list[Family] = []
    for label, together in members.items():
        parts: dict[str, list[str]] = {}
        for run in together:
            built_on = _built_on(run) if len(together) > SHOWN_AT_ONCE else None
            parts.setdefault(label if built_on is None else f"{label}: {built_on}", []).append(run.name)
        divided += [Family(label=part, runs=tuple(names)) for part, names in parts.items()]
    return tuple(divided)


def _built_on(run: ComparedRun) -> str | None:
    value: object = run.manifest.config
    for key in BUILT_ON.get(run.kind or "", ()):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
