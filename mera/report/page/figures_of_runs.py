"""The figures of what a run decides and how it was trained: set sizes, threshold, calibration, widths, curves."""

from typing import TYPE_CHECKING, Any

from mera.report.measures.records import WIDTH_METRICS
from mera.report.page.drawing import INK, Figure, make_figure, styled_runs
from mera.report.text import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VALIDATION_CURVE = "recall_at_20"
WIDTH_CURVE = "recall_at_20"


def draw_run_figures(section: dict[str, Any], prefix: str) -> list[Figure]:
    """Every figure that some run has the numbers for."""
    makers = {
        "set_size": _set_sizes,
        "precision_recall": _precision_recall,
        "reliability": _reliability,
        "widths": _widths,
        "training": _training,
    }
    found: list[Figure] = []
    for key, make in makers.items():
        drawn = [(style, run) for style, run in styled_runs(section) if run[key]]
        if drawn:
            found += make(section, drawn, prefix)
    return found


def _set_sizes(section: dict[str, Any], drawn: list[tuple[dict, dict]], prefix: str) -> list[Figure]:
    if all(len(run["set_size"]["curve"]) < 2 for _, run in drawn):
        return []  # every example has about as many true codes: there is nothing to follow

    def draw(axes: "Axes") -> None:
        largest = 0.0
        for style, run in drawn:
            true, predicted = zip(*run["set_size"]["curve"], strict=True)
            axes.plot(true, predicted, **style)
            largest = max(largest, *true, *predicted)
        axes.plot([0, largest], [0, largest], color=INK, linewidth=1, linestyle=":", label="as many as true")
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.set_xlabel("true codes of the example (group mean)")
        axes.set_ylabel("predicted codes (mean)")

    means = ", ".join(f"{run['label']} {number(run['set_size']['mean_predicted']['value'], 1)}" for _, run in drawn)
    figure = make_figure(
        f"{prefix}set-size",
        "How many codes are predicted",
        "Mean number of codes above the model's threshold, for groups of examples with a similar true number.",
        f"Line chart of predicted against true set size. Mean predicted size: {means}; mean true size "
        f"{section['targets_per_example']:.1f}.",
        draw,
        legend=True,
    )
    return [figure]


def _precision_recall(section: dict[str, Any], drawn: list[tuple[dict, dict]], prefix: str) -> list[Figure]:
    def draw(axes: "Axes") -> None:
        for style, run in drawn:
            curve = run["precision_recall"]
            line = style | {"markevery": []}
            axes.plot(*([100 * value for value in curve[key]] for key in ("recall", "precision")), **line)
            if run["set_size"] and run["set_size"]["micro_precision"]["value"] is not None:
                point = [100 * run["set_size"][key]["value"] for key in ("micro_recall", "micro_precision")]
                marker = style["marker"] if style["marker"] != "none" else "o"
                axes.plot(*point, marker=marker, color=style["color"], markersize=9, markeredgecolor=INK)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, max(5, min(100, 1.05 * axes.dataLim.y1)))
        axes.set_xlabel("recall, %")
        axes.set_ylabel("precision, %")

    points = "; ".join(
        f"{run['label']} precision {percent(run['set_size']['micro_precision']['value'])}%, recall "
        f"{percent(run['set_size']['micro_recall']['value'])}%"
        for _, run in drawn
        if run["set_size"]
    )
    figure = make_figure(
        f"{prefix}precision-recall",
        "Where the threshold lies",
        "Precision and recall over all pairs of example and code, while one constant is added to every example's "
        "threshold. The marked point: the threshold as it is (EOV for a MERA model). A model without a threshold has a "
        "curve and no point.",
        f"Precision-recall curves. At the threshold: {points or 'no model sets one'}.",
        draw,
        legend=True,
    )
    return [figure]


