"""The tables of an OMOP export: a CSV or Parquet file for each, or a folder of parts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data.ledger import Ledger
from data.table_files.columnar import PARQUET_SUFFIXES
from data.table_files.columns import Column, ColumnForms, read_columns
from data.table_files.meanings import Meaning
from data.table_files.note_stream import NoteStream
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

NOTE_COLUMNS = ("note_id", "person_id", "visit_occurrence_id", "note_date", "note_text")
_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", *PARQUET_SUFFIXES)
_LOGS_OF_VERSIONS = ("_delta_log", "metadata", ".hoodie")
"""Folders of Delta Lake, Iceberg and Hudi."""
_TYPES: dict[Meaning, pl.DataType] = {
    Meaning.WHOLE: pl.Int64(),
    Meaning.NUMBER: pl.Float64(),
    Meaning.TIME: pl.Datetime("us"),
}
"""Of the meanings that OMOP's optional columns have, but text."""


class OmopTables:
    """The tables of one export, and the files that were read."""

    def __init__(self, folder: Path, ledger: Ledger, forms: ColumnForms) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"input folder not found: {folder}; --input must name the folder of OMOP's tables")
        self._folder, self._ledger = folder, ledger
        # 0 is the concept of what has none.
        self.forms = replace(forms, sex_values={"0": "", **forms.sex_values})
        self.files: list[InputFile] = []

    def paths(self, name: str) -> list[Path]:
        """The file of a table, or its parts; none where there is no such table. Raises UserError where two are it."""
        matches = sorted(
            path for path in self._folder.iterdir() if path.name.lower() in (name, *(name + end for end in _SUFFIXES))
        )
        if len(matches) > 1:
            raise UserError(f"{self._folder} holds {' and '.join(path.name for path in matches)}; keep one of them")
        return _parts(matches[0]) if matches and matches[0].is_dir() else matches

    def concepts(self, columns: Sequence[Column]) -> pl.DataFrame:
        """The `columns` of the table of concepts, a row each. Raises UserError where one stands in rows that differ."""
        rows = self.needed("concept", columns).drop_nulls("concept_id").unique(maintain_order=True)
        several = rows.filter(rows["concept_id"].is_duplicated())["concept_id"].n_unique()
        if several:
            raise UserError(
                f"{self._folder}: {several:,} concept_ids of the table concept stand in several rows that differ, so "
                "that nobody knows which is meant; a vocabulary has one row for each"
            )
        return rows

    def read(self, name: str, columns: Sequence[Column], optional: bool = False) -> pl.DataFrame | None:
        """The `columns` of a table; None where it is `optional` and not there."""
        paths = self.paths(name)
        if not paths:
            if optional:
                return None
            raise FileNotFoundError(f"{self._folder} holds no table {name} (.csv, .csv.gz or .parquet)")
        parts = [read_columns(path, columns, self._ledger, self.forms) for path in paths]
        self.files += [part.file for part in parts]
        return _with_absent(pl.concat([part.rows for part in parts]), columns)

    def parts(self, name: str, columns: Sequence[Column]) -> Iterator[pl.DataFrame]:
        """The `columns` of a table that has to be there, one of its files at a time."""
        paths = self.paths(name)
        if not paths:
            raise FileNotFoundError(f"{self._folder} holds no table {name} (.csv, .csv.gz or .parquet)")
        for path in paths:
            part = read_columns(path, columns, self._ledger, self.forms)
            self.files.append(part.file)
            yield _with_absent(part.rows, columns)

    def needed(self, name: str, columns: Sequence[Column]) -> pl.DataFrame:
        rows = self.read(name, columns)
        assert rows is not None, "it is not optional"
        return rows

    def notes(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Note id, patient, visit, time and text of each row of `note`, read a few at a time."""
        paths = self.paths("note")
        if not paths:
            raise FileNotFoundError(f"{self._folder} holds no table note (.csv, .csv.gz or .parquet)")
        for path in paths:
            if path.suffix.lower() in PARQUET_SUFFIXES:
                yield from _parquet_notes(path)
                self.files.append(InputFile.of(path, path.read_bytes()))
            else:
                stream = NoteStream(path, "note", NOTE_COLUMNS)
                yield from map(_cells, stream)
                self.files.append(stream.file)


def _parts(folder: Path) -> list[Path]:
    """The files of a table that is a folder, without what Spark hides. Raises UserError where versions of the table lie
    there side by side."""
    logs = [name for name in _LOGS_OF_VERSIONS if (folder / name).is_dir()]
    if logs:
        raise UserError(
            f"{folder} holds versions of its table ({logs[0]}), old ones among them; export the current one as plain "
            "Parquet"
        )
    inside = ((path, path.relative_to(folder).parts) for path in folder.rglob("*"))
    shown = [path for path, parts in inside if not any(part.startswith(("_", ".")) for part in parts)]
    return sorted(path for path in shown if path.name.lower().endswith(_SUFFIXES))


def _with_absent(rows: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """`rows` with the optional columns that the file lacks, as nulls."""
    absent = [each for each in columns if each.name not in rows.columns]
    return rows.with_columns(pl.lit(None, _TYPES.get(each.meaning, pl.String())).alias(each.name) for each in absent)


def _cells(row: Sequence[object]) -> tuple[str, str, str, str, str]:
    note_id, patient, visit, time, text = ("" if cell is None else str(cell) for cell in row)
    return note_id, patient, visit, time, text


def _parquet_notes(path: Path) -> Iterator[tuple[str, str, str, str, str]]:
    try:
        with pq.ParquetFile(path) as file:
            names = {name.lower(): name for name in file.schema_arrow.names}
            missing = [name for name in NOTE_COLUMNS if name not in names]
            if missing:
                raise UserError(f"{path} has no column {', '.join(missing)}; is it the table note?")
            wanted = [names[name] for name in NOTE_COLUMNS]
            for batch in file.iter_batches(1_000, columns=wanted):
                columns = [batch.column(name).to_pylist() for name in wanted]
                yield from map(_cells, zip(*columns, strict=True))
    except (OSError, pa.ArrowException):
        raise UserError(f"{path} is not a valid Parquet file; write or copy it again") from None
