"""How far each model is from the best one, and whether the paired test supports it."""

from collections.abc import Sequence

from mera.report.comparison.pairs import LEADING_METRIC, MetricDifference, find_pair, is_supported
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.measures.measure import Metric
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.dots import DotRow, Reference, dot_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import difference_scale
from mera.report.page.part import Part, pair_cell, run_row
from mera.report.page.parts.ranking.models import OVERALL_METRICS
from mera.report.page.tables import Column, Table
from mera.report.text import interval, percent

NEW_PREFIX = "New codes: "
"""What the labels of metrics begin with that have a section of their own."""

NUM_HEADLINE = 5
"""Metrics whose differences stand beside the figure; the others follow."""


def difference_parts(runs: Sequence[ComparedRun], pairs: Sequence[MetricDifference], prefix: str) -> list[Part]:
    """Nothing where fewer than two models compete."""
    models = competitors(runs)
    if len(models) < 2:
        return []
    best, *others = models
    tables = [
        difference_table("differences", OVERALL_METRICS[:NUM_HEADLINE], best, others, pairs),
        difference_table("differences-further", OVERALL_METRICS[NUM_HEADLINE:], best, others, pairs),
    ]
    title = f"Differences from {best.label}"
    return [Part(key="differences", title=title, tables=tables, figures=[_forest(best, others, pairs, prefix)])]


def difference_table(
    name: str,
    metrics: Sequence[Metric],
    best: ComparedRun,
    others: Sequence[ComparedRun],
    pairs: Sequence[MetricDifference],
) -> Table:
    return Table(
        name=name,
        caption=f"Points above (+) or below (−) {best.label} on the same patients, with the 95% interval of the "
        "paired difference and the Holm-adjusted p-value. Bold: supported by the test, with 0 outside the interval.",
        columns=[Column(key=m.key, label=m.label.removeprefix(NEW_PREFIX), format="points") for m in metrics],
        rows=[
            run_row(run, [pair_cell(find_pair(pairs, metric.key, run.name, best.name)) for metric in metrics])
            for run in others
        ],
    )


def _forest(best: ComparedRun, others: Sequence[ComparedRun], pairs: Sequence[MetricDifference], prefix: str) -> Figure:
    leading = [find_pair(pairs, LEADING_METRIC, run.name, best.name) for run in others]
    drawn = [(run, pair) for run, pair in zip(others, leading, strict=True) if pair is not None]
    rows = [
        DotRow(
            key=run.name,
            label=run.label,
            value=100 * pair.difference,
            low=None if pair.low is None else 100 * pair.low,
            high=None if pair.high is None else 100 * pair.high,
            printed=difference_in_words(pair),
            style=style_of(run.kind),
            filled=is_supported(pair),
        )
        for run, pair in drawn
    ]
    differences = "; ".join(f"{run.label} {difference_in_words(pair)}" for run, pair in drawn)
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    return dot_figure(
        rows,
        difference_scale([row.value for row in rows if row.value is not None], ends),
        name=f"{prefix}differences",
        title=f"Difference in recall@20 from {best.label}",
        caption="Paired differences on the same patients, with 95% bootstrap intervals (not corrected for the number "
        "of comparisons). A filled mark: the Holm-corrected paired test supports the difference; an open one: it does "
        "not. An arrow: too far away for the axis.",
        alt=f"Forest plot of differences in points from {best.label}: {differences}.",
        axis=f"recall@20, points from {best.label}",
        reference=Reference(value=0),
    )


def difference_in_words(pair: MetricDifference) -> str:
    """`−0.7 (−1.1 to −0.3)`, in points."""
    printed = percent(pair.difference, signed=True)
    return printed if pair.low is None else f"{printed} ({interval(pair, signed=True)})"
