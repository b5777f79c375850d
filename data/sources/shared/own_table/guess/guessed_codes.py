"""Which columns of a table hold the codes of diagnoses, and of which edition they are."""

import re
import sys
from collections.abc import Sequence

import polars as pl

from data.sources.shared.own_table.code_cells import (
    FEWEST_VALUES,
    best_system,
    code_mark,
    code_pieces,
    has_code_form,
)
from data.sources.shared.own_table.column_names import (
    NAMES,
    OF_DIAGNOSES,
    OF_OTHER_CODES,
    OF_PRINCIPAL,
    OF_SECONDARY,
    RATHER_NOT,
    SHORT_FOR_DIAGNOSES,
    could_be,
    is_called,
)
from data.table_files.columns import distinct
from data.table_files.csv_layout import as_name, is_place, nameless_beside
from mera.system.errors import UserError

_ROWS_COMPARED, _SAME_ROWS, _SOME = 400, 0.9, 0.2
"""Rows that are looked at; shares of them, above which a column repeats another, and holds some codes."""
_CATEGORY = 3
"""Characters of the category of a code."""


def code_columns(rows: pl.DataFrame, free: Sequence[str], separator: str | None) -> tuple[list[str], str | None]:
    """The columns whose values are codes, and what separates the codes in one cell: those that are called so (as
    columns of diagnoses are, or else of codes) and others of their row of numbers, else the one. Beside columns of
    lists there may be one of single codes, as the principal diagnosis is, which comes first. Raises UserError where
    several could be and none is called so."""
    marks = {
        name: mark for name in free if could_be(name, "code") and (mark := _mark(rows[name], separator)) is not None
    }
    # Ids such as P000 and D012 look like codes.
    ids = "|".join(NAMES[name] for name in ("patient", "visit", "note"))
    others = [name for name in marks if not is_called(name, ids)]
    likely = [name for name in others if not is_called(name, OF_OTHER_CODES)]
    named = [name for name in marks if is_called(name, NAMES["code"]) and (name in likely or not likely)]
    of_diagnoses = rf"{OF_DIAGNOSES}|{SHORT_FOR_DIAGNOSES}"
    named = [name for name in named if is_called(name, of_diagnoses)] or named
    named = [name for name in named if not is_called(name, RATHER_NOT["code"])] or named
    if not named and len(likely or others) > 1:
        raise UserError(
            f"{', '.join(likely or others)} all seem to hold ICD codes; name those of diagnoses with --code"
        )
    having = named or likely or others
    having += [name for name in nameless_beside(rows.columns, having) if name in marks]  # under a merged header
    separator = next((marks[name] for name in having if marks[name]), separator)
    chosen = [name for name in having if marks[name] in ("", separator)]
    in_row, of_numbers = _of_the_same_row(chosen, free), any(_are_mostly_numbers(rows[name]) for name in chosen)
    numbered = [name for name in in_row if _some_are_codes(rows[name], 0, of_numbers)]
    chosen = [name for name in rows.columns if name in {*chosen, *numbered}]
    shorter = _shorter_forms(rows, chosen, separator)
    chosen = sorted((name for name in chosen if name not in shorter), key=_standing)
    tell_left_out("columns with the categories of other columns' codes", shorter, "--code says which are meant")
    left = sorted({*named, *others} - {*chosen, *shorter})
    tell_left_out("columns with codes, by their values", left, "--code says which are meant")
    rest = [name for name in free if name not in {*chosen, *shorter, *left}]
    rest = [name for name in rest if (name in in_row and not rows[name].is_null().all()) or _holds_some(rows[name])]
    tell_left_out("further columns that are called as diagnoses are", rest, "--code reads them")
    return chosen, separator


def _mark(values: pl.Series, separator: str | None) -> str | None:
    """As `code_mark`. Columns of diagnoses are known by their rows: each local code may stand in one alone."""
    if values.dtype != pl.String or not is_called(values.name, OF_DIAGNOSES):
        return code_mark(distinct(values), separator)
    by_rows = code_mark(values.drop_nulls().head(_ROWS_COMPARED).to_list(), separator, is_named=True)
    return code_mark(distinct(values), separator, is_named=True) if by_rows is None else by_rows


