"""What a person wants to know of a prepared task, as numbers and as one page of plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from data.task import SPLITS, Task
from mera.system.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FREQUENCY_BINS = ((0, 0, "never in train"), (1, 10, "1-10"), (11, 100, "11-100"), (101, None, "over 100"))
"""Fewest and most training examples of each bin, and its name; as `mera.evaluation.frequency_groups` has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFigures:
    """One split of a task."""

    patients: int
    examples: int
    visits_per_history: np.ndarray
    """(examples,) int: visits in the history; 0 in a coding task."""
    targets_per_example: np.ndarray
    """(examples,) int."""
    new_share: float | None
    """Share of target codes that the history does not hold; None without histories."""
    unseen_share: float
    """Share of target codes that no training example has as a target."""
    words_per_note: np.ndarray
    """(examples with a note,) int."""
    with_evidence: int
    """Examples with evidence."""
    words_per_past_note: np.ndarray
    """(visits of histories with a note,) int; a visit in the histories of several examples counts for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFigures:
    """A whole task."""

    splits: dict[str, SplitFigures]
    train_counts: np.ndarray
    """(C,) int: training examples with each candidate among their targets, the most frequent first."""
    top_codes: list[tuple[str, str, int]]
    """code, definition, training examples; the most frequent first."""
    codes_by_frequency: dict[str, int]
    """How many candidates have how many training examples."""
    chapters: list[tuple[str, int]]
    """Name of a chapter and its targets in train, the largest first."""


def figures_of(task: Task, top: int = 15) -> TaskFigures:
    """Everything that `inspect` shows, from the task's folder alone."""
    counts = task.train_counts
    order = np.argsort(-counts, kind="stable")
    chapter_counts = pl.DataFrame({"chapter": task.groups("chapter"), "count": counts}).group_by("chapter").sum()
    names = task.group_names["chapter"]
    return TaskFigures(
        splits={name: _split_figures(task, name) for name in SPLITS},
        train_counts=counts[order],
        top_codes=[(task.codes[index], task.definitions[index], int(counts[index])) for index in order[:top]],
        codes_by_frequency={
            label: int(((counts >= low) & (counts <= (high if high is not None else counts.max(initial=0)))).sum())
            for low, high, label in FREQUENCY_BINS
        },
        chapters=[
            (names.get(chapter, chapter), count)
            for chapter, count in chapter_counts.sort(["count", "chapter"], descending=[True, False]).iter_rows()
            if count
        ],
    )


def _split_figures(task: Task, name: str) -> SplitFigures:
    rows = pl.DataFrame(task.splits[name].data.table).with_row_index("row")
    histories = rows.select("row", code=pl.col("history").list.eval(pl.element().struct.field("codes").explode()))
    targets = rows.select("row", code="targets").explode("code")
    seen = histories.explode("code").drop_nulls().unique()
    new = targets.join(seen, on=["row", "code"], how="anti").height
    counts = pl.concat(table.select("code", "train_count") for table in (task.code_table, task.other_code_table))
    in_train = counts.filter(pl.col("train_count") > 0)
    unseen = targets.join(in_train, on="code", how="anti").height
    words = rows["text"].drop_nulls().str.count_matches(r"\S+")
    past_words = np.zeros(0, dtype=np.uint32)
    if task.has_past_notes:
        counted = rows.select(pl.col("history").list.eval(pl.element().struct.field("text").str.count_matches(r"\S+")))
        past_words = counted["history"].explode().drop_nulls().to_numpy()
    return SplitFigures(
        patients=rows["patient_id"].n_unique(),
        examples=rows.height,
        visits_per_history=rows["history"].list.len().to_numpy(),
        targets_per_example=rows["targets"].list.len().to_numpy(),
        new_share=new / targets.height if rows["history"].list.len().sum() else None,
        unseen_share=unseen / targets.height,
        words_per_note=words.to_numpy(),
        with_evidence=int((rows["evidence"].list.len() > 0).sum()) if "evidence" in rows.columns else 0,
        words_per_past_note=past_words,
    )


def plot_figures(figures: TaskFigures, title: str, path: str | Path) -> Path:
    """Four plots on one page, in the format of the file's suffix (`.svg`, `.png`, `.pdf`).

    Raises UserError on a suffix that is none of them. An SVG of equal figures has equal bytes.
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise UserError(f"--plot must name a file with the suffix .svg, .png or .pdf, got {path}")
    import matplotlib

    # Its own figure and canvas, so that no global state of pyplot is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(11, 7.5), layout="constrained")
    FigureCanvasAgg(page)
    page.suptitle(title)
    ((targets, second), (frequency, chapters)) = page.subplots(2, 2)
    _share_lines(targets, {name: split.targets_per_example for name, split in figures.splits.items()})
    targets.set(title="Codes to predict", xlabel="codes per example", ylabel="share of examples")
    targets.legend(frameon=False)
    if figures.splits[SPLITS[0]].visits_per_history.any():
        _share_lines(second, {name: split.visits_per_history for name, split in figures.splits.items()})
        second.set(title="History", xlabel="visits told", ylabel="share of examples")
    else:
        _share_lines(second, {name: split.words_per_note for name, split in figures.splits.items()})
        second.set(title="Notes", xlabel="words per note", ylabel="share of examples")
    counts = figures.train_counts[figures.train_counts > 0]
    frequency.loglog(np.arange(1, len(counts) + 1), counts, color="tab:blue")
    frequency.set(title="Code frequency in train", xlabel="rank of the code", ylabel="training examples")
    largest = figures.chapters[:12][::-1]
    chapters.barh([name[:45] for name, _ in largest], [count for _, count in largest], color="tab:blue")
    chapters.set(title="Targets in train by chapter", xlabel="targets")
    chapters.tick_params(axis="y", labelsize=7)
    chapters.locator_params(axis="x", nbins=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "mera"}):
        page.savefig(path, metadata=metadata)
    return path


def _share_lines(axes: "Axes", values: Mapping[str, np.ndarray]) -> None:
    """A histogram of whole numbers for each split as a line, in shares; the last percent is off the axis."""
    every = np.concatenate(list(values.values()))
    if not len(every):
        return
    low, high = int(every.min()), int(np.percentile(every, 99))
    width = max(1, -(-(high - low + 1) // 30))
    edges = np.arange(low, high + width + 1, width) - 0.5
    for name, numbers in values.items():
        axes.stairs(np.histogram(numbers, edges)[0] / max(1, len(numbers)), edges, label=name, linewidth=1.5)
