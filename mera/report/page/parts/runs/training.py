"""How training went: loss, the best epoch, and validation over epochs."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.records import TrainingCurve
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.curves import Axes, Curve, curve_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import scale, share_scale
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table
from mera.report.text import percent

VALIDATION_CURVE = "recall_at_20"


def training_parts(runs: Sequence[ComparedRun], prefix: str) -> list[Part]:
    """Nothing where no run has a training log."""
    rows = [run_row(run, _cells(run.breakdown.training)) for run in runs if run.breakdown.training is not None]
    if not rows:
        return []
    table = Table(
        name="training",
        caption="Training loss as first and last logged, and the epoch with the best validation recall@20. A best "
        "epoch that is the last one says that training longer might help.",
        columns=[
            Column(key="first_loss", label="Loss, first", format="hundredths"),
            Column(key="last_loss", label="Loss, last", format="hundredths"),
            Column(key="best_epoch", label="Best epoch", format="tenths"),
            Column(key="best_recall@20", label="Recall@20 there, validation", format="percent"),
            Column(key="epochs", label="Epochs", format="tenths"),
        ],
        rows=rows,
    )
    return [Part(key="training", title="Training", tables=[table], figures=_validation_curves(runs, prefix))]


def _cells(training: TrainingCurve) -> list[Cell]:
    """In the order of the columns."""
    loss, curve = training.loss, _validation(training)
    best_epoch, best = max(curve, key=lambda point: point[1]) if curve else (None, None)
    return [
        Cell(value=loss[0][1] if loss else None),
        Cell(value=loss[-1][1] if loss else None),
        Cell(value=best_epoch),
        Cell(value=best),
        Cell(value=curve[-1][0] if curve else None),
    ]


def _validation(training: TrainingCurve) -> list[tuple[float, float]]:
    """(epoch, recall@20), without epochs where it was no number."""
    points = training.validation.get(VALIDATION_CURVE, ())
    return [(epoch, recall) for epoch, recall in points if recall is not None]


def _validation_curves(runs: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    trained = [(run, _validation(run.breakdown.training)) for run in runs if run.breakdown.training is not None]
    measured = [(run, curve) for run, curve in trained if curve]
    if not measured:
        return []
    curves = []
    for run, curve in measured:
        points = [(epoch, 100 * value) for epoch, value in curve]
        best = max(points, key=lambda point: point[1])
        curves.append(Curve(label=run.label, style=style_of(run.kind), points=points, marks=[best]))
    y = share_scale([value for curve in curves for _, value in curve.points], steps=4)
    starts = "" if y.low == 0 else f" The vertical axis starts at {y.low:g}%."
    described = "; ".join(
        f"{run.label} from {percent(curve[0][1])}% to at most {percent(max(value for _, value in curve))}%"
        for run, curve in measured
    )
    figure = curve_figure(
        curves,
        Axes(
            x=scale(0, max(epoch for curve in curves for epoch, _ in curve.points)),
            y=y,
            x_label="epoch",
            y_label="recall@20 on validation, %",
        ),
        name=f"{prefix}training",
        title="Validation while training",
        caption=f"Recall@20 on the validation split after each epoch; the mark is the best one.{starts}",
        alt=f"Line chart of validation recall at 20 over epochs. {described}.",
    )
    return [figure]
