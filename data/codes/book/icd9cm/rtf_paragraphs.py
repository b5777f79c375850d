"""The paragraphs of an RTF file with their indents, in twips (1/1440 inch)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.codes import rich_text
from data.codes.rich_text import PARAGRAPH_ENDS, rich_text_pieces
from mera.system.errors import UserError

SIGNATURE = rich_text.SIGNATURE.encode()
_FONT_MARKS = re.compile(r"\\hich\\af\d+\\dbch\\af\d+\\loch\\f\d+ ?")
"""Word writes them before nearly every word; they take most of a reader's time."""


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

    left: int
    first: int


def read_paragraphs(rtf: bytes, name: str) -> Iterator[Paragraph]:
    """Paragraphs of a file called `name`, in order. Raises UserError where it is no RTF or cut off."""
    if not rtf.startswith(SIGNATURE):
        raise UserError(f"{name} is no RTF file: it does not begin with {SIGNATURE.decode()}")
    group, outer = _Group(0, 0), list[_Group]()
    line: list[str] = []
    closed = False
    for piece in rich_text_pieces(_FONT_MARKS.sub("", rtf.decode("latin-1")), holds_bytes=True):
        if piece.text:
            line.append(piece.text)
        elif piece.brace == "{":
            outer.append(group)
            group = _Group(group.left, group.first)
        elif piece.brace == "}":
            group = outer.pop()
            closed = not outer
            if closed:
                break
        elif piece.word in PARAGRAPH_ENDS:
            if text := " ".join("".join(line).split()):
                yield Paragraph(text, group.left + group.first)
            line.clear()
        elif piece.word == "pard":
            group.left = group.first = 0
        elif piece.word == "li":
            group.left = piece.number or 0
        elif piece.word == "fi":
            group.first = piece.number or 0
        elif piece.word == "line":
            line.append(" ")
    if not closed:
        raise UserError(f"{name} is cut off: its outermost group never ends; download it again")
    if text := " ".join("".join(line).split()):
        yield Paragraph(text, group.left + group.first)
