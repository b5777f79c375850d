"""What a study leaves: a folder with a page, its tables, its figure and all its numbers, complete or absent."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mera.report.page.drawing.colours import GRID, INK
from mera.report.page.tables import Table, printed, printed_interval, to_csv
from mera.system.folder_replacement import replace_folder, restore_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SETTINGS: "dict[RcKeyType, Any]" = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
FIGURE, PAGE, NUMBERS = "study.png", "study.md", "study.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyReport:
    """A finished study."""

    name: str
    title: str
    question: str
    setting: Sequence[str]
    """Paragraphs: data, models, what was measured and how."""
    sentences: Sequence[str]
    """What may be quoted, each made from the numbers by rule."""
    tables: Sequence[Table]
    """The first one is study.csv."""
    draw: "Callable[[Axes], None]"
    caption: str
    numbers: Mapping[str, object]
    """Everything, ready for JSON."""
    commands: Sequence[str]
    """The ordinary commands that trained the models."""


def write_study(report: StudyReport, folder: Path, command: str) -> Path:
    """Write `folder`, whole or not at all, in the place of an older one; return its page. `command`: the study's."""
    restore_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for number, table in enumerate(report.tables):
        name = "study.csv" if number == 0 else f"{table.name}.csv"
        (beside / name).write_text(to_csv(table), encoding="utf-8")
    _save_figure(report, beside / FIGURE)
    numbers = {
        "study": report.name,
        "command": command,
        "sentences": list(report.sentences),
        **report.numbers,
        "commands": list(report.commands),
    }
    (beside / NUMBERS).write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (beside / PAGE).write_text(page_text(report, command), encoding="utf-8")
    replace_folder(beside, folder)
    return folder / PAGE


def page_text(report: StudyReport, command: str) -> str:
    """study.md."""
    parts = [f"# {report.title}", report.question, "\n".join(f"> {sentence}\n>" for sentence in report.sentences)]
    parts += [f"```bash\n{command}\n```", *report.setting, f"![{report.caption}]({FIGURE})", report.caption]
    for table in report.tables:
        parts += [f"**{table.caption}**", _markdown(table)]
    if report.commands:
        listed = "\n".join(report.commands)
        parts.append(f"The commands that it ran:\n\n```\n{listed}\n```")
    return "\n\n".join(part.rstrip(">\n") for part in parts) + "\n"


def _markdown(table: Table) -> str:
    lines = [[table.corner, *(column.label for column in table.columns)], ["---"] * (1 + len(table.columns))]
    for row in table.rows:
        cells = []
        for column, cell in zip(table.columns, row.cells, strict=True):
            interval, value = printed_interval(column, cell), printed(column, cell)
            value = f"**{value}**" if cell.strong else value
            cells.append(f"{value} ({interval})" if interval else value)
        lines.append([row.label, *cells])
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def _save_figure(report: StudyReport, path: Path) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        canvas = Figure(figsize=(7.0, 4.2), layout="constrained")
        FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        report.draw(axes)
        handles, labels = axes.get_legend_handles_labels()
        if labels:
            canvas.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=9)
        canvas.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})
