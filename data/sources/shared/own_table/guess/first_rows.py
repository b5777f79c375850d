"""The first rows of a table, by which it is guessed what its columns are."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.sources.shared.own_table.guess.guessed_codes import tell_left_out
from data.sources.shared.own_table.guess.legacy_encodings import likely_encodings
from data.sources.shared.own_table.header_checks import refuse_codes_as_names, refuse_no_names, refuse_second_header
from data.sources.shared.own_table.table_columns import asked_for, refuse_none_asked_for
from data.table_files.columnar import records_in
from data.table_files.columns import without_nothing
from data.table_files.stored_files import NotInEncoding, NotInUtf8
from data.table_files.text_tables import all_columns, read_text_table
from mera.system.errors import UserError

_ROWS = 20_000
"""Rows that are looked at."""


def first_rows(
    path: str | Path, separator: str | None, encoding: str | None, keep: Mapping[str, Sequence[str]]
) -> tuple[pl.DataFrame, str | None]:
    """The first rows that `keep` asks for as text, without its columns, named as in the file in lower case; and the
    encoding: where the file is not in UTF-8 and none is named, that in which most names of columns and sexes are words,
    else that of Western Europe.

    Codes and dates read the same in all of them, names of columns, sexes and notes do not. Raises UserError where the
    first line holds no names of columns, and errors of reading as `read_text_table`."""
    try:
        return _read(Path(path), separator, encoding, keep), encoding
    except NotInUtf8 as error:
        if encoding is not None:
            raise
        for guessed in likely_encodings(Path(path)):
            try:
                rows = _read(Path(path), separator, guessed, keep)
            except NotInEncoding:
                continue
            print(f"not in UTF-8, read as {guessed} (--encoding NAME reads it in another)", file=sys.stderr)
            return rows, guessed
        raise error from None


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
    refuse_second_header(path, rows)
    refuse_codes_as_names(path, rows)
    return rows


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
