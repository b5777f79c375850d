"""In which encoding a text file may be that is not in UTF-8: the one in which its words mean something."""

import re
from pathlib import Path

from data.sources.shared.own_table.column_names import NAMES, OF_DIAGNOSES, is_called
from data.table_files.meanings import sex
from data.table_files.stored_files import read_text

LEGACY_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp932", "gb18030", "cp949"),
    *("iso8859_2", "koi8_r", "iso8859_5", "cp866", "cp852"),
)
"""What a file may be in that is not in UTF-8, the likeliest first: Windows' pages of Western and Central Europe,
Cyrillic, Greek, Turkish, Baltic, those of Japan, China and Korea, and older ones of Central and Eastern Europe."""
_LOOKED_AT = 200_000
"""Bytes by which that is told."""


def likely_encodings(path: Path) -> list[str]:
    """Those in which cells mean something by their letters beyond ASCII, or fewer signs stand inside words than in the
    first of LEGACY_ENCODINGS, the best first; that one at last."""
    text, _ = read_text(path, "latin-1")  # a character for each byte
    first_line, _, rest = text[:_LOOKED_AT].decode(errors="ignore").encode("latin-1").partition(b"\n")
    first = LEGACY_ENCODINGS[0]
    known, signs = {}, {}
    for encoding in LEGACY_ENCODINGS:
        names, cells = (_cells(part.decode(encoding, "ignore")) for part in (first_line, rest))
        known[encoding] = sum(map(_is_a_name, names)) + sum(bool(sex(cell)) for cell in cells)
        signs[encoding] = sum(map(_has_a_sign_inside, names | cells))
    better = [encoding for encoding in LEGACY_ENCODINGS if known[encoding] or signs[encoding] < signs[first]]
    return [*sorted(better, key=lambda encoding: (-known[encoding], signs[encoding])), first]


def _cells(text: str) -> set[str]:
    """The different ones that are not in ASCII."""
    return {cell.strip() for cell in re.split(r"[;,|\t\n\"]", text.lower()) if not cell.isascii()}


def _is_a_name(cell: str) -> bool:
    """Whether a column may be called so, and could not without its letters beyond ASCII."""
    without = re.sub(r"[^\x00-\x7f]", "_", cell)
    return any(is_called(cell, kind) and not is_called(without, kind) for kind in (OF_DIAGNOSES, *NAMES.values()))


def _has_a_sign_inside(cell: str) -> bool:
    """Whether a character beyond ASCII that is no letter stands between two letters: `miejscowo¶ć`."""
    return any(
        not character.isascii() and not character.isalpha() and before.isalpha() and behind.isalpha()
        for before, character, behind in zip(cell, cell[1:], cell[2:], strict=False)
    )
