"""The first screen of a task: what was compared, the verdict, one chart of the main metric, one small table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mera.report.comparison.compare import Comparison
from mera.report.comparison.pairs import LEADING_METRIC, find_pair, is_supported, is_tested
from mera.report.comparison.runs import ComparedRun, MetricValue, competitors
from mera.report.comparison.words.summary import Bullet, verdict
from mera.report.measures.measure import METRICS
from mera.report.page.drawing.colours import style_of
from mera.report.page.drawing.dots import DotRow, Reference, dot_figure
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import Scale, share_scale
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.text import interval, percent

MOST_ROWS = 8
"""Models in the small table; with more, the first ones and the best of each kind, and the chart shows families."""
SMALL_METRICS = ("map", "micro_f1")
TASK_KINDS = {"diagnosis": "the diagnoses of the next visit", "coding": "the codes of a note"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    name: str
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstScreen:
    facts: Sequence[Fact]
    verdict: Sequence[Bullet]
    figure: Figure
    table: Table
    data: str
    """JSON for the chart's controls: every metric of every run, in percent."""


def first_screen(comparison: Comparison, prefix: str) -> FirstScreen:
    """`prefix` makes the figure's name unique over sections."""
    return FirstScreen(
        facts=facts(comparison),
        verdict=verdict(comparison),
        figure=_overview(comparison, prefix),
        table=_small_table(comparison),
        data=_chart_data(comparison),
    )


def facts(comparison: Comparison) -> list[Fact]:
    """Task, split, patients, candidates, and what a random order would reach."""
    task = comparison.task
    kind = TASK_KINDS.get(task.kind or "", task.kind or "")
    protocol = f", protocol {task.protocol}" if task.protocol else ""
    return [
        Fact(name="Task", words=": ".join(filter(None, [task.name or "unnamed task", kind]))),
        Fact(name="Split", words=f"{task.split}{protocol}"),
        Fact(
            name="Patients",
            words=f"{comparison.patients:,} ({comparison.examples:,} examples of "
            f"{comparison.targets_per_example:.1f} true codes)",
        ),
        Fact(name="Candidates", words=f"{comparison.candidates.number:,} codes"),
        Fact(name="Random order", words=f"{percent(comparison.candidates.random_recall)}% recall@20"),
    ]


def _overview(comparison: Comparison, prefix: str) -> Figure:
    runs, best = comparison.shown.runs, next(iter(competitors(comparison.shown.runs)), None)
    headings = {name: family.label for family in comparison.families for name in family.runs}
    if len(runs) > MOST_ROWS:
        order = list(headings)
        runs = tuple(sorted(runs, key=lambda run: order.index(run.name)))
    values = {run.name: run.metrics[LEADING_METRIC] for run in runs}
    rows = []
    for run in runs:
        value = values[run.name]
        is_best = best is not None and run.name == best.name
        rows.append(
            DotRow(
                key=run.name,
                label=run.label,
                value=_in_percent(value.value),
                low=_in_percent(value.low),
                high=_in_percent(value.high),
                printed=printed_value(value),
                style=style_of(run.kind),
                strong=is_best,
                note=_note(comparison, run, best),
                heading=headings[run.name] if len(runs) > MOST_ROWS else "",
            )
        )
    numbers = [number for row in rows for number in (row.value, row.low, row.high) if number is not None]
    scale = share_scale(numbers)
    described = "; ".join(f"{row.label} {row.printed}" for row in rows)
    return dot_figure(
        rows,
        scale,
        name=f"{prefix}overview",
        title="Recall@20 of every model",
        caption=_caption(runs, scale),
        alt=f"Recall at 20 in percent, with 95% intervals. {described}.",
        axis="recall@20, %",
        reference=Reference(value=100 * (comparison.candidates.random_recall or 0.0), label="random order"),
    )


