"""The short form of the report, for the terminal: `mera compare runs/a runs/b`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from mera.report.comparison.compare import compare
from mera.report.comparison.pairs import competitors
from mera.report.measures.candidates import describe_candidates
from mera.report.measures.load import group_runs
from mera.report.measures.measure import METRICS
from mera.report.page.contents import difference_cell
from mera.report.text import DASH, interval, percent

SHORT_METRICS = ("recall@10", "recall@20", "weighted_f1_at_label_count", "micro_f1", "map")


def print_comparison(
    run_paths: Sequence[str | Path],
    *,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    console: rich.console.Console | None = None,
) -> None:
    """Print the main metrics with intervals, the differences from the best model, and the summary in words.

    Raises what `write_report` raises for runs that are missing or cannot be compared.
    """
    console = console or rich.console.Console()
    (group,) = group_runs(run_paths)
    section = compare(group, bootstrap_samples, seed)
    console.print(_values(section))
    if len(competitors(section)) > 1:
        console.print(_differences(section))
    console.print(rich.text.Text(" ".join([*section["summary"], describe_candidates(section)])))


def _values(section: dict[str, Any]) -> rich.table.Table:
    task = section["task"]
    table = _table(f"{task.get('name', 'unnamed task')}, {task['split']}: percent, 95% interval; * best, supported")
    for run in section["runs"]:
        cells = [run["metrics"][key] for key in SHORT_METRICS]
        table.add_row(
            run["label"],
            *(
                f"{percent(cell['value'])}{'*' if cell['best'] else ''}"
                + (f"\n{interval(cell).replace(' to ', '–')}" if cell["low"] is not None else "")
                for cell in cells
            ),
        )
    return table


def _differences(section: dict[str, Any]) -> rich.table.Table:
    best, *others = competitors(section)
    table = _table(f"points from {best['label']}; * supported by the Holm-corrected paired test")
    for run in others:
        cells = [difference_cell(section, key, run["run"], best["run"]) for key in SHORT_METRICS]
        table.add_row(
            run["label"],
            *(
                f"{percent(cell.value, signed=True)}{'*' if cell.strong else ''}\n{cell.note}"
                if cell.value is not None
                else DASH
                for cell in cells
            ),
        )
    return table


def _table(title: str) -> rich.table.Table:
    labels = {metric.key: metric.label for metric in METRICS}
    table = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE, show_lines=False)
    table.add_column("model")
    for key in SHORT_METRICS:
        table.add_column(labels[key].replace("Weighted F1 at label count", "F1 at count"), justify="right")
    return table
