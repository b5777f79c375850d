"""How far each model is from the best one, and whether the paired test supports it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.pairs import LEADING_METRIC, MetricDifference, find_pair, is_supported
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.page.drawing import INK, SERIES, Figure, make_figure
from mera.report.page.part import Part, pair_cell, run_row
from mera.report.page.parts.ranking.models import metric_groups
from mera.report.page.tables import Column, Table
from mera.report.text import interval, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def difference_parts(runs: Sequence[ComparedRun], pairs: Sequence[MetricDifference], prefix: str) -> list[Part]:
    """Nothing where fewer than two models compete."""
    models = competitors(runs)
    if len(models) < 2:
        return []
    best, *others = models
    tables = [
        Table(
            name=name,
            caption=f"Points above (+) or below (−) {best.label} on the same patients, with the 95% interval of the "
            "paired difference and the Holm-adjusted p-value. Bold: supported by the test.",
            columns=[Column(key=metric.key, label=metric.label, format="points") for metric in group],
            rows=[
                run_row(run, [pair_cell(find_pair(pairs, metric.key, run.name, best.name)) for metric in group])
                for run in others
            ],
        )
        for name, group in zip(("differences", "differences-further"), metric_groups(runs), strict=False)
    ]
    title = f"Differences from {best.label}"
    return [Part(key="differences", title=title, tables=tables, figures=[_forest(best, others, pairs, prefix)])]


def _forest(best: ComparedRun, others: Sequence[ComparedRun], pairs: Sequence[MetricDifference], prefix: str) -> Figure:
    leading = [find_pair(pairs, LEADING_METRIC, run.name, best.name) for run in others]
    drawn = [(run, pair) for run, pair in zip(others, leading, strict=True) if pair is not None]

    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=INK, linewidth=1)
        for place, (_, pair) in enumerate(drawn):
            low, high = (end if end is not None else pair.difference for end in (pair.low, pair.high))
            filled = SERIES[0] if is_supported(pair.p_holm) else "none"
            axes.plot([100 * low, 100 * high], [place, place], color=SERIES[0], linewidth=1.6)
            axes.plot(
                100 * pair.difference, place, "o", markerfacecolor=filled, markeredgecolor=SERIES[0], markersize=7
            )
        axes.set_yticks(range(len(drawn)), [run.label for run, _ in drawn])
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"recall@20, points from {best.label}")

    differences = "; ".join(
        f"{run.label} {percent(pair.difference, signed=True)} ({interval(pair, signed=True)})" for run, pair in drawn
    )
    return make_figure(
        name=f"{prefix}differences",
        title=f"Difference in recall@20 from {best.label}",
        caption="Paired differences on the same patients, with 95% bootstrap intervals (not corrected for the number "
        "of comparisons). A filled point: the Holm-corrected paired test supports the difference; an open one: it does "
        "not.",
        alt=f"Forest plot of differences in points from {best.label}: {differences}.",
        draw=draw,
        height=1.1 + 0.36 * len(drawn),
    )
