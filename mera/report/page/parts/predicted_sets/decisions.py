"""How many codes are predicted: set sizes, the threshold that was fitted, and where it lies on the curve."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.decisions import PrecisionRecall, SetSize
from mera.report.page.drawing import INK, Figure, LineStyle, in_percent, make_figure, styled_runs
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table, cell
from mera.report.text import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def decision_part(runs: Sequence[ComparedRun], targets_per_example: float, prefix: str) -> Part:
    return Part(
        key="set-size",
        title="How many codes are predicted",
        tables=[_sizes(runs, targets_per_example), *_thresholds(runs)],
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

    def cells(size: SetSize | None) -> list[Cell]:
        if size is None:
            return [Cell()] * len(columns)
        estimates = [size.mean_predicted, size.mean_absolute_error, size.spearman]
        estimates += [size.micro_precision, size.micro_recall, size.rows_without_prediction]
        return [cell(estimate) for estimate in estimates]

    return Table(
        name="set-size",
        caption="Codes above the model's own threshold against the true number "
        f"({number(targets_per_example, 1)} per example). Spearman: rank correlation of predicted and true "
        "number over examples.",
        columns=columns,
        rows=[run_row(run, cells(run.breakdown.set_size)) for run in runs],
    )


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
    sized = [
        (style, run, run.breakdown.set_size) for style, run in styled_runs(runs) if run.breakdown.set_size is not None
    ]
    if all(len(size.curve) < 2 for _, _, size in sized):
        return []  # every example has about as many true codes: there is nothing to follow

    def draw(axes: "Axes") -> None:
        largest = 0.0
        for style, _, size in sized:
            true, predicted = zip(*size.curve, strict=True)
            axes.plot(true, predicted, **style.line())
            largest = max(largest, *true, *predicted)
        axes.plot([0, largest], [0, largest], color=INK, linewidth=1, linestyle=":", label="as many as true")
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.set_xlabel("true codes of the example (group mean)")
        axes.set_ylabel("predicted codes (mean)")

    means = ", ".join(f"{run.label} {number(size.mean_predicted.value, 1)}" for _, run, size in sized)
    figure = make_figure(
        name=f"{prefix}set-size",
        title="How many codes are predicted",
        caption="Mean number of codes above the model's threshold, for groups of examples with a similar true number.",
        alt=f"Line chart of predicted against true set size. Mean predicted size: {means}; mean true size "
        f"{targets_per_example:.1f}.",
        draw=draw,
        legend=True,
    )
    return [figure]


def _precision_recall_curves(runs: Sequence[ComparedRun], prefix: str) -> list[Figure]:
    curves = [
        (style, run, run.breakdown.precision_recall)
        for style, run in styled_runs(runs)
        if run.breakdown.precision_recall is not None
    ]
    if not curves:
        return []

    def draw(axes: "Axes") -> None:
        for style, run, curve in curves:
            _draw_curve(axes, style, curve, run.breakdown.set_size)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, max(5, min(100, 1.05 * axes.dataLim.y1)))
        axes.set_xlabel("recall, %")
        axes.set_ylabel("precision, %")

    sized = [(run, run.breakdown.set_size) for _, run, _ in curves if run.breakdown.set_size is not None]
    points = "; ".join(
        f"{run.label} precision {percent(size.micro_precision.value)}%, recall {percent(size.micro_recall.value)}%"
        for run, size in sized
    )
    figure = make_figure(
        name=f"{prefix}precision-recall",
        title="Where the threshold lies",
        caption="Precision and recall over all pairs of example and code, while one constant is added to every "
        "example's threshold. The marked point: the threshold as it is (EOV for a MERA model). A model without a "
        "threshold has a curve and no point.",
        alt=f"Precision-recall curves. At the threshold: {points or 'no model sets one'}.",
        draw=draw,
        legend=True,
    )
    return [figure]


def _draw_curve(axes: "Axes", style: LineStyle, curve: PrecisionRecall, size: SetSize | None) -> None:
    recall, precision = ([100 * value for value in values] for values in (curve.recall, curve.precision))
    axes.plot(recall, precision, **style.line(), markevery=[])
    if size is not None and size.micro_precision.value is not None:
        axes.plot(
            in_percent(size.micro_recall.value),
            in_percent(size.micro_precision.value),
            marker=style.marker if style.marker != "none" else "o",
            color=style.color,
            markersize=9,
            markeredgecolor=INK,
        )
