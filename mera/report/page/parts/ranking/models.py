"""All models, all metrics: the main table and the recall curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.compare import Comparison
from mera.report.comparison.pairs import LEADING_METRIC
from mera.report.comparison.runs import ComparedRun
from mera.report.comparison.summary import describe_candidates
from mera.report.measures.measure import METRICS, NEW_CODE_METRICS, Metric
from mera.report.page.drawing import Figure, make_figure, styled_runs
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Column, Table, cell
from mera.report.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_COLUMNS = [Column(key=metric.key, label=metric.label, format="percent") for metric in METRICS]
FIRST_FURTHER = METRICS.index(NEW_CODE_METRICS[-1]) + 1
"""Metrics from here on have a table of their own, where the first one also shows new codes."""
LARGE_SHARE = 0.2
"""Share of the candidates from which on a first k holds so many of them that recall says little."""


def models_part(comparison: Comparison, prefix: str) -> Part:
    return Part(
        key="models",
        title="All models, all metrics",
        text=describe_candidates(comparison),
        tables=_tables(comparison.runs, comparison.candidates.number),
        figures=[_recall_curves(comparison.runs, prefix)],
    )


def shallow_rankings(candidates: int) -> str:
    """A sentence, after a space, where the first 10 or 20 codes are a large share of the candidates; else nothing."""
    large = dict.fromkeys(min(k, candidates) for k in (10, 20) if k > LARGE_SHARE * candidates)
    if not large:
        return ""
    named = " and ".join(f"{k} are {k / candidates:.0%}" for k in large)
    return (
        f" Of {candidates} candidates the first {named}: a ranking by chance finds as large a share of the true codes, "
        f"so compare recall with the baselines', and look at MAP and Precision@5."
    )


def metric_groups(runs: Sequence[ComparedRun]) -> list[Sequence[Metric]]:
    """The metrics that a run has, in tables that fit a page: one, or, where new codes are measured, the headline with
    them and the further ones."""
    measured = [metric for metric in METRICS if any(run.metrics[metric.key].value is not None for run in runs)]
    if not any(metric in NEW_CODE_METRICS for metric in measured):
        return [METRICS[: FIRST_FURTHER - len(NEW_CODE_METRICS)] + METRICS[FIRST_FURTHER:]]
    return [METRICS[:FIRST_FURTHER], METRICS[FIRST_FURTHER:]]


def _tables(runs: Sequence[ComparedRun], candidates: int) -> list[Table]:
    caption = "Highest recall@20 first. Bold: above every other model, each difference supported by the paired test "
    caption += "after Holm's correction. Definitions are at the end of the page."
    groups = metric_groups(runs)
    onset = ""
    if len(groups) > 1:
        onset = (
            " New codes: true codes that are not in the patient's history, and rankings without its codes. Copying a "
            "history says nothing of them: own history ranks them by popularity, which is the floor."
        )
    captions = [f"{caption}{onset}{shallow_rankings(candidates)}", f"Further metrics. {caption}"]
    return [
        Table(
            name=name,
            caption=words,
            columns=[Column(key=metric.key, label=metric.label, format="percent") for metric in group],
            rows=[
                run_row(run, [cell(run.metrics[metric.key], run.metrics[metric.key].best) for metric in group])
                for run in runs
            ],
        )
        for name, words, group in zip(("models", "models-further"), captions, groups, strict=False)
    ]


def _recall_curves(runs: Sequence[ComparedRun], prefix: str) -> Figure:
    def draw(axes: "Axes") -> None:
        for style, run in styled_runs(runs):
            curve = run.breakdown.recall_curve
            places = range(1, len(curve) + 1)
            axes.plot(places, [100 * value for value in curve], **style.line(), markevery=[0, 4, 9, 19, 49, 99])
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        axes.minorticks_off()
        axes.set_xlim(1, 100)
        axes.set_ylim(0, 1.04 * axes.dataLim.y1)
        axes.set_xlabel("codes looked at (k)")
        axes.set_ylabel("recall@k, %")

    at_20 = ", ".join(f"{run.label} {percent(run.metrics[LEADING_METRIC].value)}%" for run in runs)
    return make_figure(
        name=f"{prefix}recall-curves",
        title="How many of a patient's codes are found among the first k",
        caption="Recall@k, the mean over examples of the share of true codes among the first k. The horizontal axis is "
        "logarithmic.",
        alt=f"Line chart of recall at k from 1 to 100. At k = 20: {at_20}.",
        draw=draw,
        legend=True,
    )
