"""Input files on disk: where a table lies, how it is unpacked, and whether it is text in UTF-8."""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mera.system.errors import UserError

CHUNK = 1 << 24
"""Bytes looked at in one go: what is computed from them is several times as large."""
TABLE_SUFFIXES = (".csv", ".txt", ".tsv")
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


_OTHER_STREAMS: tuple[tuple[bytes, str, Callable[[bytes], bytes]], ...] = (
    (b"BZh", "bzip2", bz2.decompress),
    (b"\xfd7zXZ\x00", "xz", lzma.decompress),
)
"""First bytes of a packed file, its name, how it is unpacked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """What a task remembers of a file it was made from."""

    file_name: str
    sha256: str

    @classmethod
    def of(cls, path: Path, stored: bytes) -> "InputFile":
        return cls(file_name=path.name, sha256=hashlib.sha256(stored).hexdigest())


def read_bytes(path: Path) -> bytes:
    """A whole input file. Raises FileNotFoundError or UserError where there is none."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; --input must name one file here")
    if not path.is_file():
        raise FileNotFoundError(f"input file not found: {path}")
    return path.read_bytes()


class NotInEncoding(UserError):
    """A file that the encoding which was named does not read."""


class NotInUtf8(UserError):
    """A text file in an encoding that nobody named."""


def read_text(path: Path, encoding: str | None = None) -> tuple[bytes, InputFile]:
    """The text of a file, plain, gzipped or alone in a zip, as UTF-8 without a byte order mark, lines ended by a
    newline; and the file. `encoding`: one that Python knows; None: UTF-8, or UTF-16 with its mark.

    Raises FileNotFoundError where there is no such file, NotInUtf8 where no `encoding` is given and it needs one, and
    UserError naming it where it is empty, cut off or no text.
    """
    stored = read_bytes(path)
    file = InputFile.of(path, stored)
    unpacked = _unpack(path, stored)
    if encoding is None and b"\x00" in unpacked[:CHUNK] and not unpacked.startswith(_UTF16_MARKS):
        raise _binary(path)
    text = _as_utf8(path, unpacked) if encoding is None else _decoded(path, unpacked, encoding)
    if not text or text.isspace():
        raise UserError(f"{path} is empty; expected a table with a header")
    if b"\x00" in text:
        raise _binary(path)
    if codecs.BOM_UTF8 in text:  # files with a mark, one written behind the other
        text = text.replace(codecs.BOM_UTF8, b"")
    if b"\n" not in text:
        text = text.replace(b"\r", b"\n")
    return text, file


def _binary(path: Path) -> UserError:
    return UserError(
        f"{path} is not a CSV: it holds binary data (or UTF-16 without its mark, which --encoding utf-16-le reads); by "
        f"the ending of their names Excel, Parquet, Feather, JSON, Stata, SAS and SPSS files are read"
    )


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
        raise UserError(f"{folder} holds {' and '.join(path.name for path in matches)}; keep one of them")
    return matches[0]


def _unpack(path: Path, stored: bytes) -> bytes:
    if stored.startswith(b"PK\x03\x04"):
        return _unzip(path, stored)
    for start, name, decompress in _OTHER_STREAMS:
        if stored.startswith(start):
            try:
                return decompress(stored)
            except (OSError, EOFError, ValueError, lzma.LZMAError):
                raise UserError(f"{path} is a damaged or cut off {name} file; download or copy it again") from None
    if stored.startswith(b"\x28\xb5\x2f\xfd"):
        raise UserError(f"{path} is packed by zstd, which is not read here; unpack it, or pack it by gzip")
    if not stored.startswith(b"\x1f\x8b"):
        return stored
    try:
        return gzip.decompress(stored)
    except EOFError:
        raise UserError(f"{path} is cut off: the gzip stream ends early; download or copy it again") from None
    except (gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is a damaged gzip file; download or copy it again") from None


def tables_among(names: Iterable[str]) -> list[str]:
    """The tables of an archive: not the second, hidden file that macOS adds to each, nor a text beside a CSV."""
    visible = (name for name in names if not name.split("/")[-1].startswith("._"))
    tables = [name for name in visible if name.lower().endswith(TABLE_SUFFIXES)]
    return [name for name in tables if not name.lower().endswith(".txt")] or tables


def _unzip(path: Path, stored: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            names = tables_among(archive.namelist())
            if len(names) != 1:
                raise UserError(f"{path} holds {len(names)} tables; unpack it and name one")
            return archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise UserError(f"{path} is a damaged or protected zip file; download or copy it again") from None


def _as_utf8(path: Path, text: bytes) -> bytes:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if text.startswith(mark):
            if encoding == "utf-8":
                text = text.removeprefix(mark)
                break
            try:
                return text.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise UserError(f"{path} is damaged: byte {error.start} is not text in {encoding.upper()}") from None
    if text.isascii():
        return text
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        for start in range(0, len(text), CHUNK):
            decoder.decode(text[start : start + CHUNK], final=start + CHUNK >= len(text))
    except UnicodeDecodeError as error:
        place = max(0, start + error.start)
        raise NotInUtf8(f"{path} is not a CSV in UTF-8 (byte {place} is not text); save it as UTF-8") from None
    return text


def _decoded(path: Path, text: bytes, encoding: str) -> bytes:
    try:
        decoded = text.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise UserError(f"--encoding must be one that Python knows, as cp1252 or utf-16, got {encoding!r}") from None
    except UnicodeError:
        raise NotInEncoding(f"{path} is not text in {encoding}") from None
    if not text.isascii() and not codecs.lookup(encoding).name.startswith("utf") and _is_utf8(text):
        raise UserError(f"{path} is in UTF-8, and read as {encoding} its letters would be others; leave --encoding out")
    return decoded.encode()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeError:
        return False
    return True
