"""Diagnoses that are new to a patient: the metrics without the codes of the history."""

from collections.abc import Sequence

from mera.report.comparison.pairs import MetricDifference
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.words.answers import NEW_LEADING_METRIC
from mera.report.measures.measure import NEW_CODE_METRICS
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.dots import DotRow, dot_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import share_scale
from mera.report.page.part import Part, run_row
from mera.report.page.parts.ranking.differences import NEW_PREFIX, difference_table
from mera.report.page.tables import Column, Table, cell
from mera.report.text import interval, percent


def new_code_parts(runs: Sequence[ComparedRun], pairs: Sequence[MetricDifference], prefix: str) -> list[Part]:
    """Nothing where the task has no history, or where notes are coded."""
    measured = [run for run in runs if run.metrics[NEW_LEADING_METRIC].value is not None]
    if not measured:
        return []
    table = Table(
        name="new-codes",
        caption="Only true codes that are not in the patient's history count, and rankings without its codes. Own "
        "history ranks them by popularity, which is the floor. Bold: above every other model, as tested.",
        columns=[
            Column(key=metric.key, label=metric.label.removeprefix(NEW_PREFIX), format="percent")
            for metric in NEW_CODE_METRICS
        ],
        rows=[
            run_row(run, [cell(run.metrics[metric.key], run.metrics[metric.key].best) for metric in NEW_CODE_METRICS])
            for run in measured
        ],
    )
    tables, models = [table], competitors(measured)
    if len(models) > 1:
        tables.append(difference_table("new-codes-differences", NEW_CODE_METRICS, models[0], models[1:], pairs))
    title = "Codes that the history does not hold"
    return [Part(key="new-codes", title=title, tables=tables, figures=[_dots(measured, prefix)])]


def _dots(runs: Sequence[ComparedRun], prefix: str) -> Figure:
    rows = []
    for run in sorted(runs, key=lambda run: (not run.is_oracle, -(run.metrics[NEW_LEADING_METRIC].value or 0.0))):
        value = run.metrics[NEW_LEADING_METRIC]
        rows.append(
            DotRow(
                key=run.name,
                label=run.label,
                value=None if value.value is None else 100 * value.value,
                low=None if value.low is None else 100 * value.low,
                high=None if value.high is None else 100 * value.high,
                printed=f"{percent(value.value)} ({interval(value)})",
                style=style_of(run.kind),
                strong=value.best,
            )
        )
    scale = share_scale([end for row in rows for end in (row.value, row.low, row.high) if end is not None])
    starts = "" if scale.low == 0 else f" The axis starts at {scale.low:g}%."
    described = "; ".join(f"{row.label} {row.printed}" for row in rows)
    return dot_figure(
        rows,
        scale,
        name=f"{prefix}new-codes",
        title="Recall@20 on new codes",
        caption=f"With 95% bootstrap intervals.{starts}",
        alt=f"Recall at 20 in percent among codes that the history does not hold. {described}.",
        axis="recall@20 among new codes, %",
    )
