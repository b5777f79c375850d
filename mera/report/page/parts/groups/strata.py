"""Recall@20 by group: code frequency, new and recurring codes, visits, age, sex, chapter."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mera.report.comparison.runs import ComparedRun
from mera.report.comparison.strata import MIN_TESTED_PATIENTS, Group, StratifiedRecall, best_in_group
from mera.report.page.drawing import Figure, make_figure, styled_runs
from mera.report.page.part import Part
from mera.report.page.tables import Cell, Column, Row, Table, cell
from mera.report.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOLD_IN_GROUP = (
    "Bold: above every other model in that group by the paired test, Holm-corrected over this table; groups of fewer "
    f"than {MIN_TESTED_PATIENTS} patients are not tested."
)


def stratum_part(stratum: StratifiedRecall, runs: Sequence[ComparedRun], prefix: str) -> Part:
    """Chapters are too many for a figure: their table says what they are."""
    is_drawn = stratum.key != "chapter"
    best = [best_in_group(stratum.pairs, place) for place in range(len(stratum.groups))]
    columns, counts = _counts(stratum.groups)
    table = Table(
        name=f"strata-{stratum.key}",
        corner="Group",
        caption=f"Recall@20; the numbers of the figure. {BOLD_IN_GROUP}"
        if is_drawn
        else f"Recall@20 by group. {stratum.definition} Of all true codes in a group, the share among the first 20 "
        f"of the full ranking. {BOLD_IN_GROUP}",
        columns=columns + [Column(key=run.name, label=run.label, format="percent") for run in runs],
        rows=[
            Row(
                label=group.label,
                cells=counts[place] + [cell(stratum.values[run.name][place], run.name == best[place]) for run in runs],
            )
            for place, group in enumerate(stratum.groups)
        ],
    )
    figures = [_recall_by_group(stratum, runs, prefix)] if is_drawn else []
    return Part(key=table.name, title=stratum.title, tables=[table], figures=figures)


def _counts(groups: Sequence[Group]) -> tuple[list[Column], list[list[Cell]]]:
    """Columns, and for each group its cells: true codes, candidates, examples; those that this stratification has."""
    known = [("targets", "True codes", [group.targets for group in groups])]
    codes, examples = [group.codes for group in groups], [group.examples for group in groups]
    known += [("codes", "Candidates", [number for number in codes if number is not None])]
    known += [("examples", "Examples", [number for number in examples if number is not None])]
    known = [(key, label, numbers) for key, label, numbers in known if numbers]
    return (
        [Column(key=key, label=label, format="whole") for key, label, _ in known],
        [[Cell(value=numbers[place]) for _, _, numbers in known] for place in range(len(groups))],
    )


def _recall_by_group(stratum: StratifiedRecall, runs: Sequence[ComparedRun], prefix: str) -> Figure:
    groups = [index for index, group in enumerate(stratum.groups) if group.targets]

    def draw(axes: "Axes") -> None:
        styled = styled_runs(runs)
        for number, (style, run) in enumerate(styled):
            shift = 0.7 * ((number + 0.5) / len(styled) - 0.5)
            for place, index in enumerate(groups):
                recall = stratum.values[run.name][index]
                if recall.value is None:
                    continue
                if recall.low is not None and recall.high is not None:
                    ends = [100 * recall.low, 100 * recall.high]
                    axes.plot([place + shift] * 2, ends, color=style.color, linewidth=1.4)
                axes.plot(
                    place + shift,
                    100 * recall.value,
                    linestyle="none",
                    color=style.color,
                    marker="_" if style.marker == "none" else style.marker,
                    markersize=6,
                    label=style.label if place == 0 else None,
                    clip_on=False,
                )
        names = [f"{stratum.groups[i].label}\n{stratum.groups[i].targets:,} targets" for i in groups]
        axes.set_xticks(range(len(groups)), names)
        axes.set_xlim(-0.5, len(groups) - 0.5)
        axes.set_ylim(0)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("recall@20, %")

    described = "; ".join(
        f"{stratum.groups[index].label}: "
        + ", ".join(f"{run.label} {percent(stratum.values[run.name][index].value)}%" for run in runs)
        for index in groups
    )
    return make_figure(
        name=f"{prefix}strata-{stratum.key}",
        title=f"Recall@20 by {stratum.title[0].lower() + stratum.title[1:]}",
        caption=f"{stratum.definition} Of all true codes in a group, the share among the first 20 of the full ranking, "
        "with 95% bootstrap intervals. Groups without a true code are left out.",
        alt=f"Recall at 20 in percent by group. {described}.",
        draw=draw,
        legend=True,
    )
