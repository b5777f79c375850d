"""Reading hospital tables: CSV, plain or gzipped, every value as text."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTable:
    """A table and the file it came from."""

    rows: pl.DataFrame
    """The wanted columns, lower-case names, every value a string or null."""
    file_name: str
    sha256: str


def read_table(path: str | Path, columns: Sequence[str]) -> SourceTable:
    """Read `columns` of a `.csv` or `.csv.gz`, whatever the case of its header.

    An empty field is null; values keep their leading zeros. Raises FileNotFoundError where there is no such file, and
    ValueError naming the file where it is empty, cut off, no CSV, or lacks a column.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; --input must name one CSV file here")
    if not path.is_file():
        raise FileNotFoundError(f"input file not found: {path}")
    stored = path.read_bytes()
    text = _unpack(path, stored)
    if not text.strip():
        raise ValueError(f"{path} is empty; expected a CSV with the columns {', '.join(columns)}")
    found = _header(path, text)
    missing = [name for name in columns if name not in found]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; found {_shortened(list(found))}. Is it the right file?"
        )
    wanted = {found[name]: name for name in columns}
    try:
        rows = pl.read_csv(io.BytesIO(text), columns=list(wanted), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} is not a valid CSV: {str(error).splitlines()[0]}") from None
    rows = rows.rename(wanted).select(columns)
    if rows.is_empty():
        raise ValueError(f"{path} has a header but no rows")
    return SourceTable(rows=rows, file_name=path.name, sha256=hashlib.sha256(stored).hexdigest())


def find_table(folder: str | Path, name: str) -> Path:
    """The file in `folder` that holds table `name`, as `name.csv` or `name.csv.gz` in any case.

    Raises FileNotFoundError where there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"input folder not found: {folder}; --input must name the folder with {name}.csv.gz")
    accepted = {f"{name}.csv".lower(), f"{name}.csv.gz".lower()}
    matches = sorted(path for path in folder.iterdir() if path.name.lower() in accepted)
    if not matches:
        raise FileNotFoundError(f"{folder} holds neither {name}.csv nor {name}.csv.gz; is it the right folder?")
    if len(matches) > 1:
        raise ValueError(f"{folder} holds {' and '.join(path.name for path in matches)}; keep one of them")
    return matches[0]


def _unpack(path: Path, stored: bytes) -> bytes:
    if not stored.startswith(b"\x1f\x8b"):
        return stored
    try:
        return gzip.decompress(stored)
    except EOFError:
        raise ValueError(f"{path} is cut off: the gzip stream ends early; download or copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); download or copy it again") from None


def _header(path: Path, text: bytes) -> dict[str, str]:
    """Lower-case column name -> the name as written."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 (byte {error.start} is not text)") from None
    if b"\x00" in text:
        raise ValueError(f"{path} is not a CSV: it holds binary data")
    try:
        names = pl.read_csv(io.BytesIO(text), n_rows=0, infer_schema=False).columns
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} is not a valid CSV: {str(error).splitlines()[0]}") from None
    return {name.strip().lower(): name for name in names}


def _shortened(names: list[str], limit: int = 12) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
