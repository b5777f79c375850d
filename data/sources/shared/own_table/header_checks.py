"""Tables whose first line holds no names of columns."""

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.sources.shared.own_table.code_cells import has_code_form
from data.sources.shared.own_table.column_names import OF_DIAGNOSES, is_called
from data.table_files.columns import distinct
from data.table_files.csv_layout import is_place
from mera.system.errors import UserError

_CODE = r"[a-z]\d{2}(\.\w+)?|[a-z]\d{3,4}"
_VALUE = r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*|\d+([.,]\d+)?|[a-z]\d{2}\.\w+|[a-z]\d{3,4}"
"""In the place of a name: a date, a number, a code."""
_FLAGS = frozenset(["0", "1", "true", "false"])
_NO_NAMES = "{} has values in its first line, and no names of columns; add a line with them above it"


def refuse_no_names(path: Path, names: Sequence[str]) -> None:
    """Raises UserError where the first line is a patient's row or a title. Columns that pandas has numbered (0, 1, 2)
    are no values, and neither are codes where every other name is a word: they may be flags."""
    filled = [name for name in names if not is_place(name)]
    values = [name for name in filled if re.fullmatch(_VALUE, name)]
    numbers = sorted(int(name) for name in values if name.isdigit() and len(name) < 4)
    first = min(numbers, default=0)
    is_numbered = len(numbers) == len(values) and numbers == list(range(first, first + len(numbers)))
    are_codes = all(re.fullmatch(_CODE, name) for name in values)
    others = [name for name in filled if name not in values]
    has_words = sum(len(name) > 2 and name.replace("_", "").replace(" ", "").isalpha() for name in others) > 1
    if values and not (has_words and (is_numbered or are_codes)):
        raise UserError(_NO_NAMES.format(path))
    if len(filled) == 1 and len(names) > 2:
        raise UserError(f"{path}: the first line is a title and no header; take such lines out")


def refuse_codes_as_names(path: Path, rows: pl.DataFrame) -> None:
    """Raises UserError where columns are called as codes: they are flags of them and no column holds diagnoses, or
    codes stand below, and the first line is a patient's. Others are called so by chance (`q01`, `b12`)."""
    codes = [name for name in rows.columns if re.fullmatch(_CODE, name)]
    cells = {name: distinct(rows[name].cast(pl.String)) for name in codes}
    if any(sum(map(has_code_form, texts)) * 2 > len(texts) and not _are_digits(texts) for texts in cells.values()):
        raise UserError(_NO_NAMES.format(path))
    has_diagnoses = any(is_called(name, OF_DIAGNOSES) for name in rows.columns)
    if codes and not has_diagnoses and all({text.lower() for text in texts} <= _FLAGS for texts in cells.values()):
        raise UserError(f"{path} has a column for each code, with 0 and 1; write a row for each code that is there")


def _are_digits(texts: Sequence[str]) -> bool:
    return all(text.strip().isdigit() for text in texts)


def refuse_second_header(path: Path, rows: pl.DataFrame) -> None:
    """Raises UserError where columns without a name have one in the first row, under a header of groups."""
    nameless = [name for name in rows.columns if is_place(name)]
    if len(nameless) < 2 or rows.height < 2:
        return
    below, next_row = (rows.row(number) for number in (0, 1))
    are_names = all(isinstance(cell, str) and not re.fullmatch(_VALUE, cell.lower()) for cell in below)
    if are_names and any(isinstance(cell, str) and re.fullmatch(_VALUE, cell.lower()) for cell in next_row):
        raise UserError(
            f"{path} has two lines with names of columns, the first without a name for {len(nameless)} of them; keep "
            f"the second alone"
        )
