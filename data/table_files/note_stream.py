"""Reading CSV files of notes a row at a time: they are larger than memory, and fields run over many lines."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.table_files.csv_layout import as_name
from data.table_files.stored_files import InputFile, find_table
from data.table_files.text_tables import describe_header
from mera.system.errors import UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_FIELD = 1 << 30


class NoteStream:
    """The rows of one CSV file; once they have been read, `file` says what was read."""

    def __init__(self, path: str | Path, table: str, columns: Sequence[str]) -> None:
        """`path`: the file, or a folder that holds `table`. `columns`: what each row gives, in this order."""
        path = Path(path)
        self._path = find_table(path, table) if path.is_dir() else path
        self._columns = list(columns)
        self._digest = hashlib.sha256()
        if not self._path.is_file():
            raise FileNotFoundError(f"notes not found: {self._path}; give the file {table}.csv.gz or its folder")

    @property
    def file(self) -> InputFile:
        return InputFile(file_name=self._path.name, sha256=self._digest.hexdigest())

    def __iter__(self) -> Iterator[list[str]]:
        """Rows as strings, empty where the field is. Raises UserError naming the file where it is no such CSV."""
        longest = csv.field_size_limit(LONGEST_FIELD)
        try:
            with self._path.open("rb") as stored:
                hashed = io.BufferedReader(_Hashed(stored, self._digest))
                is_gzip = stored.peek(2)[:2] == b"\x1f\x8b"
                lines: Iterable[str] = (
                    io.TextIOWrapper(gzip.GzipFile(fileobj=hashed), "utf-8", newline="")
                    if is_gzip
                    else io.TextIOWrapper(hashed, "utf-8", newline="")
                )
                reader = csv.reader(lines, strict=True)
                yield from self._rows(reader)
        except EOFError:
            raise UserError(f"{self._path} is cut off: the gzip stream ends early; download or copy it again") from None
        except (gzip.BadGzipFile, zlib.error):
            raise UserError(f"{self._path} is a damaged gzip file; download or copy it again") from None
        except UnicodeDecodeError as error:
            raise UserError(f"{self._path} is not a CSV in UTF-8 (byte {error.object[error.start]:#x})") from None
        except csv.Error:
            raise UserError(
                f"{self._path}, line {reader.line_num:,}: a quote is opened or closed wrongly; export the file again, "
                "quoted"
            ) from None
        finally:
            csv.field_size_limit(longest)

    def _rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        header = [as_name(name).removeprefix("\ufeff") for name in next(reader, [])]
        missing = [name for name in self._columns if name not in header]
        if missing:
            described = describe_header(header, next(reader, []), self._columns)
            raise UserError(f"{self._path} has no column {', '.join(missing)}; {described}. Is it the right file?")
        places = [header.index(name) for name in self._columns]
        empty = True
        for number, row in enumerate(reader, start=2):
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(f"{self._path} has {len(row)} fields in row {number}, its header {len(header)}")
            fields = [row[place] for place in places]
            if any("\x00" in field for field in fields):
                raise UserError(f"{self._path} is not a CSV: row {number} holds binary data")
            empty = False
            yield fields
        if empty:
            raise UserError(f"{self._path} has a header but no rows")


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: io.BufferedReader, digest: "hashlib._Hash") -> None:
        self._file, self._digest = file, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        count = self._file.readinto(buffer)
        self._digest.update(memoryview(buffer)[:count])
        return count
