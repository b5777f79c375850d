"""A table once, for every form it is printed in: the page, Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mera.report import text
from mera.report.measures.estimates import Estimate

FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What spreadsheets begin a formula with, also in full width."""
NUMBER_FORMATS: dict[str, Callable[[float | None], str]] = {
    "percent": text.percent,
    "points": lambda value: text.percent(value, signed=True),
    "whole": lambda value: text.number(value, 0),
    "tenths": lambda value: text.number(value, 1),
    "hundredths": text.number,
    "ten-thousandths": lambda value: text.number(value, 4),
    "duration": text.duration,
    "bytes": text.size,
}
"""How a column prints a number; intervals print the same way."""
TEXT = "text"
"""The format of all other columns."""

CellValue = float | str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    key: str
    """Its name in CSV files."""
    label: str
    format: str = TEXT
    """A key of NUMBER_FORMATS, or TEXT."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    value: CellValue = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    """Printed small under the value, e.g. a p-value."""
    strong: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    label: str
    cells: Sequence[Cell]
    note: str = ""
    faint: bool = False
    """An oracle or a published row: not one of the models compared."""
    run: str | None = None
    """The run that it is about, by its name: a reader may hide it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    name: str
    """File name without its ending; unique in a section."""
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row] = ()
    corner: str = "Model"


def cell(estimate: Estimate | None, strong: bool = False) -> Cell:
    """A number with its interval; None is a missing one."""
    if estimate is None:
        return Cell()
    return Cell(value=estimate.value, low=estimate.low, high=estimate.high, strong=strong)


def without_empty_columns(table: Table) -> Table:
    """The table without the columns that have a value in no row."""
    filled = [
        place for place in range(len(table.columns)) if any(row.cells[place].value is not None for row in table.rows)
    ]
    return replace(
        table,
        columns=[table.columns[place] for place in filled],
        rows=[replace(row, cells=[row.cells[place] for place in filled]) for row in table.rows],
    )


def printed(column: Column, cell: Cell) -> str:
    if column.format == TEXT:
        return text.DASH if cell.value in (None, "") else str(cell.value)
    assert not isinstance(cell.value, str), f"{column.key} is a column of numbers"
    return NUMBER_FORMATS[column.format](cell.value)


def printed_interval(column: Column, cell: Cell) -> str:
    """`60.1 to 62.4`, or nothing where there is no interval."""
    if cell.low is None or cell.high is None:
        return ""
    low, high = (printed(column, Cell(value=end)) for end in (cell.low, cell.high))
    return f"{low} to {high}"


def to_csv(table: Table) -> str:
    """Unrounded values (fractions, seconds, bytes); intervals and notes in columns of their own where there are any."""
    parts = {
        column.key: [("", "value")]
        + [(f"_{end}", end) for end in ("low", "high") if _any_has(table, place, end)]
        + [("_note", "note") for _ in range(any(row.cells[place].note for row in table.rows))]
        for place, column in enumerate(table.columns)
    }
    header = [f"{key}{ending}" for key, endings in parts.items() for ending, _ in endings]
    has_notes = any(row.note for row in table.rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([table.corner.lower().replace(" ", "_"), *(["kind"] if has_notes else []), *header])
    for row in table.rows:
        values = [
            getattr(cell, name) for cell, endings in zip(row.cells, parts.values(), strict=True) for _, name in endings
        ]
        entries = [row.label, *([row.note] if has_notes else []), *("" if v is None else v for v in values)]
        writer.writerow([plain_cell(value) for value in entries])
    return buffer.getvalue()


def _any_has(table: Table, place: int, end: str) -> bool:
    return any(getattr(row.cells[place], end) is not None for row in table.rows)


def plain_cell(value: CellValue) -> CellValue:
    """A text on one line that no spreadsheet takes for a formula: one that begins like a formula gets an apostrophe
    before it. A number is no text."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    if not text.startswith(FORMULA_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def to_latex(table: Table) -> str:
    """A `tabular` for booktabs; intervals stand small beside their value, and the caption in a comment."""
    columns = "l" + "".join("l" if column.format == TEXT else "r" for column in table.columns)
    lines = [f"% {latex_text(table.caption)}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines.append(" & ".join(latex_text(label) for label in [table.corner, *(c.label for c in table.columns)]) + r" \\")
    lines.append(r"\midrule")
    for row in table.rows:
        values = [_latex_cell(column, cell) for column, cell in zip(table.columns, row.cells, strict=True)]
        lines.append(" & ".join([latex_text(row.label), *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_text(value: str) -> str:
    """A text in which no character is a command."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    special |= {text.DASH: "---", "−": "$-$", "→": r"$\rightarrow$"}
    escaped = re.sub(r"[\\~^<>—−→]|[&%$#_{}]", lambda match: special.get(match[0], "\\" + match[0]), value)
    return " ".join(escaped.split())


def _latex_cell(column: Column, cell: Cell) -> str:
    value = latex_text(printed(column, cell))
    if cell.strong:
        value = rf"\textbf{{{value}}}"
    interval = printed_interval(column, cell)
    return value + (rf" {{\scriptsize ({latex_text(interval)})}}" if interval else "")
