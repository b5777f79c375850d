"""A comparison whose numbers are set by hand, for tests of what the report says of them.

from made_up_comparison import compared, with_pairs, with_recall        (pytest puts this folder on sys.path)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from made_up_runs import make_runs

from mera.report.comparison.compare import Comparison, compare
from mera.report.comparison.pairs import MetricDifference
from mera.report.comparison.runs import ComparedRun, MetricValue
from mera.report.comparison.strata import Group, GroupDifference, StratifiedRecall
from mera.report.measures.estimates import Estimate
from mera.report.measures.load import group_runs

Ends = tuple[float, float, float]
"""(value, low, high), or (difference, low, high)."""


def compared(folder: Path) -> Comparison:
    """Of five made-up runs: oracle, rank-tiny, bi-encoder, popularity, history."""
    (group,) = group_runs(make_runs(folder))
    return compare(group, bootstrap_samples=10, seed=0)


def with_recall(comparison: Comparison, values: Mapping[str, Ends], metric: str = "recall@20") -> Comparison:
    """Only the runs that are named, in this order, with these values."""
    runs = {run.name: run for run in comparison.runs}
    return replace(comparison, runs=tuple(_valued(runs[name], metric, ends) for name, ends in values.items()))


def _valued(run: ComparedRun, metric: str, ends: Ends) -> ComparedRun:
    value, low, high = ends
    return replace(run, metrics={**run.metrics, metric: MetricValue(value=value, low=low, high=high, best=False)})


def with_pairs(
    comparison: Comparison, pairs: Mapping[tuple[str, str], tuple[Ends, float]], metric: str = "recall@20"
) -> Comparison:
    """(first, second) -> ((difference, low, high), Holm-adjusted p-value)."""
    return replace(
        comparison,
        pairs=tuple(
            MetricDifference(
                metric=metric, first=first, second=second, difference=ends[0], low=ends[1], high=ends[2], p=p, p_holm=p
            )
            for (first, second), (ends, p) in pairs.items()
        ),
    )


def stratum(
    key: str,
    groups: Sequence[tuple[str, int]],
    values: Mapping[str, Sequence[float]],
    pairs: Sequence[tuple[int, str, str, Ends, float]] = (),
) -> StratifiedRecall:
    """`groups`: label and patients, each patient with two true codes. `pairs`: (group, first, second, ends, p)."""
    return StratifiedRecall(
        key=key,
        title=key.capitalize(),
        definition="",
        groups=tuple(
            Group(label=label, targets=2 * patients, codes=None, examples=None, patients=patients)
            for label, patients in groups
        ),
        values={
            run: tuple(Estimate(value=value, low=value - 0.01, high=value + 0.01) for value in of_run)
            for run, of_run in values.items()
        },
        pairs=tuple(
            GroupDifference(
                group=group, first=first, second=second, difference=ends[0], low=ends[1], high=ends[2], p=p, p_holm=p
            )
            for group, first, second, ends, p in pairs
        ),
    )
