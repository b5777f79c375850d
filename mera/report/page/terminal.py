"""The short form of the report, for the terminal: `mera compare runs/a runs/b`."""

from collections.abc import Sequence
from pathlib import Path

import rich.box
import rich.console
import rich.table
import rich.text

from mera.report.comparison.compare import compare
from mera.report.comparison.pairs import MetricDifference, find_pair, is_supported, is_tested
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.words.summary import describe_candidates, verdict
from mera.report.measures.load import group_runs
from mera.report.measures.measure import METRICS, NEW_CODE_METRICS
from mera.report.page.markdown_rows import markdown_rows
from mera.report.text import DASH, interval, p_value, percent
from mera.system.terminal import plain_console

SHORT_METRICS = ("recall@10", "recall@20", "weighted_f1_at_label_count", "micro_f1", "map")
NEW_SHORT_METRICS = tuple(metric.key for metric in NEW_CODE_METRICS)


def print_comparison(
    run_paths: Sequence[str | Path],
    *,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    markdown: bool = False,
    console: rich.console.Console | None = None,
) -> None:
    """Print the main metrics with intervals, the differences from the best model, and the summary in words; with
    `markdown` a line of Markdown for each model instead, to be pasted beside others'.

    Raises what `write_report` raises for runs that are missing or cannot be compared.
    """
    console = console or plain_console()
    (group,) = group_runs(run_paths)
    comparison = compare(group, bootstrap_samples, seed)
    if markdown:
        console.print(rich.text.Text(markdown_rows(comparison)), soft_wrap=True)
        return
    task, shown = comparison.task, comparison.shown
    competing = len(competitors(shown.runs)) > 1
    title = f"{task.name or 'unnamed task'}, {task.split}: percent, 95% interval; * best, supported"
    console.print(_values(shown.runs, SHORT_METRICS, title))
    if competing:
        console.print(_differences(shown.runs, shown.pairs, SHORT_METRICS))
    if any(run.metrics[key].value is not None for run in shown.runs for key in NEW_SHORT_METRICS):
        console.print(_values(shown.runs, NEW_SHORT_METRICS, "codes that the history does not hold (new onset)"))
        if competing:
            console.print(_differences(shown.runs, shown.pairs, NEW_SHORT_METRICS))
    lines = [*(f"- {bullet.sentence}" for bullet in verdict(comparison)), describe_candidates(comparison)]
    console.print(rich.text.Text("\n".join(lines)))


def _values(runs: Sequence[ComparedRun], keys: Sequence[str], title: str) -> rich.table.Table:
    table = _table(title, keys)
    for run in runs:
        values = [run.metrics[key] for key in keys]
        table.add_row(
            run.label,
            *(
                f"{percent(metric.value)}{'*' if metric.best else ''}"
                + (f"\n{interval(metric).replace(' to ', '–')}" if metric.low is not None else "")
                for metric in values
            ),
        )
    return table


def _differences(
    runs: Sequence[ComparedRun], all_pairs: Sequence[MetricDifference], keys: Sequence[str]
) -> rich.table.Table:
    best, *others = competitors(runs)
    table = _table(
        f"points from {best.label}; * supported by the Holm-corrected paired test, 0 outside the interval", keys
    )
    for run in others:
        pairs = [find_pair(all_pairs, key, run.name, best.name) for key in keys]
        table.add_row(run.label, *map(_difference, pairs))
    return table


def _difference(pair: MetricDifference | None) -> str:
    if pair is None:
        return DASH
    test = p_value(pair.p_holm) if is_tested(pair) else ""
    return f"{percent(pair.difference, signed=True)}{'*' if is_supported(pair) else ''}\n{test}"


def _table(title: str, keys: Sequence[str]) -> rich.table.Table:
    labels = {metric.key: metric.label for metric in METRICS}
    table = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE, show_lines=False)
    table.add_column("model")
    for key in keys:
        label = labels[key].replace("Weighted F1 at label count", "F1 at count").removeprefix("New codes: ")
        table.add_column(label, justify="right")
    return table
