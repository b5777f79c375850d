"""In which encoding a text file may be that is not in UTF-8: the one in which its words mean something."""

import re
from pathlib import Path

from data.sources.shared.own_table.column_names import NAMES, OF_DIAGNOSES, is_called
from data.table_files.meanings import sex
from data.table_files.stored_files import read_text

LEGACY_ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp932", "gb18030", "cp949")
"""What a file may be in that is not in UTF-8, the likeliest first: Windows' pages of Western and Central Europe,
Cyrillic, Greek, Turkish, Baltic, and those of Japan, China and Korea."""
_LOOKED_AT = 200_000
"""Bytes by which that is told."""


def likely_encodings(path: Path) -> list[str]:
    """Those in which cells mean something by their letters beyond ASCII, most of them first; at last the first of
    LEGACY_ENCODINGS."""
    text, _ = read_text(path, "latin-1")  # a character for each byte
    first_line, *lines = (line.encode("latin-1") for line in text[:_LOOKED_AT].decode(errors="ignore").split("\n"))
    known = {
        encoding: sum(map(_is_a_name, _cells(first_line.decode(encoding, "ignore"))))
        + sum(bool(sex(cell)) for cell in _cells(b"\n".join(lines).decode(encoding, "ignore")))
        for encoding in LEGACY_ENCODINGS
    }
    return [*sorted(filter(known.get, LEGACY_ENCODINGS), key=lambda encoding: -known[encoding]), LEGACY_ENCODINGS[0]]


def _cells(text: str) -> set[str]:
    """The different ones that are not in ASCII."""
    return {cell.strip() for cell in re.split(r"[;,|\t\n\"]", text.lower()) if not cell.isascii()}


def _is_a_name(cell: str) -> bool:
    """Whether a column may be called so, and could not without its letters beyond ASCII."""
    without = re.sub(r"[^\x00-\x7f]", "_", cell)
    return any(is_called(cell, kind) and not is_called(without, kind) for kind in (OF_DIAGNOSES, *NAMES.values()))
