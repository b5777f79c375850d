"""How far wrong predictions are from the truth, in levels of the ontology."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.hierarchy import LEVEL_NAMES, Hierarchy
from mera.report.page.drawing import Figure, LineStyle, in_percent, make_figure, styled_runs
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table, cell
from mera.report.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def hierarchy_parts(runs: Sequence[ComparedRun], prefix: str) -> list[Part]:
    """Nothing where no run has codes of two levels."""
    measured = [
        (style, run, run.breakdown.hierarchy) for style, run in styled_runs(runs) if run.breakdown.hierarchy is not None
    ]
    if not measured:
        return []
    levels = measured[0][2].levels
    accuracy = Table(
        name="accuracy-by-level",
        caption="Share of predicted codes that are right at each level, in percent; each example predicts as many "
        "codes as it truly has.",
        columns=[Column(key=level, label=LEVEL_NAMES[level], format="percent") for level in levels[1:]],
        rows=[
            run_row(run, [cell(hierarchy.accuracy[level]) for level in levels[1:]]) for _, run, hierarchy in measured
        ],
    )
    names = {level: "nothing" if level == "all" else LEVEL_NAMES[level] for level in levels}
    wrong = Table(
        name="wrong-predictions",
        caption="Of the wrong predictions, the share whose lowest common ancestor with a true code of the example is "
        f"at this level, in percent: how near they come. “{names['all']} shared”:  not even the chapter is right.",
        columns=[
            Column(key="wrong_predictions", label="Wrong predictions", format="whole"),
            *(Column(key=level, label=f"{names[level]} shared", format="percent") for level in levels[:-1]),
        ],
        rows=[
            run_row(
                run,
                [Cell(value=hierarchy.wrong_predictions), *(cell(hierarchy.wrong[level]) for level in levels[:-1])],
            )
            for _, run, hierarchy in measured
        ],
    )
    title = "How far wrong predictions are from the truth"
    figures = [_accuracy_by_level(measured, levels[1:], prefix)]
    return [Part(key="hierarchy", title=title, tables=[accuracy, wrong], figures=figures)]


def _accuracy_by_level(
    measured: Sequence[tuple[LineStyle, ComparedRun, Hierarchy]], levels: Sequence[str], prefix: str
) -> Figure:
    def draw(axes: "Axes") -> None:
        for number, (style, _, hierarchy) in enumerate(measured):
            shift = 0.5 * ((number + 0.5) / len(measured) - 0.5)
            shares = [hierarchy.accuracy[level] for level in levels]
            places = [place + shift for place in range(len(levels))]
            axes.plot(places, [in_percent(share.value) for share in shares], **style.line())
            for place, share in zip(places, shares, strict=True):
                if share.low is not None and share.high is not None:
                    axes.plot([place] * 2, [100 * share.low, 100 * share.high], color=style.color, linewidth=1.2)
        axes.set_xticks(range(len(levels)), [LEVEL_NAMES[level].replace(" (", "\n(") for level in levels])
        axes.set_ylim(0)
        axes.set_ylabel("right predictions, %")
        axes.grid(axis="x", visible=False)

    described = "; ".join(
        f"{run.label}: " + ", ".join(f"{level} {percent(hierarchy.accuracy[level].value)}%" for level in levels)
        for _, run, hierarchy in measured
    )
    return make_figure(
        name=f"{prefix}levels",
        title="How close wrong predictions come",
        caption="Each example predicts as many codes as it truly has. A prediction is right at a level where a true "
        "code of the example lies in the same group; the drop between two levels is what goes wrong between them.",
        alt=f"Line chart of accuracy by level of the ontology. {described}.",
        draw=draw,
        legend=True,
    )
