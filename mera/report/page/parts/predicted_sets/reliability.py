"""Calibration: whether probabilities mean what they say."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.reliability import Reliability
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.curves import Axes, Bar, Curve, curve_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import scale
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Column, Table, cell
from mera.report.text import percent


def reliability_parts(runs: Sequence[ComparedRun], prefix: str) -> list[Part]:
    """Nothing where no run has probabilities."""
    measured = [(run, run.breakdown.reliability) for run in runs if run.breakdown.reliability is not None]
    if not measured:
        return []
    table = Table(
        name="calibration",
        caption="Expected calibration error: mean distance between probability and share that is true, over 10 groups. "
        "Over all codes nearly every pair is a certain negative, so those two numbers are small for every model; the "
        "first compares only what a reader would look at. Lower is better.",
        columns=[
            Column(key="ece_first", label="Calibration error, first 20 codes, points", format="percent"),
            Column(key="ece", label="Calibration error, all codes", format="ten-thousandths"),
            Column(key="brier", label="Brier score, all codes", format="ten-thousandths"),
        ],
        rows=[
            run_row(run, [cell(reliability.ece_first), cell(reliability.ece), cell(reliability.brier)])
            for run, reliability in measured
        ],
    )
    return [Part(key="calibration", title="Calibration", tables=[table], figures=[_curves(measured, prefix)])]


def _curves(measured: Sequence[tuple[ComparedRun, Reliability]], prefix: str) -> Figure:
    curves = [_curve(run, reliability) for run, reliability in measured]
    x = scale(0, max((place for curve in curves for place, _ in curve.points), default=1.0))
    y = scale(0, max((height for curve in curves for _, height in curve.points), default=1.0), steps=4)
    errors = ", ".join(f"{run.label} {percent(reliability.ece_first.value)} points" for run, reliability in measured)
    return curve_figure(
        curves,
        Axes(
            x=x,
            y=y,
            x_label="predicted probability, % (group mean)",
            y_label="true, %",
            reference=[(0, 0), (x.high, x.high)],
        ),
        name=f"{prefix}calibration",
        title="Whether probabilities mean what they say",
        caption="The first 20 codes of each example in 10 groups of similar probability: the mean probability against "
        "the share that is true, with 95% bootstrap intervals. On the dotted line, 30% comes true in 30% of cases.",
        alt=f"Reliability curves. Expected calibration error among the first 20 codes: {errors}.",
    )


def _curve(run: ComparedRun, reliability: Reliability) -> Curve:
    points, bars = [], []
    for point in reliability.curve:
        observed = point.observed
        if observed.value is None:
            continue
        points.append((100 * point.predicted, 100 * observed.value))
        if observed.low is not None and observed.high is not None:
            bars.append(Bar(x=100 * point.predicted, low=100 * observed.low, high=100 * observed.high))
    return Curve(label=run.label, style=style_of(run.kind), points=points, marks=points, bars=bars)
