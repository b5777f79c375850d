"""For whom the best model is ahead of what it has to beat, group of patients by group."""

from collections.abc import Sequence

from mera.report.comparison.compare import Comparison
from mera.report.comparison.runs import competitors
from mera.report.comparison.words.groups import WIDE, GroupComparison, compare_groups, rival_of_best
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.dots import DotRow, Reference, dot_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import difference_scale
from mera.report.page.part import Part
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.text import interval, percent


def group_parts(comparison: Comparison, prefix: str) -> list[Part]:
    """Nothing without a rival, or where no group of patients is known."""
    groups = compare_groups(comparison)
    runs = competitors(comparison.shown.runs)
    rival = rival_of_best(runs) if groups else None
    if rival is None:
        return []
    best = runs[0]
    table = Table(
        name="patient-groups",
        corner="Group",
        caption=f"Recall@20 of {best.label} and of {rival.label}, which it has to beat, and the paired difference. "
        f"An interval wider than {100 * WIDE:.0f} points says too little for a group. p-values are corrected over the "
        "groups and pairs of a stratification.",
        columns=[
            Column(key="patients", label="Patients", format="whole"),
            Column(key="recall", label=best.label, format="percent"),
            Column(key="rival_recall", label=rival.label, format="percent"),
            Column(key="difference", label="Difference, points", format="points"),
            Column(key="statement", label="Statement"),
        ],
        rows=[
            Row(
                label=group.label,
                cells=[
                    Cell(value=group.group.patients),
                    Cell(value=group.recall),
                    Cell(value=group.rival_recall),
                    Cell(value=group.difference, low=group.low, high=group.high, strong=group.supported),
                    Cell(value=group.statement),
                ],
            )
            for group in groups
        ],
    )
    figure = _forest(groups, best.label, rival.label, best.kind, prefix)
    return [Part(key="patient-groups", title=f"{best.label} against {rival.label}", tables=[table], figures=[figure])]


def _forest(groups: Sequence[GroupComparison], best: str, rival: str, kind: str | None, prefix: str) -> Figure:
    rows = [
        DotRow(
            key=group.label,
            label=group.group.label,
            value=None if group.difference is None else 100 * group.difference,
            low=None if group.low is None else 100 * group.low,
            high=None if group.high is None else 100 * group.high,
            printed=_printed(group),
            style=style_of(kind),
            filled=group.supported,
            note=f"({group.group.patients:,} patients{', too few to say' if group.is_unreliable else ''})",
            heading=group.title,
        )
        for group in groups
    ]
    described = "; ".join(f"{group.label} {_printed(group)}, {group.statement}" for group in groups)
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    return dot_figure(
        rows,
        difference_scale([row.value for row in rows if row.value is not None], ends),
        name=f"{prefix}patient-groups",
        title=f"Recall@20 of {best} minus that of {rival}",
        caption="On the same patients, with 95% bootstrap intervals. Right of the line the model is ahead. A filled "
        "mark: supported by the corrected paired test, with 0 outside the interval; an open one: not.",
        alt=f"Forest plot of differences in recall at 20, {best} minus {rival}: {described}.",
        axis="recall@20, points",
        reference=Reference(value=0),
    )


def _printed(group: GroupComparison) -> str:
    printed = percent(group.difference, signed=True)
    if group.low is None or group.high is None:
        return printed
    return f"{printed} ({interval(group, signed=True)})"
