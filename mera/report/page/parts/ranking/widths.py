"""Matryoshka: quality and speed of the bi-encoders over the width of the embedding."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.runs import ComparedRun
from mera.report.page.drawing import Figure, LineStyle, make_figure, styled_runs
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table
from mera.report.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_METRICS = {"recall_at_20": "Recall@20", "mean_average_precision": "MAP"}
DRAWN_METRIC = "recall_at_20"

Curves = Sequence[tuple[LineStyle, list[tuple[int, float]]]]
"""Of each run, (width, value)."""


def width_parts(runs: Sequence[ComparedRun], prefix: str) -> list[Part]:
    """Nothing where no run was scored at several widths."""
    rows = [
        run_row(
            run,
            [
                Cell(value=width.width),
                *(Cell(value=width.metrics.get(key)) for key in WIDTH_METRICS),
                Cell(value=width.queries_per_second),
                Cell(value=width.bytes_per_code),
            ],
        )
        for run in runs
        for width in run.breakdown.widths
    ]
    if not rows:
        return []
    table = Table(
        name="widths",
        caption="On the validation split, without a prior. Speed: exact search among all candidates with embeddings of "
        "this width, embedding of the query not counted, on the hardware of the run.",
        columns=[
            Column(key="width", label="Width", format="whole"),
            *(Column(key=key, label=f"{label}, validation", format="percent") for key, label in WIDTH_METRICS.items()),
            Column(key="queries_per_second", label="Queries per second", format="whole"),
            Column(key="bytes_per_code", label="Index, per code", format="bytes"),
        ],
        rows=rows,
    )
    title = "Matryoshka: quality and speed over width"
    return [Part(key="widths", title=title, tables=[table], figures=[*_quality(runs, prefix), *_speed(runs, prefix)])]


def _quality(runs: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    curves = [
        (style, [(width.width, 100 * width.metrics[DRAWN_METRIC]) for width in run.breakdown.widths])
        for style, run in styled_runs(runs)
        if run.breakdown.widths and all(DRAWN_METRIC in width.metrics for width in run.breakdown.widths)
    ]
    return _over_width(
        curves,
        name=f"{prefix}widths",
        label=f"{WIDTH_METRICS[DRAWN_METRIC]} on validation, %",
        title="Quality over the width of the embedding",
        caption="Each model scores with the first numbers of its embeddings only (Matryoshka), without a prior, on the "
        "validation split. The vertical axis does not start at 0.",
    )


def _speed(runs: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    curves = [
        (style, [(width.width, width.queries_per_second or 0.0) for width in run.breakdown.widths])
        for style, run in styled_runs(runs)
        if run.breakdown.widths and all(width.queries_per_second for width in run.breakdown.widths)
    ]
    return _over_width(
        curves,
        name=f"{prefix}widths-speed",
        label="queries per second",
        title="Speed over the width of the embedding",
        caption="Exact search among all candidates; the embedding of the query is not counted.",
    )


def _over_width(curves: Curves, *, name: str, label: str, title: str, caption: str) -> list[Figure]:
    """No figure without a curve."""
    if not curves:
        return []

    def draw(axes: "Axes") -> None:
        widths = sorted({width for _, curve in curves for width, _ in curve})
        for style, curve in curves:
            axes.plot([width for width, _ in curve], [value for _, value in curve], **style.line())
        axes.set_xscale("log")
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        axes.set_xlabel("width of the embedding, numbers per code")
        axes.set_ylabel(label)

    described = "; ".join(
        f"{style.label}: " + ", ".join(f"{width} wide {number(value, 1)}" for width, value in curve)
        for style, curve in curves
    )
    alt = f"Line chart of {label} over embedding width. {described}."
    return [make_figure(name=name, title=title, caption=caption, alt=alt, draw=draw, legend=True)]
