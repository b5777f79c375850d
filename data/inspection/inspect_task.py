"""Show what is in a prepared task.

python -m data.inspection.inspect_task prepared/diabetes130 [--plot figures.svg] [--top 15]
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from data.inspection.audit.page import write_audit
from data.inspection.summary import (
    events_line,
    past_notes_line,
    percent,
    print_account,
    print_candidates,
    split_file_line,
    unknown_codes_line,
)
from data.inspection.task_figures import SplitFigures, TaskFigures, figures_of, plot_figures
from data.task import Task, load_task
from mera.system.command import run_command
from mera.system.errors import CommandLine
from mera.system.terminal import plain_console


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a task's numbers, and plot them where asked to."""
    parser = CommandLine(prog="mera inspect", description="Show what is in a prepared task.", allow_abbrev=False)
    parser.add_argument("task", metavar="FOLDER", help="a prepared task")
    parser.add_argument("--plot", metavar="FILE", help="write the plots there: .svg, .png or .pdf")
    parser.add_argument(
        "--audit",
        metavar="PAGE",
        help="write a page (.html) of what may be wrong with the labels, counts only: codes that no sentence speaks "
        "for, sure predictions that nobody coded, patients who look alike, impossible records, drift",
    )
    parser.add_argument("--top", type=int, default=15, metavar="N", help="most frequent codes to list (default: 15)")
    options = parser.parse_args(arguments)
    task = load_task(options.task)
    figures = figures_of(task, options.top)
    _print(task, figures, plain_console())
    if options.plot is not None:
        path = plot_figures(figures, f"{task.path.name} ({task.info.get('source')}, {task.info['kind']})", options.plot)
        print(f"plots: {path}")
    if options.audit is not None:
        print(f"audit: {write_audit(task, options.audit)}")


def _print(task: Task, figures: TaskFigures, console: Console) -> None:
    info = task.info
    protocol = " ".join(f"{name} {value}" for name, value in info["protocol"].items() if name != "cohort")
    console.print(f"{task.path.name}: {info['kind']} task of {info['source']}, {info['edition']}", highlight=False)
    console.print(f"protocol: {protocol}; fingerprint {task.fingerprint[:12]}", highlight=False)
    if "split_file" in info:
        console.print(split_file_line(info["split_file"]), highlight=False, soft_wrap=True)
    splits = Table("", *figures.splits, title="Splits (median, 5th to 95th percentile)")
    each = list(figures.splits.values())
    lines = {
        "patients": [f"{split.patients:,}" for split in each],
        "examples": [f"{split.examples:,}" for split in each],
        "codes to predict": [_spread(split.targets_per_example) for split in each],
        "visits in the history": [_spread(split.visits_per_history) for split in each],
        "words in the note": [_spread(split.words_per_note) for split in each],
        "past visits with a note": [_with_note(split) for split in each],
        "words in a past note": [_spread(split.words_per_past_note) for split in each],
        "targets new to the patient": [percent(split.new_share) for split in each],
        "targets no training example has": [percent(split.unseen_share) for split in each],
        "examples with evidence": [f"{split.with_evidence:,}" if split.with_evidence else "-" for split in each],
    }
    for name, cells in lines.items():
        if set(cells) != {"-"}:
            splits.add_row(name, *cells)
    console.print(splits)
    frequency = Table("training examples", "codes", "share", title=f"{len(task.codes):,} candidate codes")
    for label, count in figures.codes_by_frequency.items():
        frequency.add_row(label, f"{count:,}", percent(count / max(1, len(task.codes))))
    console.print(frequency)
    print_candidates(task, console)
    top = Table("code", "definition", "training examples", title="Most frequent codes")
    for code, definition, count in figures.top_codes:
        top.add_row(code, definition, f"{count:,}")
    console.print(top)
    if "accounting" in info:
        print_account(info, console)
    if "past_notes" in info:
        console.print(past_notes_line(info["past_notes"]), highlight=False)
    if "events" in info:
        console.print(events_line(info["events"]), highlight=False)
    console.print(unknown_codes_line(info) or "codes no edition knows: none", highlight=False, soft_wrap=True)


def _spread(values: np.ndarray) -> str:
    if not values.any():
        return "-"
    low, middle, high = np.percentile(values, [5, 50, 95])
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _with_note(split: SplitFigures) -> str:
    noted = len(split.words_per_past_note)
    return percent(noted / split.visits_per_history.sum()) if noted else "-"


if __name__ == "__main__":
    run_command(main)
