"""CSV files larger than memory, a piece at a time: for exports that never quote, one record a line.

The encoding is that of the byte order mark; without one UTF-16 where every other byte of the beginning is zero, UTF-8
where the whole file is, else cp1252. A quote is a character like others, taken off where it encloses a whole field.
Lines with more fields than the header are left out and counted, since nobody can mend a country's file.
"""

import codecs
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import polars as pl

from data.table_files.csv_layout import find_separator, header_names, line_records
from data.table_files.stored_files import CHUNK, InputFile, tables_among
from data.table_files.text_tables import describe_header
from mera.system.errors import UserError

_BEGINNING = 4_096
_LONGEST_LINE = 4 * CHUNK
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
FALLBACK = "cp1252"
Item = TypeVar("Item")


class CsvStream:
    """One file; `pieces` gives its rows, and when all were given the counts say what was left out.

    `encoding`: one that Python knows, or after sniffing the one that the file has. `file`: name and sha256.
    """

    def __init__(self, path: str | Path, wanted: Sequence[str], encoding: str | None = None) -> None:
        """`wanted`: names of columns, lower case, by which the separator is known. Reads the file once, for its sha256
        and encoding. Raises FileNotFoundError or UserError where it is missing, empty, cut off or no text."""
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"input file not found: {self.path}")
        self.file, sniffed = self._look_through()
        self.encoding = encoding or sniffed
        self._errors = "replace" if encoding is None and sniffed == FALLBACK else "strict"
        self._is_utf8 = encoding is None and sniffed == "utf-8"
        self.num_rows = self.num_blank = self.num_short = self.num_long = 0
        self.num_headers = self.num_bad_characters = 0
        self._first, second = self._first_lines()
        self.num_bad_characters = 0
        if not self._first.strip():
            raise UserError(f"{self.path} is empty, or has an empty first line; expected a table with a header")
        self.separator = find_separator(self._first, set(wanted), "|")
        self.names = header_names(self._first, self.separator)
        self._second = header_names(second, self.separator)

    def pieces(self, headers: Mapping[str, str]) -> Iterator[pl.DataFrame]:
        """`headers` (our name -> the file's, lower case) as texts, a few ten thousand rows at a time, values with the
        spaces around them. Raises UserError naming the file where a column is missing, twice there, or the file ends
        in the middle of a gzip stream or of a character."""
        missing = [name for name in headers.values() if name not in self.names]
        if missing:
            described = describe_header(self.names, self._second, headers.values())
            raise UserError(f"{self.path} has no column {', '.join(missing)}; {described}. Is it the right file?")
        twice = sorted({name for name in headers.values() if self.names.count(name) > 1})
        if twice:
            raise UserError(f"{self.path} has several columns called {', '.join(twice)}; rename all but one")
        places = sorted({self.names.index(name) for name in headers.values()})
        for lines in one_ahead(map(self._table_lines, self._whole_lines())):
            if lines:
                yield self._parsed(lines, places, headers)
        if not self.num_rows:
            raise UserError(f"{self.path} has a header but no rows")

    def _first_lines(self) -> tuple[bytes, bytes]:
        """The header and the line below it, empty where there is none."""
        head, texts = b"", self._texts()
        for text in texts:
            head += text
            if head.count(b"\n") > 1 or len(head) > _LONGEST_LINE:
                break
        texts.close()
        lines = [line.rstrip(b"\r") for line in head.split(b"\n", 2)]
        return lines[0], lines[1] if len(lines) > 1 else b""

    def _parsed(self, lines: bytes, places: list[int], headers: Mapping[str, str]) -> pl.DataFrame:
        expected = lines.count(b"\n") + (not lines.endswith(b"\n"))
        try:
            rows = pl.read_csv(
                io.BytesIO(self._first + b"\n" + lines),
                columns=places,
                separator=self.separator,
                quote_char=None,
                infer_schema=False,
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            # The parser's own words may quote a patient's row.
            raise UserError(f"{self.path} is not a valid CSV with the separator {self.separator!r}") from None
        if rows.height != expected:
            raise UserError(f"{self.path}: {expected:,} lines hold {rows.height:,} rows; export the file again")
        self.num_rows += rows.height
        order = {place: number for number, place in enumerate(places)}
        columns = {ours: rows.columns[order[self.names.index(theirs)]] for ours, theirs in headers.items()}
        picked = rows.select(**{ours: pl.col(theirs) for ours, theirs in columns.items()})
        if b'"' in lines:
            picked = picked.with_columns(pl.all().str.strip_chars().str.replace('(?s)^"(.*)"$', "${1}"))
        return picked

    def _table_lines(self, text: bytes) -> bytes:
        """`text`, whole lines, without those that are no rows; these are counted."""
        records = line_records(np.frombuffer(text, dtype=np.uint8), self.separator, quoted=False)
        expected = len(self.names) - 1
        longer = records.separators > expected
        self.num_short += int(np.count_nonzero(records.separators < expected)) - len(records.blank) * bool(expected)
        has_header = self._first in text
        if not (longer.any() or len(records.blank) or has_header):
            return text
        is_row = ~longer
        is_row[records.blank] = False
        self.num_long += int(np.count_nonzero(longer))
        self.num_blank += len(records.blank)
        lines = [line for line, wanted in zip(text.split(b"\n"), is_row.tolist(), strict=False) if wanted]
        rows = [line for line in lines if line.rstrip(b"\r") != self._first]
        self.num_headers += len(lines) - len(rows)
        return b"\n".join(rows)

    def _whole_lines(self) -> Iterator[bytes]:
        """The text behind the header in pieces that end with a line."""
        rest, is_first = b"", True
        for text in self._texts():
            rest += text
            end = rest.rfind(b"\n") + 1
            if not end:
                if len(rest) > _LONGEST_LINE:
                    raise UserError(f"{self.path} has a line of more than {_LONGEST_LINE >> 20} MB; is it a table?")
                continue
            whole, rest = rest[:end], rest[end:]
            if is_first:
                whole, is_first = whole[whole.index(b"\n") + 1 :], False
            if whole:
                yield whole
        if rest and not is_first:
            yield rest

    def _texts(self) -> Generator[bytes]:
        """The whole file as UTF-8 without a byte order mark or zero bytes, some megabytes at a time."""
        try:
            decoder = codecs.getincrementaldecoder(self.encoding)(self._errors)
        except LookupError:
            raise UserError(
                f"--encoding must be one that Python knows, as cp1252 or utf-16, got {self.encoding!r}"
            ) from None
        is_first = True
        with self._open() as file:
            while True:
                chunk = file.read(CHUNK + (len(codecs.BOM_UTF8) if is_first else 0))
                if self._is_utf8 and b"\x00" not in chunk:  # looked through already
                    text_bytes, is_first = chunk.removeprefix(codecs.BOM_UTF8 if is_first else b""), False
                    if not chunk:
                        return
                    yield text_bytes
                    continue
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeError:
                    raise UserError(f"{self.path} is not text in {self.encoding}") from None
                if is_first:
                    text, is_first = text.removeprefix("\ufeff"), False
                bad = text.count("\ufffd") if self._errors == "replace" else 0
                bad += text.count("\x00")
                self.num_bad_characters += bad
                if text:
                    yield text.replace("\x00", "").encode()
                if not chunk:
                    return

    def _look_through(self) -> tuple[InputFile, str]:
        digest = hashlib.sha256()
        with self.path.open("rb") as stored:
            while chunk := stored.read(CHUNK):
                digest.update(chunk)
        return InputFile(file_name=self.path.name, sha256=digest.hexdigest()), self._sniffed()

    def _sniffed(self) -> str:
        decoder = codecs.getincrementaldecoder("utf-8")()
        with self._open() as file:
            chunk = file.read(max(CHUNK, _BEGINNING))
            for mark, encoding in _MARKS:
                if chunk.startswith(mark):
                    return encoding
            beginning = chunk[:_BEGINNING]
            if beginning.count(0) > len(beginning) // 4:
                return "utf-16-le" if beginning[1::2].count(0) > beginning[::2].count(0) else "utf-16-be"
            try:
                while chunk:
                    decoder.decode(chunk)
                    chunk = file.read(CHUNK)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                return FALLBACK
        return "utf-8"

    @contextmanager
    def _open(self) -> Iterator[IO[bytes] | gzip.GzipFile]:
        """The file unpacked: plain, gzipped, or alone in a zip."""
        try:
            with self.path.open("rb") as stored:
                start = stored.read(4)
                stored.seek(0)
                if start.startswith(b"\x1f\x8b"):
                    with gzip.GzipFile(fileobj=stored) as file:
                        yield file
                elif start == b"PK\x03\x04":
                    with zipfile.ZipFile(stored) as archive:
                        names = tables_among(archive.namelist())
                        if len(names) != 1:
                            raise UserError(f"{self.path} holds {len(names)} tables; unpack it and name one")
                        with archive.open(names[0]) as file:
                            yield file
                else:
                    yield stored
        except EOFError:
            raise UserError(f"{self.path} is cut off: the gzip stream ends early; download or copy it again") from None
        except (gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
            raise UserError(f"{self.path} is damaged, or packed in a way that is not read here") from None


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The `items` in their order, each made in a thread while its user is busy with the one before; two are in memory
    at once. What making one raises is raised here, when its turn comes."""
    source = iter(items)
    nothing = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, source, nothing)
        while (item := coming.result()) is not nothing:
            coming = thread.submit(next, source, nothing)
            yield item  # type: ignore[misc]  # `nothing` is no Item
