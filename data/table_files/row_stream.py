"""Columns of a CSV that is larger than memory, by their meanings, some rows at a time."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.table_files.columns import Column, ColumnForms, type_columns
from data.table_files.note_stream import NoteStream
from data.table_files.stored_files import InputFile
from data.table_files.text_tables import TextTable

ROWS_AT_ONCE = 200_000


class RowStream:
    """The rows of one CSV, plain or gzipped, in UTF-8; once they have been read, `file` says what was read."""

    def __init__(self, path: Path, columns: Sequence[Column], ledger: Ledger, forms: ColumnForms):
        """Raises FileNotFoundError or UserError where there is no such file, or it lacks a column."""
        self._path, self._columns, self._ledger, self._forms = path, columns, ledger, forms
        self._stream = NoteStream(path, path.name, [each.header or each.name for each in columns])

    @property
    def file(self) -> InputFile:
        return self._stream.file

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Errors as in `data.table_files.columns`."""
        rows = iter(self._stream)
        schema = dict.fromkeys((each.name for each in self._columns), pl.String())
        while part := list(islice(rows, ROWS_AT_ONCE)):
            texts = pl.DataFrame(part, schema=schema, orient="row")
            table = TextTable(path=self._path, file=self._stream.file, rows=texts)
            yield type_columns(table, self._columns, self._ledger, self._forms)
