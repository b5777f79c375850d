"""The first rows of a table, by which it is guessed what its columns are, and whether it has names for them."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.sources.shared.own_table.code_cells import has_code_form
from data.sources.shared.own_table.guess.column_kinds import distinct
from data.sources.shared.own_table.guess.column_names import NAMES, OF_DIAGNOSES, is_called
from data.sources.shared.own_table.guess.guessed_codes import tell_left_out
from data.sources.shared.own_table.table_columns import asked_for, refuse_none_asked_for
from data.table_files.columnar import records_in
from data.table_files.columns import without_nothing
from data.table_files.csv_layout import is_place
from data.table_files.meanings import sex
from data.table_files.stored_files import NotInEncoding, NotInUtf8, read_text
from data.table_files.text_tables import all_columns, read_text_table
from mera.system.errors import UserError

LEGACY_ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp932", "gb18030", "cp949")
"""What a file may be in that is not in UTF-8, the likeliest first: Windows' pages of Western and Central Europe,
Cyrillic, Greek, Turkish, Baltic, and those of Japan, China and Korea."""
_LOOKED_AT = 200_000
"""Bytes by which that is told."""
_ROWS = 20_000
"""Rows that are looked at."""
_CODE = r"[a-z]\d{2}(\.\w+)?|[a-z]\d{3,4}"
_VALUE = r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*|\d+([.,]\d+)?|[a-z]\d{2}\.\w+|[a-z]\d{3,4}"
"""In the place of a name: a date, a number, a code."""
_FLAGS = frozenset(["0", "1", "true", "false"])
_NO_NAMES = "{} has values in its first line, and no names of columns; add a line with them above it"


def first_rows(
    path: str | Path, separator: str | None, encoding: str | None, keep: Mapping[str, Sequence[str]]
) -> tuple[pl.DataFrame, str | None]:
    """The first rows that `keep` asks for as text, without its columns, named as in the file in lower case; and the
    encoding: where the file is not in
    UTF-8 and none is named, that in which most names of columns and sexes are words, else that of Western Europe.

    Codes and dates read the same in all of them, names of columns, sexes and notes do not. Raises UserError where the
    first line holds no names of columns, and errors of reading as `read_text_table`."""
    try:
        return _read(Path(path), separator, encoding, keep), encoding
    except NotInUtf8 as error:
        if encoding is not None:
            raise
        for guessed in _likely_encodings(Path(path)):
            try:
                rows = _read(Path(path), separator, guessed, keep)
            except NotInEncoding:
                continue
            print(f"not in UTF-8, read as {guessed} (--encoding NAME reads it in another)", file=sys.stderr)
            return rows, guessed
        raise error from None


def _likely_encodings(path: Path) -> list[str]:
    """Those in which cells mean something by their letters beyond ASCII, most of them first; at last the first of
    LEGACY_ENCODINGS."""
    text, _ = read_text(path, "latin-1")  # a character for each byte
    first_line, *lines = (line.encode("latin-1") for line in text[:_LOOKED_AT].decode(errors="ignore").split("\n"))
    known = {
        encoding: sum(map(_is_a_name, _cells(first_line.decode(encoding, "ignore"))))
        + sum(bool(sex(cell)) for cell in _cells(b"\n".join(lines).decode(encoding, "ignore")))
        for encoding in LEGACY_ENCODINGS
    }
    return [*sorted(filter(known.get, LEGACY_ENCODINGS), key=lambda encoding: -known[encoding]), LEGACY_ENCODINGS[0]]


def _cells(text: str) -> set[str]:
    """The different ones that are not in ASCII."""
    return {cell.strip() for cell in re.split(r"[;,|\t\n\"]", text.lower()) if not cell.isascii()}


def _is_a_name(cell: str) -> bool:
    """Whether a column may be called so, and could not without its letters beyond ASCII."""
    without = re.sub(r"[^\x00-\x7f]", "_", cell)
    return any(is_called(cell, kind) and not is_called(without, kind) for kind in (OF_DIAGNOSES, *NAMES.values()))


def _read(path: Path, separator: str | None, encoding: str | None, keep: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """As `first_rows`."""
    names, _ = all_columns(path, separator, encoding)
    refuse_no_names(path, names)
    nested = records_in(path)
    tell_left_out("columns of records, which have no form as text", nested, "take their parts out of them")
    names = [name for name in names if name not in nested]
    unique = [name for name in names if names.count(name) == 1]
    tell_left_out("columns that share a name", [*{*names} - {*unique}], "give each a name of its own")
    if len(unique) < 2:
        raise UserError(f"{path} does not look like a table with a header of several columns")
    table = read_text_table(path, {name: name for name in unique}, separator=separator, encoding=encoding)
    first = _kept(path, table.rows, keep).head(_ROWS)
    rows = first.select(without_nothing(first[name]).alias(name) for name in first.columns)
    _refuse_second_header(path, rows)
    refuse_codes_as_names(path, rows)
    return rows


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


def _refuse_second_header(path: Path, rows: pl.DataFrame) -> None:
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


def _kept(path: Path, rows: pl.DataFrame, keep: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The rows that --keep asks for, without its columns. Raises UserError where the table has none so called, or no
    such row."""
    missing = sorted(keep.keys() - {*rows.columns})
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}, which --keep names")
    for name, values in keep.items():
        rows = rows.filter(asked_for(without_nothing(rows[name]), values))
        if rows.is_empty():
            refuse_none_asked_for(path, name, values)
    return rows.drop(keep)
