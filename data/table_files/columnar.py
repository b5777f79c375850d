"""Tables whose file says what type each column has: Parquet, Feather, JSON (a row an object), and the files of Stata,
SAS and SPSS, which pyreadstat reads."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import polars as pl
import pyreadstat

from data.table_files.csv_layout import as_name
from data.table_files.meanings import sex
from data.table_files.stored_files import read_bytes
from mera.system.errors import UserError

PARQUET_SUFFIXES = (".parquet", ".pq")
FEATHER_SUFFIXES = (".feather", ".arrow", ".ipc")
JSON_LINES, JSON = (".jsonl", ".ndjson"), ".json"
"""An object a line; or one list of objects. Either may be gzipped."""


class _Facts(Protocol):
    """What pyreadstat says of a file."""

    variable_value_labels: Mapping[str, Mapping[float, str]]
    """Column -> value -> label."""


STATISTICAL: Mapping[str, tuple[str, Callable[..., object]]] = {
    ".dta": ("Stata", pyreadstat.read_dta),
    ".sas7bdat": ("SAS", pyreadstat.read_sas7bdat),
    ".xpt": ("SAS transport", pyreadstat.read_xport),
    ".sav": ("SPSS", pyreadstat.read_sav),
    ".zsav": ("SPSS", pyreadstat.read_sav),
    ".por": ("SPSS portable", pyreadstat.read_por),
}
"""Suffix -> whose file it is, and what reads it."""
LIST_MARK = ";"
"""Between the values of a column of lists."""


def is_columnar(path: Path) -> bool:
    return _suffix(path) in (*PARQUET_SUFFIXES, *FEATHER_SUFFIXES, *JSON_LINES, JSON, *STATISTICAL)


def records_in(path: Path) -> list[str]:
    """The columns, lower case, that hold records, lists of such or lengths of time, and so have no form as text; none
    of other files."""
    if not is_columnar(path):
        return []
    kinds = {as_name(name): kind for name, kind in read_schema(path, read_bytes(path)).items()}
    return [name for name, kind in kinds.items() if not _has_text(kind)]


def _has_text(kind: pl.DataType) -> bool:
    return _is_list(kind) or not (kind.is_nested() or kind in (pl.Object, pl.Duration))


def _is_list(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List) and not kind.inner.is_nested()


def read_schema(path: Path, stored: bytes) -> Mapping[str, pl.DataType]:
    """Raises UserError where the file is none of its kind."""
    if _suffix(path) in (*JSON_LINES, JSON):
        return _read_json(path, stored).schema
    if _suffix(path) in STATISTICAL:
        return _read_statistical(path, stored, metadataonly=True).schema
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
    if _suffix(path) in STATISTICAL:
        return _read_statistical(path, stored, usecols=list(names)).select(names)
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


def _read_statistical(path: Path, stored: bytes, **what: object) -> pl.DataFrame:
    """Values that the file calls missing are null. A column of numbers whose labels are sexes holds the labels; all
    others hold the numbers, since labels of codes, places and ages say less than these."""
    _, read = STATISTICAL[_suffix(path)]
    try:
        content = gzip.decompress(stored) if path.suffix.lower() == ".gz" else stored
        found = read(io.BytesIO(content), output_format="polars", **what)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, OSError, EOFError, zlib.error, OverflowError):
        raise _damaged(path) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} holds text in another encoding than it says; save it again, as UTF-8") from None
    frame, facts = cast("tuple[pl.DataFrame, _Facts]", found)
    frame = frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None), pl.col(pl.String).replace({"": None}))
    for name, labels in facts.variable_value_labels.items():
        if name in frame.columns and frame.schema[name].is_numeric():
            values = frame[name].unique().drop_nulls().to_list()
            if all(value in labels for value in values) and {"F", "M"} & {sex(labels[value]) for value in values}:
                frame = frame.with_columns(pl.col(name).replace_strict(labels, return_dtype=pl.String))
    return frame


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else suffixes[-1] if suffixes else ""


def _damaged(path: Path) -> UserError:
    if _suffix(path) in STATISTICAL:
        return UserError(f"{path} is no {STATISTICAL[_suffix(path)][0]} file that can be read; write or copy it again")
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
    if _has_text(kind):
        with contextlib.suppress(pl.exceptions.PolarsError):
            return values.cast(pl.String)
    raise UserError(f"{path}: column {column} holds {kind}, which is neither text, a number nor a time")
