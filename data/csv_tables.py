"""Reading hospital tables: CSV, plain, gzipped or zipped, every value as text."""

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """What a task remembers of a file it was made from."""

    file_name: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTable(InputFile):
    """A table and the file it came from."""

    rows: pl.DataFrame
    """The wanted columns, lower-case names, every value a string or null."""

    @property
    def file(self) -> InputFile:
        """Without the rows."""
        return InputFile(file_name=self.file_name, sha256=self.sha256)


def read_table(
    path: str | Path,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    separator: str = ",",
    has_header: bool = True,
    quoted: bool = True,
    multiline: bool = False,
) -> SourceTable:
    """Read `columns` of a CSV, plain, gzipped or alone in a zip, whatever the case of its header.

    An empty field is null; values keep their leading zeros. Of `optional` columns those that exist are read. Without a
    header `columns` names all columns in order; where it is not `quoted`, a quote is a character like others. Values
    with a line break are an error unless `multiline`: a quote that never closes would swallow rows. Raises
    FileNotFoundError where there is no such file, and ValueError naming the file where it is empty, cut off, no CSV,
    or lacks a column.
    """
    path = Path(path)
    stored = read_bytes(path)
    text = _unpack(path, stored).removeprefix(b"\xef\xbb\xbf")
    if not text or text.isspace():
        raise ValueError(f"{path} is empty; expected a CSV with the columns {', '.join(columns)}")
    _check_text(path, text)
    found = _header(path, text, separator) if has_header else {name: name for name in columns}
    wanted = {found[name]: name for name in [*columns, *optional] if name in found}
    missing = [name for name in columns if name not in found]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; found {_shortened(list(found))}. Is it the right file?"
        )
    options = {"columns": list(wanted)} if has_header else {"has_header": False, "new_columns": list(columns)}
    if not quoted:
        options["quote_char"] = None
    rows = _parse(path, text, infer_schema=False, separator=separator, **options)
    if not has_header and rows.columns != list(columns):
        raise ValueError(f"{path} has {rows.width} columns where {len(columns)} were expected ({', '.join(columns)})")
    rows = rows.rename(wanted).select(wanted.values())
    if rows.is_empty():
        raise ValueError(f"{path} has a header but no rows")
    if not multiline and (broken := rows.filter(pl.any_horizontal(pl.all().str.contains("\n", literal=True))).height):
        raise ValueError(f"{path} has {broken:,} values with a line break inside; a quote is open or closed wrongly")
    return SourceTable(rows=rows, file_name=path.name, sha256=hashlib.sha256(stored).hexdigest())


def stripped(table: SourceTable, missing: Sequence[str] = ("",)) -> pl.DataFrame:
    """The rows without spaces around values, and null for each of `missing`."""
    return table.rows.with_columns(pl.all().str.strip_chars().replace(dict.fromkeys(missing)))


def read_bytes(path: Path) -> bytes:
    """A whole input file. Raises FileNotFoundError or ValueError where there is none."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; --input must name one CSV file here")
    if not path.is_file():
        raise FileNotFoundError(f"input file not found: {path}")
    return path.read_bytes()


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
    if stored.startswith(b"PK\x03\x04"):
        return _unzip(path, stored)
    if not stored.startswith(b"\x1f\x8b"):
        return stored
    try:
        return gzip.decompress(stored)
    except EOFError:
        raise ValueError(f"{path} is cut off: the gzip stream ends early; download or copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); download or copy it again") from None


def _unzip(path: Path, stored: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".csv", ".txt", ".tsv"))]
            if len(names) != 1:
                raise ValueError(f"{path} holds {len(names)} tables; unpack it and name one")
            return archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"{path} is a damaged or protected zip file ({error}); download or copy it again") from None


def _check_text(path: Path, text: bytes) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 (byte {error.start} is not text); save it as UTF-8") from None
    if b"\x00" in text:
        raise ValueError(f"{path} is not a CSV: it holds binary data")


def _header(path: Path, text: bytes, separator: str) -> dict[str, str]:
    """Lower-case column name -> the name as written."""
    names = _parse(path, text, n_rows=0, infer_schema=False, separator=separator).columns
    return {name.strip().lower(): name for name in names}


def _parse(path: Path, text: bytes, **options: Any) -> pl.DataFrame:
    try:
        return pl.read_csv(io.BytesIO(text), **options)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise ValueError(f"{path} is not a valid CSV: {reason}") from None


def _shortened(names: list[str], limit: int = 12) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
