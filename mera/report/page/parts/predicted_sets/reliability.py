"""Calibration: whether probabilities mean what they say."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.reliability import Reliability
from mera.report.page.drawing import INK, Figure, LineStyle, in_percent, make_figure, styled_runs
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Column, Table, cell
from mera.report.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability_parts(runs: Sequence[ComparedRun], prefix: str) -> list[Part]:
    """Nothing where no run has probabilities."""
    measured = [
        (style, run, run.breakdown.reliability)
        for style, run in styled_runs(runs)
        if run.breakdown.reliability is not None
    ]
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
            for _, run, reliability in measured
        ],
    )
    return [Part(key="calibration", title="Calibration", tables=[table], figures=[_curves(measured, prefix)])]


def _curves(measured: Sequence[tuple[LineStyle, ComparedRun, Reliability]], prefix: str) -> Figure:
    def draw(axes: "Axes") -> None:
        largest = 0.0
        for style, _, reliability in measured:
            curve = [point for point in reliability.curve if point.observed.value is not None]
            predicted = [100 * point.predicted for point in curve]
            observed = [in_percent(point.observed.value) for point in curve]
            axes.plot(predicted, observed, **style.line())
            for x, point in zip(predicted, curve, strict=True):
                if point.observed.low is not None:
                    ends = [in_percent(point.observed.low), in_percent(point.observed.high)]
                    axes.plot([x, x], ends, color=style.color, linewidth=1.2)
            largest = max([largest, *predicted, *observed])
        axes.plot([0, largest], [0, largest], color=INK, linewidth=1, linestyle=":", label="as often as predicted")
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.set_xlabel("predicted probability, % (group mean)")
        axes.set_ylabel("true, %")

    errors = ", ".join(f"{run.label} {percent(reliability.ece_first.value)} points" for _, run, reliability in measured)
    return make_figure(
        name=f"{prefix}calibration",
        title="Whether probabilities mean what they say",
        caption="The first 20 codes of each example in 10 groups of similar probability: the mean probability against "
        "the share that is true, with 95% bootstrap intervals. On the dotted line, 30% comes true in 30% of cases.",
        alt=f"Reliability curves. Expected calibration error among the first 20 codes: {errors}.",
        draw=draw,
        legend=True,
    )
