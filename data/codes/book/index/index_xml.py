"""The CDC's XML of the alphabetic index, the index of external causes, the neoplasm and the drug table.

    <mainTerm> <title>Diabetes, diabetic<nemod>(mellitus) (sugar)</nemod></title> <code>E11.9</code>
      <term level="1"> <title>with</title>
        <term level="2"> <title>nephropathy</title> <code>E11.21</code> </term> </term> </mainTerm>

An entry is one title below all the titles above it. <nemod> holds non-essential modifiers: words that a diagnosis may
have or not. Codes may end in `-`, where more characters follow. <manif> is the code of a manifestation that is coded
along with the first. <see> and <seeAlso> name another path, its titles separated by commas. The tables have <cell col>.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from data.codes.book.index.xml_elements import stream_elements

_MODIFIER = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")


@dataclass(frozen=True, slots=True)
class Title:
    """`autonomic<nemod>(poly)</nemod>neuropathy`: the text around the modifiers, and these without parentheses."""

    before: str
    modifiers: tuple[str, ...] = ()
    after: str = ""
    joined: bool = False
    """Whether no space stands between the modifiers and `after`."""

    @property
    def text(self) -> str:
        """Without the modifiers."""
        gap = "" if self.after.startswith((",", "-")) else " "
        return f"{self.before}{gap}{self.after}".strip()

    @property
    def full_text(self) -> str:
        """With the modifiers in parentheses."""
        modifiers = " ".join(f"({modifier})" for modifier in self.modifiers)
        return " ".join(part for part in (self.before, modifiers, self.after) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """One line of an index or a table."""

    path: tuple[Title, ...]
    codes: tuple[str, ...] = ()
    """As written: <code>, and the <subcat> and <seecat> that stand in its place."""
    manifestations: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()
    cells: tuple[tuple[int, str], ...] = ()
    """Of a table: (column, code as written), without empty cells."""


def read_entries(file: BinaryIO, name: str) -> Iterator[IndexEntry]:
    """The entries in the order of the file. `name`: what errors call it. Raises UserError where it is damaged."""
    for main_term in stream_elements(file, {"mainTerm"}, name):
        yield from _entries(main_term, ())


def _entries(element: ET.Element, above: tuple[Title, ...]) -> Iterator[IndexEntry]:
    path = (*above, read_title(element.find("title")))
    yield IndexEntry(
        path=path,
        codes=(*_texts(element, "code"), *_texts(element, "subcat"), *_texts(element, "seecat")),
        manifestations=_texts(element, "manif"),
        see=_texts(element, "see"),
        see_also=_texts(element, "seeAlso"),
        cells=tuple(
            (int(cell.get("col", "0")), text)
            for cell in element.findall("cell")
            if (text := _words(cell.text)).strip("-")
        ),
    )
    for term in element.findall("term"):
        yield from _entries(term, path)


def read_title(element: ET.Element | None) -> Title:
    """An empty title where there is none."""
    if element is None:
        return Title("")
    before, modifiers, after, joined = element.text or "", [], "", False
    for nemod in element.findall("nemod"):
        text = nemod.text or ""
        modifiers += [_words(part) for part in _MODIFIER.findall(text) or [text.strip("() ")]]
        words = _MODIFIER.sub(" ", text).strip() if _MODIFIER.search(text) else ""  # (on) chronic (congestive)
        tail = nemod.tail or ""
        joined = joined or bool(tail[:1].isalpha())
        after += f" {words} {tail}" if words else tail
    return Title(_words(before), tuple(modifier for modifier in modifiers if modifier), _words(after), joined)


def _texts(element: ET.Element, tag: str) -> tuple[str, ...]:
    texts = (_words(child.text) for child in element.findall(tag))
    return tuple(text for text in texts if text)


def _words(text: str | None) -> str:
    return " ".join((text or "").split())
