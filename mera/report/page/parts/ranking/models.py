"""All models, all metrics: the main table, and the recall at other depths than 20."""

import math
from collections.abc import Sequence

from mera.report.comparison.compare import Comparison
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.words.summary import describe_candidates
from mera.report.measures.measure import METRICS, NEW_CODE_METRICS
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.curves import Axes, Curve, curve_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import Scale, difference_scale
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table, cell
from mera.report.text import percent

METRIC_COLUMNS = [Column(key=metric.key, label=metric.label, format="percent") for metric in METRICS]
OVERALL_METRICS = tuple(metric for metric in METRICS if metric not in NEW_CODE_METRICS)
LARGE_SHARE = 0.2
"""Share of the candidates from which on a first k holds so many of them that recall says little."""
DEPTHS = (1, 2, 5, 10, 20, 50, 100)
"""The k that the table of recall@k has, and the ticks of its figure."""


def models_part(comparison: Comparison) -> Part:
    return Part(
        key="models",
        title="All models, all metrics",
        text=describe_candidates(comparison),
        tables=[_table(comparison.shown.runs, comparison.candidates.number)],
    )


def recall_part(runs: Sequence[ComparedRun], prefix: str) -> Part:
    """Recall@k over k: whether the order of the models depends on how far a reader looks."""
    table = Table(
        name="recall-curve",
        caption="Recall@k: the mean over examples of the share of true codes among the first k.",
        columns=[Column(key=f"recall@{k}", label=f"k={k}", format="percent") for k in DEPTHS],
        rows=[run_row(run, [Cell(value=run.breakdown.recall_curve[k - 1]) for k in DEPTHS]) for run in runs],
    )
    figures = _recall_differences(competitors(runs), prefix)
    return Part(key="recall-curve", title="Recall at other depths", tables=[table], figures=figures)


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


def refitted_sentence(runs: Sequence[ComparedRun]) -> str:
    """A sentence, after a space, of the models that read more than others; else nothing."""
    refitted = [run.label for run in runs if run.manifest.refitted]
    if not refitted:
        return ""
    return f" Fitted again, on validation too, before they scored this split (or fused of such): {', '.join(refitted)}."


def _table(runs: Sequence[ComparedRun], candidates: int) -> Table:
    return Table(
        name="models",
        caption="Highest recall@20 first. Bold: above every other model, each difference supported by the paired test "
        f"after Holm's correction, with 0 outside its interval. Definitions: the section on "
        f"method.{shallow_rankings(candidates)}{refitted_sentence(runs)}",
        columns=[Column(key=metric.key, label=metric.label, format="percent") for metric in OVERALL_METRICS],
        rows=[
            run_row(run, [cell(run.metrics[metric.key], run.metrics[metric.key].best) for metric in OVERALL_METRICS])
            for run in runs
        ],
    )


def _recall_differences(models: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    """From the best model: curves of recall lie on one another, their differences do not. Nothing for one model."""
    if len(models) < 2:
        return []
    best, *others = models
    reference = best.breakdown.recall_curve
    differences = {
        run.name: [100 * (mine - its) for mine, its in zip(run.breakdown.recall_curve, reference, strict=True)]
        for run in others
    }
    at_depths = [values[k - 1] for values in differences.values() for k in DEPTHS]
    every = [value for values in differences.values() for value in values]
    curves = [
        Curve(
            label=run.label,
            style=style_of(run.kind),
            points=[(math.log10(k), value) for k, value in enumerate(differences[run.name], start=1)],
            marks=[(math.log10(20), differences[run.name][19])],
        )
        for run in others
    ]
    ticks = tuple(math.log10(k) for k in DEPTHS)
    axes = Axes(
        x=Scale(low=0.0, high=2.0, ticks=ticks),
        y=difference_scale(at_depths, every),
        x_label="codes looked at (k, logarithmic)",
        y_label=f"recall@k, points from {best.label}",
        tick_names=[str(k) for k in DEPTHS],
    )
    at_20 = ", ".join(f"{run.label} {percent(differences[run.name][19] / 100, signed=True)}" for run in others)
    figure = curve_figure(
        curves,
        axes,
        name=f"{prefix}recall-curves",
        title=f"Recall@k against {best.label}",
        caption="Each panel: one model's recall@k minus that of the best model, before all others in grey; below the "
        "line the model is behind. The mark stands at k = 20. What leaves a panel lies far behind or ahead.",
        alt=f"Curves of recall at k from 1 to 100, in points from {best.label}. At k = 20: {at_20}.",
    )
    return [figure]
