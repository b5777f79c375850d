"""Matryoshka: quality and speed of the bi-encoders over the width of the embedding."""

import math
from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.curves import Axes, Curve, curve_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import Scale, share_scale
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table
from mera.report.text import number

WIDTH_METRICS = {"recall_at_20": "Recall@20", "mean_average_precision": "MAP"}
DRAWN_METRIC = "recall_at_20"


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
        (run, [(width.width, 100 * width.metrics[DRAWN_METRIC]) for width in run.breakdown.widths])
        for run in runs
        if run.breakdown.widths and all(DRAWN_METRIC in width.metrics for width in run.breakdown.widths)
    ]
    return _over_width(
        curves,
        name=f"{prefix}widths",
        label=f"{WIDTH_METRICS[DRAWN_METRIC]} on validation, %",
        title="Quality over the width of the embedding",
        caption="Each model scores with the first numbers of its embeddings only (Matryoshka), without a prior, on the "
        "validation split.",
    )


def _speed(runs: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    curves = [
        (run, [(width.width, width.queries_per_second or 0.0) for width in run.breakdown.widths])
        for run in runs
        if run.breakdown.widths and all(width.queries_per_second for width in run.breakdown.widths)
    ]
    return _over_width(
        curves,
        name=f"{prefix}widths-speed",
        label="queries per second",
        title="Speed over the width of the embedding",
        caption="Exact search among all candidates; the embedding of the query is not counted.",
    )


def _over_width(
    measured: Sequence[tuple[ComparedRun, list[tuple[int, float]]]], *, name: str, label: str, title: str, caption: str
) -> list[Figure]:
    """`measured`: of each run, (width, value); no figure without a curve."""
    if not measured:
        return []
    widths = sorted({width for _, curve in measured for width, _ in curve})
    curves = []
    for run, curve in measured:
        points = [(math.log10(width), value) for width, value in curve]
        curves.append(Curve(label=run.label, style=style_of(run.kind), points=points, marks=points))
    ticks = tuple(math.log10(width) for width in widths)
    y = share_scale([value for _, curve in measured for _, value in curve], steps=4)
    axes = Axes(
        x=Scale(low=ticks[0], high=max(ticks[-1], ticks[0] + 0.1), ticks=ticks),
        y=y,
        x_label="numbers per code (logarithmic)",
        y_label=label,
        tick_names=[str(width) for width in widths],
    )
    described = "; ".join(
        f"{run.label}: " + ", ".join(f"{width} wide {number(value, 1)}" for width, value in curve)
        for run, curve in measured
    )
    starts = "" if y.low == 0 else f" The vertical axis starts at {y.low:g}."
    alt = f"Line chart of {label} over embedding width. {described}."
    return [curve_figure(curves, axes, name=name, title=title, caption=f"{caption}{starts}", alt=alt)]