def _reliability(section: dict[str, Any], drawn: list[tuple[dict, dict]], prefix: str) -> list[Figure]:
    def draw(axes: "Axes") -> None:
        largest = 0.0
        for style, run in drawn:
            curve = [point for point in run["reliability"]["curve"] if point["observed"]["value"] is not None]
            predicted = [100 * point["predicted"] for point in curve]
            observed = [100 * point["observed"]["value"] for point in curve]
            axes.plot(predicted, observed, **style)
            for x, point in zip(predicted, curve, strict=True):
                if point["observed"]["low"] is not None:
                    ends = [100 * point["observed"][end] for end in ("low", "high")]
                    axes.plot([x, x], ends, color=style["color"], linewidth=1.2)
            largest = max([largest, *predicted, *observed])
        axes.plot([0, largest], [0, largest], color=INK, linewidth=1, linestyle=":", label="as often as predicted")
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.set_xlabel("predicted probability, % (group mean)")
        axes.set_ylabel("true, %")

    errors = ", ".join(f"{run['label']} {percent(run['reliability']['ece_first']['value'])} points" for _, run in drawn)
    figure = make_figure(
        f"{prefix}calibration",
        "Whether probabilities mean what they say",
        "The first 20 codes of each example in 10 groups of similar probability: the mean probability against the "
        "share that is true, with 95% bootstrap intervals. On the dotted line, 30% comes true in 30% of cases.",
        f"Reliability curves. Expected calibration error among the first 20 codes: {errors}.",
        draw,
        legend=True,
    )
    return [figure]


def _widths(section: dict[str, Any], drawn: list[tuple[dict, dict]], prefix: str) -> list[Figure]:
    quality = [
        (style, run, [[row["width"], 100 * row["metrics"][WIDTH_CURVE]] for row in run["widths"]])
        for style, run in drawn
        if all(WIDTH_CURVE in row["metrics"] for row in run["widths"])
    ]
    speed = [
        (style, run, [[row["width"], row["queries_per_second"]] for row in run["widths"]])
        for style, run in drawn
        if all(row.get("queries_per_second") for row in run["widths"])
    ]
    found = []
    if quality:
        found.append(
            _over_width(
                quality,
                f"{prefix}widths",
                f"{WIDTH_METRICS[WIDTH_CURVE]} on validation, %",
                "Quality over the width of the embedding",
                "Each model scores with the first numbers of its embeddings only (Matryoshka), without a prior, on the "
                "validation split. The vertical axis does not start at 0.",
            )
        )
    if speed:
        found.append(
            _over_width(
                speed,
                f"{prefix}widths-speed",
                "queries per second",
                "Speed over the width of the embedding",
                "Exact search among all candidates; the embedding of the query is not counted.",
            )
        )
    return found


def _over_width(
    curves: list[tuple[dict, dict, list[list[float]]]], name: str, label: str, title: str, caption: str
) -> Figure:
    def draw(axes: "Axes") -> None:
        widths = sorted({width for *_, curve in curves for width, _ in curve})
        for style, _, curve in curves:
            axes.plot(*zip(*curve, strict=True), **style)
        axes.set_xscale("log")
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        axes.set_xlabel("width of the embedding, numbers per code")
        axes.set_ylabel(label)

    described = "; ".join(
        f"{run['label']}: " + ", ".join(f"{width} wide {number(value, 1)}" for width, value in curve)
        for _, run, curve in curves
    )
    alt = f"Line chart of {label} over embedding width. {described}."
    return make_figure(name, title, caption, alt, draw, legend=True)


def _training(section: dict[str, Any], drawn: list[tuple[dict, dict]], prefix: str) -> list[Figure]:
    measured = [(style, run["training"]["validation"].get(VALIDATION_CURVE), run) for style, run in drawn]
    measured = [(style, curve, run) for style, curve, run in measured if curve]
    if not measured:
        return []

    def draw(axes: "Axes") -> None:
        for style, curve, _ in measured:
            axes.plot([epoch for epoch, _ in curve], [100 * value for _, value in curve], **style)
        axes.set_xlabel("epoch")
        axes.set_ylabel("recall@20 on validation, %")

    described = "; ".join(
        f"{run['label']} from {percent(curve[0][1])}% to at most {percent(max(value for _, value in curve))}%"
        for _, curve, run in measured
    )
    figure = make_figure(
        f"{prefix}training",
        "Validation while training",
        "Recall@20 on the validation split after each epoch. The vertical axis does not start at 0.",
        f"Line chart of validation recall at 20 over epochs. {described}.",
        draw,
        legend=True,
    )
    return [figure]
