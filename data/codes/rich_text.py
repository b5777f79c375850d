"""RTF as pieces of text, braces and control words, each with its place: of the CDC's index of ICD-9-CM, and of notes.

RTF 1.9.1: a backslash begins a control word with an optional number, `\\'e9` is a byte of the file's code page, braces
are groups that end what was set in them. Of the pieces of a group that no reader has to know (`\\*`), and of fonts,
colours, styles and headers, nothing is text.
"""

import re
from collections.abc import Generator
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


class RichTextEnd(NamedTuple):
    place: int
    """Behind the outermost group."""
    is_whole: bool
    """Whether it closes, or shows text to its end: one that ends inside what is hidden is damaged."""


def rich_text_pieces(rtf: str, holds_bytes: bool, start: int = 0) -> Generator[Piece, None, RichTextEnd]:
    """What shows of `rtf` from `start` to the end of its outermost group, with the words that lay it out; returns where
    that is. `holds_bytes`: characters beyond ASCII are bytes of its code page (a file, decoded as Latin-1); else they
    are what they are (a note that was read as text)."""
    page = _CODE_PAGE.search(rtf, start, start + 2000)
    encoding = f"cp{page[1]}" if page else "cp1252"
    hidden, fallback, to_skip, high = False, 1, 0, 0
    outer: list[tuple[bool, int]] = []
    for token in _TOKEN.finditer(rtf, start):
        (word, number, coded, symbol, brace, plain), place = token.groups(), token.start()
        if coded or plain:
            stored = bytes.fromhex(coded.replace("\\'", "")) if coded else plain
            if plain and holds_bytes and not plain.isascii():
                stored = plain.encode("latin-1")
            dropped = min(to_skip, len(stored))
            to_skip -= dropped
            text = _decoded(stored[dropped:], encoding)
            high = 0 if text else high
            if not hidden and text:
                yield Piece(place + (dropped if plain else 0), text, is_written_out=isinstance(stored, str))
        elif brace == "{":
            outer.append((hidden, fallback))
            to_skip = 0
            yield Piece(place, brace=brace)
        elif brace == "}":
            hidden, fallback = outer.pop() if outer else (False, 1)
            to_skip = 0
            yield Piece(place, brace=brace)
            if not outer:
                return RichTextEnd(token.end(), is_whole=True)
        elif symbol == "*" or word in _NO_TEXT:
            hidden = True
        elif hidden:
            continue
        elif symbol:
            yield Piece(place, _TEXT_OF_SYMBOL.get(symbol, ""))
        elif word == "uc":
            fallback = int(number or 1)
        elif word == "u":
            value, to_skip = int(number or 0) % 0x10000, fallback
            if 0xDC00 <= value < 0xE000:  # the second half of a character that takes two
                value = 0x10000 + ((high - 0xD800) << 10) + value - 0xDC00 if high else 0xFFFD
            high = value if 0xD800 <= value < 0xDC00 else 0
            if not high:
                yield Piece(place, chr(value))
        elif word in _TEXT_OF_WORD:
            yield Piece(place, _TEXT_OF_WORD[word])
        else:
            yield Piece(place, word=word, number=None if number is None else int(number))
    return RichTextEnd(len(rtf), is_whole=not hidden)


def _decoded(text: bytes | str, encoding: str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode(encoding, errors="replace")
    except LookupError:
        return text.decode("cp1252", errors="replace")
