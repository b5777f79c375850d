"""The sheets of a spreadsheet file as text: .xlsx, .xlsm, .xlsb, .xls and .ods, read by calamine."""

import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from data.table_files.csv_layout import is_place, names_or_places
from mera.system.errors import UserError

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

SPREADSHEET_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
Cell = str | float | bool | datetime.date | datetime.time | datetime.timedelta | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """One sheet; its first row that is not empty is the header."""

    name: str
    header: list[str]
    """As `names_or_places` has it."""
    rows: list[list[Cell]]
    """Without empty rows, each as long as the header; None: an empty cell."""
    num_blank: int
    """Empty rows below the header, left out."""

    @property
    def has_title(self) -> bool:
        """Whether the first row names one column of several: a title above the header, and no header."""
        named = sum(not is_place(name) for name in self.header)
        return named == 1 and len(self.header) > 2 and any(sum(map(_is_there, row)) > 2 for row in self.rows)

    def column(self, place: int) -> pl.Series:
        """Datetime where every cell that is not empty holds a date or a time of a day, else String."""
        cells = [row[place] for row in self.rows]
        there = [cell for cell in cells if cell is not None]
        if there and all(isinstance(cell, datetime.date) for cell in there):
            return pl.Series([None if cell is None else _moment(cell) for cell in cells], dtype=pl.Datetime("us"))
        return pl.Series([None if cell is None else _text(cell) for cell in cells], dtype=pl.String)

    def holds_numbers(self, place: int) -> bool:
        """Whether any cell is stored as a number, which has no leading zeros."""
        return any(isinstance(row[place], int | float) and not isinstance(row[place], bool) for row in self.rows)


def read_sheets(path: Path, stored: bytes) -> list[Sheet]:
    """The sheets that hold anything. Raises UserError where `stored` is no spreadsheet, damaged or protected."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(stored))
        tables = {name: _cells(workbook.get_sheet_by_name(name)) for name in workbook.sheet_names}
    except PasswordError:
        raise UserError(f"{path} is protected by a password; save it without one") from None
    except (CalamineError, OSError, ValueError):
        raise UserError(f"{path} is not a spreadsheet that can be read; save it again, as .xlsx or as CSV") from None
    sheets = [_sheet(name, table) for name, table in tables.items()]
    filled = [sheet for sheet in sheets if sheet is not None]
    if not filled:
        raise UserError(f"{path} is empty; expected a table with a header")
    return filled


def _cells(sheet: "CalamineSheet") -> list[list[Cell]]:
    """The rows of a sheet. Of merged cells below its first row those under the first have what stands in that one, as a
    patient's id stands for the rows of the patient; a title over several columns is of none of them."""
    rows: list[list[Cell]] = [list(row) for row in sheet.to_python()]
    top, left = sheet.start or (0, 0)
    for first, last in sheet.merged_cell_ranges or ():
        row, place = first[0] - top, first[1] - left
        if not 0 < row < len(rows) or not 0 <= place < len(rows[row]):
            continue
        for below in rows[row + 1 : last[0] - top + 1]:
            below[place] = rows[row][place] if _empty_to_none(below[place]) is None else below[place]
    return rows


def _sheet(name: str, table: Sequence[Sequence[Cell]]) -> Sheet | None:
    rows = [[_empty_to_none(cell) for cell in row] for row in table]
    filled = [row for row in rows if any(cell is not None for cell in row)]
    if not filled:
        return None
    header = names_or_places("" if cell is None else _text(cell) for cell in filled[0])
    below = rows[rows.index(filled[0]) + 1 :]
    return Sheet(name=name, header=header, rows=filled[1:], num_blank=len(below) - len(filled) + 1)


def _is_there(cell: Cell) -> bool:
    return cell is not None


def _empty_to_none(cell: Cell) -> Cell:
    return None if isinstance(cell, str) and not cell.strip() else cell


def _moment(cell: Cell) -> datetime.datetime:
    if isinstance(cell, datetime.datetime):
        return cell
    assert isinstance(cell, datetime.date), "checked by the caller"
    return datetime.datetime.combine(cell, datetime.time())


def _text(cell: Cell) -> str:
    """A whole number without its `.0`, a date in ISO's form, without the time of day where that is midnight."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ").removesuffix(" 00:00:00")
    return cell.isoformat() if isinstance(cell, datetime.date | datetime.time) else str(cell)
