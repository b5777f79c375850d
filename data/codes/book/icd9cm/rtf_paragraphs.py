"""The paragraphs of an RTF file with their indents, in twips (1/1440 inch).

RTF 1.9.1: a backslash begins a control word with an optional number, `\\'e9` is a byte of the file's code page, braces
are groups that end what was set in them. Of the pieces of a group that no reader has to know (`\\*`), and of fonts,
colours, styles and headers, nothing is text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mera.system.errors import UserError

SIGNATURE = b"{\\rtf"
_TOKEN = re.compile(
    rb"\\([A-Za-z]+)(-?\d+)? ?"  # control word
    rb"|\\'([0-9a-fA-F]{2})"  # byte of the code page
    rb"|\\([^A-Za-z'])"  # control symbol
    rb"|([{}])"
    rb"|([^\\{}\r\n]+)"
)
_FONT_MARKS = re.compile(rb"\\hich\\af\d+\\dbch\\af\d+\\loch\\f\d+ ?")
"""Word writes them before nearly every word; they take most of a reader's time."""
_NO_TEXT = frozenset(
    b"fonttbl colortbl stylesheet info header footer headerl headerr headerf footerl footerr footerf pict object "
    b"footnote themedata colorschememapping latentstyles datastore listtable listoverridetable rsidtbl generator "
    b"xmlnstbl mmathPr".split()
)
_TEXT_OF_WORD = {
    b"tab": " ",
    b"line": " ",
    b"cell": " ",
    b"lquote": "'",
    b"rquote": "'",
    b"ldblquote": '"',
    b"rdblquote": '"',
    b"endash": "-",
    b"emdash": "-",
    b"bullet": " ",
}
_TEXT_OF_SYMBOL = {b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}"}
"""Of the others an optional hyphen (`\\-`) is nothing."""
_PARAGRAPH_ENDS = frozenset((b"par", b"sect", b"page", b"row"))


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph that has text."""

    text: str
    """Spaces run together, none at the ends."""
    indent: int
    """Of its first line, in twips."""


@dataclass(slots=True)
class _Group:
    """What a brace may change until it closes."""

    hidden: bool
    left: int
    first: int
    fallback: int
    """Characters after a `\\u` that stand for it in old readers."""


def read_paragraphs(rtf: bytes, name: str) -> Iterator[Paragraph]:
    """Paragraphs of a file called `name`, in order. Raises UserError where it is no RTF or cut off."""
    if not rtf.startswith(SIGNATURE):
        raise UserError(f"{name} is no RTF file: it does not begin with {SIGNATURE.decode()}")
    rtf = _FONT_MARKS.sub(b"", rtf)
    page = re.search(rb"\\ansicpg(\d+)", rtf[:2000])
    encoding = f"cp{page[1].decode()}" if page else "cp1252"
    group, outer = _Group(False, 0, 0, 1), list[_Group]()
    pieces: list[str] = []
    to_skip = 0
    closed = False
    for word, number, byte, symbol, brace, text in _TOKEN.findall(rtf):
        if text or byte:
            piece = _decoded(bytes.fromhex(byte.decode()) if byte else text, encoding)
            dropped = min(to_skip, len(piece))
            to_skip -= dropped
            if not group.hidden:
                pieces.append(piece[dropped:])
        elif brace == b"{":
            outer.append(group)
            group = _Group(group.hidden, group.left, group.first, group.fallback)
        elif brace == b"}":
            if not outer:
                raise UserError(f"{name} is a damaged RTF file: a group ends that never began; download it again")
            group = outer.pop()
            closed = not outer
            if closed:
                break
        elif symbol == b"*" or word in _NO_TEXT:
            group.hidden = True
        elif group.hidden:
            continue
        elif symbol:
            pieces.append(_TEXT_OF_SYMBOL.get(symbol, ""))
        elif word in _PARAGRAPH_ENDS:
            if line := " ".join("".join(pieces).split()):
                yield Paragraph(line, group.left + group.first)
            pieces.clear()
        elif word == b"pard":
            group.left = group.first = 0
        elif word == b"li":
            group.left = int(number or 0)
        elif word == b"fi":
            group.first = int(number or 0)
        elif word == b"uc":
            group.fallback = int(number or 1)
        elif word == b"u":
            pieces.append(chr(int(number or 0) % 0x10000))
            to_skip = group.fallback
        elif word in _TEXT_OF_WORD:
            pieces.append(_TEXT_OF_WORD[word])
    if not closed:
        raise UserError(f"{name} is cut off: its outermost group never ends; download it again")
    if line := " ".join("".join(pieces).split()):
        yield Paragraph(line, group.left + group.first)


def _decoded(text: bytes, encoding: str) -> str:
    try:
        return text.decode(encoding, errors="replace")
    except LookupError:
        return text.decode("cp1252", errors="replace")
