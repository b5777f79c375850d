"""How many codes are predicted: set sizes, the threshold that was fitted, and where it lies on the curve."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.decisions import SetSize
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.curves import Axes, Curve, curve_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import scale
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table, cell
from mera.report.text import number, percent


def decision_part(runs: Sequence[ComparedRun], targets_per_example: float, prefix: str) -> Part:
    return Part(
        key="set-size",
        title="How many codes are predicted",
        tables=[_sizes(runs, targets_per_example), *_new_sizes(runs), *_thresholds(runs)],
        figures=[*_size_curves(runs, targets_per_example, prefix), *_precision_recall_curves(runs, prefix)],
    )


def _sizes(runs: Sequence[ComparedRun], targets_per_example: float) -> Table:
    columns = [
        Column(key="mean_predicted", label="Predicted, mean", format="tenths"),
        Column(key="mean_absolute_error", label="Absolute error, mean", format="tenths"),
        Column(key="spearman", label="Spearman", format="hundredths"),
        Column(key="micro_precision", label="Precision, %", format="percent"),
        Column(key="micro_recall", label="Recall, %", format="percent"),
        Column(key="rows_without_prediction", label="Empty sets, %", format="percent"),
    ]

    return Table(
        name="set-size",
        caption="Codes above the model's own threshold against the true number "
        f"({number(targets_per_example, 1)} per example). Spearman: rank correlation of predicted and true "
        "number over examples.",
        columns=columns,
        rows=[run_row(run, _cells(run.breakdown.set_size, columns)) for run in runs],
    )


def _new_sizes(runs: Sequence[ComparedRun]) -> list[Table]:
    sized = [(run, run.breakdown.new_set_size) for run in runs if run.breakdown.new_set_size is not None]
    if not sized:
        return []
    columns = [
        Column(key="mean_predicted", label="New predicted, mean", format="hundredths"),
        Column(key="micro_precision", label="Precision, %", format="percent"),
        Column(key="micro_recall", label="Recall, %", format="percent"),
        Column(key="rows_without_prediction", label="No new code, %", format="percent"),
    ]
    true = number(sized[0][1].mean_true.value, 1)
    return [
        Table(
            name="new-set-size",
            caption=f"Of the codes above the threshold, those that the patient's history does not hold ({true} per "
            "example are true).",
            columns=columns,
            rows=[run_row(run, _cells(size, columns)) for run, size in sized],
        )
    ]


def _cells(size: SetSize | None, columns: Sequence[Column]) -> list[Cell]:
    """Of columns that are called as the fields of `size`."""
    return [Cell() if size is None else cell(getattr(size, column.key)) for column in columns]


def _thresholds(runs: Sequence[ComparedRun]) -> list[Table]:
    fitted = [(run, run.manifest.threshold) for run in runs if run.manifest.threshold is not None]
    if not fitted:
        return []
    return [
        Table(
            name="thresholds",
            caption="On the validation split, where the threshold was fitted: the EOV token's score as it was trained; "
            "the threshold that is used, EOV's share and the rest from the scores' log-sum-exp, plus a constant; and "
            "for comparison the best of all fixed thresholds on log-probabilities.",
            columns=[
                Column(key="eov_share", label="EOV's share of the threshold", format="hundredths"),
                Column(key="validation_micro_f1_eov", label="EOV as trained: micro F1, validation", format="percent"),
                Column(key="validation_micro_f1", label="Fitted: micro F1, validation", format="percent"),
                Column(
                    key="validation_micro_f1_fixed",
                    label="Best fixed threshold: micro F1, validation",
                    format="percent",
                ),
            ],
            rows=[
                run_row(
                    run,
                    [
                        Cell(value=threshold.eov_share),
                        Cell(value=threshold.validation_micro_f1_eov),
                        Cell(value=threshold.validation_micro_f1),
                        Cell(value=threshold.validation_micro_f1_fixed),
                    ],
                )
                for run, threshold in fitted
            ],
        )
    ]


def _size_curves(runs: Sequence[ComparedRun], targets_per_example: float, prefix: str) -> list[Figure]:
    sized = [(run, run.breakdown.set_size) for run in runs if run.breakdown.set_size is not None]
    if all(len(size.curve) < 2 for _, size in sized):
        return []  # every example has about as many true codes: there is nothing to follow
    true = scale(0, max(true for _, size in sized for true, _ in size.curve))
    predicted = scale(0, max(number for _, size in sized for point in size.curve for number in point), steps=4)
    means = ", ".join(f"{run.label} {number(size.mean_predicted.value, 1)}" for run, size in sized)
    figure = curve_figure(
        [Curve(label=run.label, style=style_of(run.kind), points=size.curve, marks=size.curve) for run, size in sized],
        Axes(
            x=true,
            y=predicted,
            x_label="true codes of the example (group mean)",
            y_label="predicted codes (mean)",
            reference=[(0, 0), (true.high, true.high)],
        ),
        name=f"{prefix}set-size",
        title="How many codes are predicted",
        caption="Mean number of codes above the model's threshold, for groups of examples with a similar true number. "
        "Dotted: as many as are true.",
        alt=f"Curves of predicted against true set size. Mean predicted size: {means}; mean true size "
        f"{targets_per_example:.1f}.",
    )
    return [figure]


def _precision_recall_curves(runs: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    measured = [(run, run.breakdown.precision_recall) for run in runs if run.breakdown.precision_recall is not None]
    if not measured:
        return []
    curves = []
    for run, curve in measured:
        points = [(100 * x, 100 * y) for x, y in zip(curve.recall, curve.precision, strict=True)]
        at_threshold = _at_threshold(run.breakdown.set_size)
        curves.append(Curve(label=run.label, style=style_of(run.kind), points=points, marks=at_threshold))
    highest = max(y for curve in curves for _, y in curve.points)
    sized = [(run, run.breakdown.set_size) for run, _ in measured if run.breakdown.set_size is not None]
    described = "; ".join(
        f"{run.label} precision {percent(size.micro_precision.value)}%, recall {percent(size.micro_recall.value)}%"
        for run, size in sized
    )
    figure = curve_figure(
        curves,
        Axes(
            x=scale(0, 100, steps=4),
            y=scale(0, max(5, highest), steps=4),
            x_label="recall, %",
            y_label="precision, %",
        ),
        name=f"{prefix}precision-recall",
        title="Where the threshold lies",
        caption="Precision and recall over all pairs of example and code, while one constant is added to every "
        "example's threshold. The mark: the threshold as it is (EOV for a MERA model). A model without a threshold "
        "has a curve and no mark.",
        alt=f"Precision-recall curves. At the threshold: {described or 'no model sets one'}.",
    )
    return [figure]


def _at_threshold(size: SetSize | None) -> list[tuple[float, float]]:
    """(recall, precision) in percent, where both exist."""
    if size is None or size.micro_precision.value is None or size.micro_recall.value is None:
        return []
    return [(100 * size.micro_recall.value, 100 * size.micro_precision.value)]
