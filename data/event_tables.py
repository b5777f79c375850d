"""Tables of (patient, visit or time, code) in CSV or Parquet, as MEDS shards or a user's own files hold them."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.csv_tables import SourceTable, read_bytes, read_table, stripped

PARQUET_SUFFIXES = (".parquet", ".pq")


def read_columns(path: str | Path, names: Mapping[str, str], separator: str | None = None) -> SourceTable:
    """The columns of `names` (our name -> theirs), as text, spaces stripped, empty values null.

    A file with the suffix .parquet or .pq is Parquet, every other a CSV; .tsv and .txt are split at tabs unless
    `separator` says else. Times become ISO text. Raises FileNotFoundError or ValueError where the file cannot be used.
    """
    path = Path(path)
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return read_parquet(path, names)
    if separator is None:
        separator = "\t" if {".tsv", ".txt"} & {suffix.lower() for suffix in path.suffixes} else ","
    if len(separator.encode()) != 1:
        raise ValueError(f"--separator must be one character, got {separator!r}")
    wanted = {ours: theirs.strip().lower() for ours, theirs in names.items()}
    table = read_table(path, list(dict.fromkeys(wanted.values())), separator=separator, multiline=True)
    rows = stripped(table).select(**{ours: pl.col(theirs) for ours, theirs in wanted.items()})
    return SourceTable(rows=rows, file_name=table.file_name, sha256=table.sha256)


def read_parquet(path: Path, names: Mapping[str, str], optional: Sequence[str] = ()) -> SourceTable:
    """The same for one Parquet file; of `optional` (our names) those whose column is missing are left out."""
    stored = read_bytes(path)
    try:
        found = {name.strip().lower(): name for name in pl.read_parquet_schema(io.BytesIO(stored))}
        missing = [theirs for ours, theirs in names.items() if theirs.lower() not in found and ours not in optional]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}; found {', '.join(list(found)[:12])}")
        columns = {ours: found[theirs.lower()] for ours, theirs in names.items() if theirs.lower() in found}
        rows = pl.read_parquet(io.BytesIO(stored), columns=list(dict.fromkeys(columns.values())))
        rows = rows.select(**{ours: _as_text(theirs, rows.schema[theirs]) for ours, theirs in columns.items()})
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise ValueError(f"{path} is not a valid Parquet file: {reason}") from None
    rows = rows.with_columns(pl.all().str.strip_chars().replace({"": None}))
    return SourceTable(rows=rows, file_name=path.name, sha256=hashlib.sha256(stored).hexdigest())


def _as_text(column: str, kind: pl.DataType) -> pl.Expr:
    if kind == pl.Datetime:
        return pl.col(column).dt.strftime("%Y-%m-%d %H:%M:%S")
    return pl.col(column).cast(pl.String)


def parse_times(column: str) -> pl.Expr:
    """Text as a date and time: ISO in its usual forms, or `YYYYMMDD`; anything else becomes null."""
    text = pl.col(column).str.replace("T", " ", literal=True).str.replace(r"(\.\d+)?(Z|[+-]\d\d:?\d\d)?$", "")
    forms = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S")
    dates = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
    return pl.coalesce(
        *(text.str.to_datetime(form, strict=False) for form in forms),
        *(text.str.to_date(form, strict=False).cast(pl.Datetime("us")) for form in dates),
    )
