"""RTF as pieces of text, braces and control words, each with its place: of the CDC's index of ICD-9-CM, and of notes.

RTF 1.9.1: a backslash begins a control word with an optional number, `\\'e9` is a byte of the file's code page, braces
are groups that end what was set in them. Of the pieces of a group that no reader has to know (`\\*`), and of fonts,
colours, styles and headers, nothing is text.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = "{\\rtf"
PARAGRAPH_ENDS = frozenset(("par", "sect", "page", "row"))
_TOKEN = re.compile(
    r"\\([A-Za-z]+)(-?\d{1,9})? ?"  # control word
    r"|((?:\\'[0-9a-fA-F]{2})+)"  # bytes of the code page
    r"|\\([^A-Za-z'])"  # control symbol
    r"|([{}])"
    r"|([^\\{}\r\n]+)"
)
_CODE_PAGE = re.compile(r"\\ansicpg(\d+)")
_NO_TEXT = frozenset(
    [
        "fonttbl",
        "colortbl",
        "stylesheet",
        "info",
        "header",
        "footer",
        "headerl",
        "headerr",
        "headerf",
        "footerl",
        "footerr",
        "footerf",
        "pict",
        "object",
        "footnote",
        "themedata",
        "colorschememapping",
        "latentstyles",
        "datastore",
        "listtable",
        "listoverridetable",
        "rsidtbl",
        "generator",
        "xmlnstbl",
        "mmathPr",
    ]
)
_TEXT_OF_WORD = {
    "tab": " ",
    "cell": " ",
    "lquote": "'",
    "rquote": "'",
    "ldblquote": '"',
    "rdblquote": '"',
    "endash": "-",
    "emdash": "-",
    "bullet": " ",
}
_TEXT_OF_SYMBOL = {"~": " ", "_": "-", "\\": "\\", "{": "{", "}": "}"}
"""Of the others an optional hyphen (`\\-`) is nothing."""


class Piece(NamedTuple):
    """One of `text`, `brace` and `word` is there."""

    place: int
    """Where in the RTF it begins."""
    text: str = ""
    is_written_out: bool = False
    """Each character of `text` stands in the RTF as it is, one behind the other."""
    brace: str = ""
    word: str = ""
    number: int | None = None


def rich_text_pieces(rtf: str, holds_bytes: bool) -> Iterator[Piece]:
    """What shows of `rtf`, with the words that lay it out. `holds_bytes`: characters beyond ASCII are bytes of its code
    page (a file, decoded as Latin-1); else they are what they are (a note that was read as text)."""
    page = _CODE_PAGE.search(rtf, 0, 2000)
    encoding = f"cp{page[1]}" if page else "cp1252"
    hidden, fallback, to_skip = False, 1, 0
    outer: list[tuple[bool, int]] = []
    for token in _TOKEN.finditer(rtf):
        (word, number, coded, symbol, brace, plain), place = token.groups(), token.start()
        if coded or plain:
            text = _decoded(bytes.fromhex(coded.replace("\\'", "")), encoding) if coded else plain
            if plain and holds_bytes and not plain.isascii():
                text = _decoded(plain.encode("latin-1"), encoding)
            dropped = min(to_skip, len(text))
            to_skip -= dropped
            if not hidden and text[dropped:]:
                yield Piece(place + (dropped if plain else 0), text[dropped:], is_written_out=text is plain)
        elif brace == "{":
            outer.append((hidden, fallback))
            yield Piece(place, brace=brace)
        elif brace == "}":
            hidden, fallback = outer.pop() if outer else (False, 1)
            yield Piece(place, brace=brace)
        elif symbol == "*" or word in _NO_TEXT:
            hidden = True
        elif hidden:
            continue
        elif symbol:
            yield Piece(place, _TEXT_OF_SYMBOL.get(symbol, ""))
        elif word == "uc":
            fallback = int(number or 1)
        elif word == "u":
            yield Piece(place, chr(int(number or 0) % 0x10000))
            to_skip = fallback
        elif word in _TEXT_OF_WORD:
            yield Piece(place, _TEXT_OF_WORD[word])
        else:
            yield Piece(place, word=word, number=None if number is None else int(number))


def _decoded(text: bytes, encoding: str) -> str:
    try:
        return text.decode(encoding, errors="replace")
    except LookupError:
        return text.decode("cp1252", errors="replace")
