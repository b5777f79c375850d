"""Tables whose file says what type each column has: Parquet, Feather and JSON, a row an object."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.table_files.stored_files import read_bytes
from mera.system.errors import UserError

PARQUET_SUFFIXES = (".parquet", ".pq")
FEATHER_SUFFIXES = (".feather", ".arrow", ".ipc")
JSON_LINES, JSON = (".jsonl", ".ndjson"), ".json"
"""An object a line; or one list of objects. Either may be gzipped."""
LIST_MARK = ";"
"""Between the values of a column of lists."""


def is_columnar(path: Path) -> bool:
    return _suffix(path) in (*PARQUET_SUFFIXES, *FEATHER_SUFFIXES, *JSON_LINES, JSON)


def records_in(path: Path) -> list[str]:
    """The columns, lower case, that hold records or lists of such, and so have no form as text; none of other files."""
    if not is_columnar(path):
        return []
    kinds = {name.strip().lower(): kind for name, kind in read_schema(path, read_bytes(path)).items()}
    return [name for name, kind in kinds.items() if kind.is_nested() and not _is_list(kind)]


def _is_list(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List) and not kind.inner.is_nested()


def read_schema(path: Path, stored: bytes) -> Mapping[str, pl.DataType]:
    """Raises UserError where the file is none of its kind."""
    if _suffix(path) in (*JSON_LINES, JSON):
        return _read_json(path, stored).schema
    read = pl.read_ipc_schema if _suffix(path) in FEATHER_SUFFIXES else pl.read_parquet_schema
    try:
        schema: Mapping[str, pl.DataType] = read(io.BytesIO(stored))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        raise _damaged(path) from None
    return schema


def read_frame(path: Path, stored: bytes, names: Sequence[str]) -> pl.DataFrame:
    """The columns `names`. Raises UserError where the file is none of its kind."""
    if _suffix(path) in (*JSON_LINES, JSON):
        return _read_json(path, stored).select(names)
    try:
        read = pl.read_ipc if _suffix(path) in FEATHER_SUFFIXES else pl.read_parquet
        return read(io.BytesIO(stored), columns=list(names))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        raise _damaged(path) from None


def _read_json(path: Path, stored: bytes) -> pl.DataFrame:
    try:
        text = gzip.decompress(stored) if path.suffix.lower() == ".gz" else stored
        text = text.removeprefix(b"\xef\xbb\xbf")
        if _suffix(path) == JSON:
            frame = pl.read_json(io.BytesIO(text), infer_schema_length=None)
        else:
            frame = pl.read_ndjson(io.BytesIO(text), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error):
        # The parser's own words may quote a patient's row.
        form = "a list of objects" if _suffix(path) == JSON else "an object on each line"
        raise UserError(f"{path} is no JSON with {form}, all with the same kinds of values") from None
    if not frame.width or not frame.height:
        raise UserError(f"{path} has no rows")
    return frame


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else suffixes[-1] if suffixes else ""


def _damaged(path: Path) -> UserError:
    kind = "Feather file of version 2" if _suffix(path) in FEATHER_SUFFIXES else "Parquet file"
    return UserError(f"{path} is not a valid {kind}; write or copy it again")


def as_text(path: Path, column: str, values: pl.Series) -> pl.Series:
    """Dates and times as Datetime, by the clock of their zone; numbers as Polars writes them, which
    `data.table_files.meanings` reads back; a list with LIST_MARK between its values.
    """
    kind = values.dtype
    largest = values.abs().max() if kind.is_float() else None
    if isinstance(largest, float) and largest >= (2**24 if kind == pl.Float32 else 2**53):
        raise UserError(f"{path}: column {column} holds whole numbers too large for the floats they are stored as")
    if kind == pl.Datetime:
        return values.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    if kind == pl.Date:
        return values.cast(pl.Datetime("us"))
    if kind.is_decimal() and (values == values.round(0)).all():
        return values.cast(pl.Int128).cast(pl.String)  # ids of databases: 115254.000
    if _is_list(kind):
        return values.cast(pl.List(pl.String)).list.drop_nulls().list.join(LIST_MARK).replace({"": None})
    if not kind.is_nested() and kind not in (pl.Object, pl.Duration, pl.Time):
        with contextlib.suppress(pl.exceptions.PolarsError):
            return values.cast(pl.String)
    raise UserError(f"{path}: column {column} holds {kind}, which is neither text, a number nor a time")