def _of_the_same_row(chosen: Sequence[str], free: Sequence[str]) -> list[str]:
    """Further columns that are called as one of the chosen but for the number at the end: the last of a row of columns
    for diagnoses hold few values, and some of them may be no codes. `icd9` and `icd10` are no such row."""
    called = [name for name in chosen if is_called(name, NAMES["code"]) and not is_place(name)]
    starts = {name.rstrip("0123456789") for name in called if name[-1:].isdigit()}
    rows = [re.compile(rf"{re.escape(start)}\d+") for start in starts if not re.search(r"(icd|cie|cim|cid)\W*$", start)]
    return [name for name in free if name not in chosen and any(row.fullmatch(name) for row in rows)]


def _shorter_forms(rows: pl.DataFrame, chosen: Sequence[str], separator: str | None) -> list[str]:
    """The columns that hold, row for row, nothing but the categories of the codes in another: both would be read."""
    few = rows.select(chosen).head(_ROWS_COMPARED)
    cells = {name: [_split(cell, separator) for cell in few[name].cast(pl.String)] for name in chosen}
    short = [name for name in chosen if all(len(code) == _CATEGORY for codes in cells[name] for code in codes)]
    longer = [name for name in chosen if name not in short]
    return [name for name in short if any(_are_categories(cells[name], cells[other]) for other in longer)]


def _split(cell: str | None, separator: str | None) -> set[str]:
    pieces = [] if cell is None else cell.split(separator) if separator else [cell]
    return {piece.strip().upper() for piece in pieces if piece.strip()}


def _are_categories(short: Sequence[set[str]], long: Sequence[set[str]]) -> bool:
    pairs = [pair for pair in zip(short, long, strict=True) if pair[0]]
    same = sum(codes <= {code[:_CATEGORY] for code in others} for codes, others in pairs)
    return len(pairs) > 0 and same >= _SAME_ROWS * len(pairs)


def _standing(name: str) -> int:
    """The first diagnosis of a visit before those that nothing is said of, and those behind it last."""
    return 0 if is_called(name, OF_PRINCIPAL) else 2 if is_called(name, OF_SECONDARY) else 1


def _holds_some(values: pl.Series) -> bool:
    """Whether a column is called as one of diagnoses, and a part of its cells are codes."""
    return is_called(values.name, OF_DIAGNOSES) and _some_are_codes(values, _SOME)


def _some_are_codes(values: pl.Series, more_than: float, of_numbers: bool = False) -> bool:
    """Whether more than a share of the cells of a column of text are written as codes are; `of_numbers`: also those
    without a letter or a point."""
    if values.dtype != pl.String:
        return False
    cells = [cell.strip() for cell in values.drop_nulls().head(_ROWS_COMPARED)]
    return sum(has_code_form(cell) and (of_numbers or not cell.isdigit()) for cell in cells) > more_than * len(cells)


def _are_mostly_numbers(values: pl.Series) -> bool:
    """Whether most cells of a column of codes have neither a letter nor a point."""
    cells = distinct(values)
    return 2 * sum(cell.strip().isdigit() for cell in cells) > len(cells)


def system_of(rows: pl.DataFrame, columns: Sequence[str], separator: str | None) -> str:
    """The edition of the codes in `columns`, of CODE_SYSTEMS. Raises UserError where one column is of ICD-9 and another
    of ICD-10."""
    pieces = {name: code_pieces(distinct(rows[as_name(name)]), separator or "") for name in columns}
    of_nine = [name for name, codes in pieces.items() if codes and best_system(codes) == "icd9"]
    of_ten = [name for name, codes in pieces.items() if codes and name not in of_nine]
    if of_nine and of_ten and all(len(pieces[name]) >= FEWEST_VALUES for name in (*of_nine, *of_ten)):
        raise UserError(
            f"{', '.join(of_nine)} {'is' if len(of_nine) == 1 else 'are'} of ICD-9 and {', '.join(of_ten)} of ICD-10; "
            f"name those of one edition with --code"
        )
    return best_system([code for codes in pieces.values() for code in codes])


def as_pattern(names: list[str], rows: pl.DataFrame) -> list[str]:
    """`dx*` for dx1, dx2, ..., where no other column begins so, but further ones that are empty here."""
    start = names[0].rstrip("0123456789")
    numbered = re.compile(rf"{re.escape(start)}\d+")
    others = [name for name in rows.columns if name.startswith(start) and name not in names]
    are_of_one_row = len(names) > 1 and start and all(map(numbered.fullmatch, [*names, *others]))
    return [f"{start}*"] if are_of_one_row and all(rows[name].is_null().all() for name in others) else names


def tell_left_out(what: str, names: list[str], remedy: str) -> None:
    """Print which columns were not taken, and what takes them."""
    if names:
        print(f"not taken: {what}: {', '.join(sorted(names))} ({remedy})", file=sys.stderr)