def _note(comparison: Comparison, run: ComparedRun, best: ComparedRun | None) -> str:
    """What stands beside a model in the chart."""
    if run.is_oracle:
        return "a bound, not a model"
    pair = None if best is None else find_pair(comparison.shown.pairs, LEADING_METRIC, run.name, best.name)
    if pair is None or is_supported(pair):
        return ""
    return "not told apart" if is_tested(pair) else "not tested"


def _caption(runs: Sequence[ComparedRun], scale: Scale) -> str:
    starts = "" if scale.low == 0 else f" The axis starts at {scale.low:g}%."
    return f"Mean share of a row's true codes among its first 20, with 95% bootstrap intervals.{starts} {_marks(runs)}"


def _marks(runs: Sequence[ComparedRun]) -> str:
    """Which mark stands for which kind of model."""
    styles = dict.fromkeys(style_of(run.kind) for run in runs)
    marks = ", ".join(f"{each.mark_name}: {each.name}" for each in styles)
    return f"{marks[0].upper()}{marks[1:]}."


def _small_table(comparison: Comparison) -> Table:
    """Recall@20, the difference from the best model, MAP and micro F1."""
    labels = {metric.key: metric.label for metric in METRICS}
    best = next(iter(competitors(comparison.shown.runs)), None)
    shown = shown_runs(comparison.shown.runs)
    rest = len(comparison.shown.runs) - len(shown)
    caption = "In percent. Bold difference: supported by the paired test, with 0 outside the interval. "
    caption += "Intervals stand in the chart and below."
    if rest:
        caption += f" {rest} more model{' stands' if rest == 1 else 's stand'} in the tables below."
    return Table(
        name="overview",
        caption=caption,
        columns=[
            Column(key=LEADING_METRIC, label=labels[LEADING_METRIC], format="percent"),
            Column(key="difference", label="From best, points", format="points"),
            *(Column(key=key, label=labels[key], format="percent") for key in SMALL_METRICS),
        ],
        rows=[
            Row(
                label=run.label,
                faint=run.is_oracle,
                run=run.name,
                cells=[
                    Cell(value=run.metrics[LEADING_METRIC].value),
                    _difference(comparison, run, best),
                    *(Cell(value=run.metrics[key].value) for key in SMALL_METRICS),
                ],
            )
            for run in shown
        ],
    )


def shown_runs(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """At most MOST_ROWS and the best of each kind, in their order."""
    first_of_kind = {run.name for run in reversed({run.kind: run for run in reversed(runs)}.values())}
    return [run for place, run in enumerate(runs) if place < MOST_ROWS or run.name in first_of_kind]


def _difference(comparison: Comparison, run: ComparedRun, best: ComparedRun | None) -> Cell:
    if best is None or run.is_oracle or run.name == best.name:
        return Cell()
    pair = find_pair(comparison.shown.pairs, LEADING_METRIC, run.name, best.name)
    if pair is None:
        return Cell()
    return Cell(value=pair.difference, strong=is_supported(pair))


def _chart_data(comparison: Comparison) -> str:
    measured = [m for m in METRICS if any(run.metrics[m.key].value is not None for run in comparison.shown.runs)]
    data = {
        "metrics": [{"key": metric.key, "label": metric.label, "meaning": metric.meaning} for metric in measured],
        "marks": _marks(comparison.shown.runs),
        "leading": LEADING_METRIC,
        "labels": {run.name: run.label for run in comparison.shown.runs},
        "runs": {run.name: {m.key: _numbers(run.metrics[m.key]) for m in measured} for run in comparison.shown.runs},
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _numbers(value: MetricValue) -> list[float | None]:
    return [None if end is None else round(100 * end, 3) for end in (value.value, value.low, value.high)]


def printed_value(value: MetricValue) -> str:
    """`65.1 (64.0 to 66.2)`."""
    return percent(value.value) if value.low is None else f"{percent(value.value)} ({interval(value)})"


def _in_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
