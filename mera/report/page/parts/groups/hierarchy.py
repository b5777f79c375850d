"""How far wrong predictions are from the truth, in levels of the ontology."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.hierarchy import LEVEL_NAMES, ROOT, Hierarchy
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.panels import Panel, PanelRow, panel_figure
from mera.report.page.drawing.scales import scale
from mera.report.page.part import Part, run_row
from mera.report.page.parts.groups.strata import share_dot
from mera.report.page.tables import Cell, Column, Table, cell
from mera.report.text import percent


def hierarchy_parts(runs: Sequence[ComparedRun], prefix: str) -> list[Part]:
    """Nothing where no run has codes of two levels."""
    measured = [(run, run.breakdown.hierarchy) for run in runs if run.breakdown.hierarchy is not None]
    if not measured:
        return []
    levels = measured[0][1].levels
    accuracy = Table(
        name="accuracy-by-level",
        caption="Share of predicted codes that are right at each level, in percent; each example predicts as many "
        "codes as it truly has.",
        columns=[Column(key=level, label=LEVEL_NAMES[level], format="percent") for level in levels[1:]],
        rows=[run_row(run, [cell(hierarchy.accuracy[level]) for level in levels[1:]]) for run, hierarchy in measured],
    )
    names = {level: "nothing" if level == ROOT else LEVEL_NAMES[level] for level in levels}
    wrong = Table(
        name="wrong-predictions",
        caption="Of the wrong predictions, the share whose lowest common ancestor with a true code of the example is "
        f"at this level, in percent: how near they come. “{names[ROOT]} shared”: not even the {LEVEL_NAMES[levels[1]]} "
        "is right.",
        columns=[
            Column(key="wrong_predictions", label="Wrong predictions", format="whole"),
            *(Column(key=level, label=f"{names[level]} shared", format="percent") for level in levels[:-1]),
        ],
        rows=[
            run_row(
                run,
                [Cell(value=hierarchy.wrong_predictions), *(cell(hierarchy.wrong[level]) for level in levels[:-1])],
            )
            for run, hierarchy in measured
        ],
    )
    title = "How far wrong predictions are from the truth"
    figures = [_accuracy_by_level(measured, levels[1:], prefix)]
    return [Part(key="hierarchy", title=title, tables=[accuracy, wrong], figures=figures)]


def _accuracy_by_level(measured: Sequence[tuple[ComparedRun, Hierarchy]], levels: Sequence[str], prefix: str) -> Figure:
    described = "; ".join(
        f"{run.label}: " + ", ".join(f"{level} {percent(hierarchy.accuracy[level].value)}%" for level in levels)
        for run, hierarchy in measured
    )
    return panel_figure(
        [Panel(title=level, note="") for level in levels],
        [
            PanelRow(
                key=run.name,
                label=run.label,
                style=style_of(run.kind),
                dots=[share_dot(hierarchy.accuracy[level]) for level in levels],
            )
            for run, hierarchy in measured
        ],
        scale(0, 100, steps=2),
        name=f"{prefix}levels",
        title="How close wrong predictions come",
        caption="Each example predicts as many codes as it truly has. A prediction is right at a level where a true "
        "code of the example lies in the same group; the drop between two levels is what goes wrong between them.",
        alt=f"Accuracy by level of the ontology. {described}.",
        axis="right predictions, %",
    )
