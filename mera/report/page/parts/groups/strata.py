"""Recall@20 by group: code frequency, new and recurring codes, visits, age, sex, chapter."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.comparison.strata import MIN_TESTED_PATIENTS, Group, StratifiedRecall, best_in_group
from mera.report.measures.estimates import Estimate
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.panels import Dot, Panel, PanelRow, panel_figure
from mera.report.page.drawing.scales import scale
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Row, Table, cell
from mera.report.text import percent

BOLD_IN_GROUP = (
    "Bold: above every other model in that group by the paired test, Holm-corrected over this table, with 0 outside "
    "the interval; groups of fewer "
    f"than {MIN_TESTED_PATIENTS} patients are not tested."
)


def stratum_part(stratum: StratifiedRecall, runs: Sequence[ComparedRun], prefix: str, *, drawn: bool) -> Part:
    """`drawn`: with a panel for each group; for some five groups at most."""
    table = Table(
        name=f"strata-{stratum.key}",
        caption=f"Recall@20 by group. {stratum.definition} Of all true codes in a group, the share among the first 20 "
        f"of the full ranking: pooled, where the recall@20 of a model is a mean over examples. {BOLD_IN_GROUP}",
        columns=[
            Column(key=group.label, label=f"{group.label} ({_size(group)})", format="percent")
            for group in stratum.groups
        ],
        rows=[run_row(run, [_cell(stratum, run, place) for place in range(len(stratum.groups))]) for run in runs],
    )
    figures = [_recall_by_group(stratum, runs, prefix)] if drawn else []
    return Part(key=table.name, title=stratum.title, tables=[table], figures=figures)


def chapter_parts(strata: Sequence[StratifiedRecall], runs: Sequence[ComparedRun]) -> list[Part]:
    """Chapters are too many for columns: a row for each."""
    return [
        Part(key="strata-chapter", title=stratum.title, tables=[_chapter_table(stratum, runs)])
        for stratum in strata
        if stratum.key == "chapter"
    ]


def _chapter_table(stratum: StratifiedRecall, runs: Sequence[ComparedRun]) -> Table:
    return Table(
        name="strata-chapter",
        corner="Chapter",
        caption=f"Recall@20 by chapter. {stratum.definition} {BOLD_IN_GROUP}",
        columns=[
            Column(key="targets", label="True codes", format="whole"),
            Column(key="codes", label="Candidates", format="whole"),
            *(Column(key=run.name, label=run.label, format="percent") for run in runs),
        ],
        rows=[
            Row(
                label=group.label,
                cells=[
                    Cell(value=group.targets),
                    Cell(value=group.codes),
                    *(_cell(stratum, run, place) for run in runs),
                ],
            )
            for place, group in enumerate(stratum.groups)
        ],
    )


def _cell(stratum: StratifiedRecall, run: ComparedRun, place: int) -> Cell:
    return cell(stratum.values[run.name][place], run.name == best_in_group(stratum.pairs, place))


def _size(group: Group) -> str:
    """True codes, and what else this stratification counts."""
    sizes = [f"{group.targets:,} true codes"]
    if group.codes is not None:
        sizes.append(f"{group.codes:,} candidates")
    if group.examples is not None:
        sizes.append(f"{group.examples:,} examples")
    return ", ".join(sizes)


def _recall_by_group(stratum: StratifiedRecall, runs: Sequence[ComparedRun], prefix: str) -> Figure:
    """Groups without a true code are left out."""
    places = [place for place, group in enumerate(stratum.groups) if group.targets]
    values = {run.name: [stratum.values[run.name][place] for place in places] for run in runs}
    highest = max((recall.high or recall.value or 0.0 for recalls in values.values() for recall in recalls), default=0)
    described = "; ".join(
        f"{stratum.groups[place].label}: "
        + ", ".join(f"{run.label} {percent(stratum.values[run.name][place].value)}%" for run in runs)
        for place in places
    )
    return panel_figure(
        [
            Panel(title=stratum.groups[place].label, note=f"{stratum.groups[place].targets:,} true codes")
            for place in places
        ],
        [
            PanelRow(
                key=run.name, label=run.label, style=style_of(run.kind), dots=[share_dot(r) for r in values[run.name]]
            )
            for run in runs
        ],
        scale(0, 100 * max(highest, 0.01), steps=4),
        name=f"{prefix}strata-{stratum.key}",
        title=f"Recall@20 by {stratum.title[0].lower() + stratum.title[1:]}",
        caption="With 95% bootstrap intervals. Groups without a true code are left out.",
        alt=f"Recall at 20 in percent by group. {described}.",
        axis="recall@20, %",
    )


def share_dot(share: Estimate) -> Dot:
    """In percent."""
    value, low, high = (None if number is None else 100 * number for number in (share.value, share.low, share.high))
    return Dot(value=value, low=low, high=high)
