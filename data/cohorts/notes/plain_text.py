"""Notes as a person reads them: letters in one form, without characters that do not show, entities of HTML as letters.

Word processors divide words by soft hyphens, web pages put spaces without width into them, macOS writes `ö` as two
characters: nobody sees it, and a model finds another word there, or none.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_LATER_JAMO = range(0x1160, 0x1200)
"""Letters of Hangul that follow another in the same syllable."""


class PlainText(NamedTuple):
    """A text as it is read."""

    text: str
    places: Sequence[int]
    """The character of the original at which each character of `text` begins; then the length of the original."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where `[start, end)` of `text` stands in the original."""
        return self.places[start], self.places[end]


def plain_text(text: str) -> PlainText:
    """`text` in NFC, without invisible characters, and with the characters that entities of HTML (`&ouml;`) name."""
    if "&" not in text and (text.isascii() or (unicodedata.is_normalized("NFC", text) and _INVISIBLE.isdisjoint(text))):
        return PlainText(text, range(len(text) + 1))
    letters = list(_letters(text))
    read: list[str] = []
    places: list[int] = []
    start = 0
    while start < len(letters):
        end = _end_of_letter(letters, start)
        piece = unicodedata.normalize("NFC", "".join(letter for letter, _ in letters[start:end]))
        read.append(piece)
        places += [letters[start][1]] * len(piece)
        start = end
    return PlainText("".join(read), [*places, len(text)])


def _letters(text: str) -> Iterator[tuple[str, int]]:
    """The characters that show, those that entities name among them, each with its place in `text`."""
    start = 0
    while start < len(text):
        entity = _ENTITY.match(text, start) if text[start] == "&" else None
        named = text[start] if entity is None else html.unescape(entity[0])
        yield from ((letter, start) for letter in named if letter not in _INVISIBLE)
        start += 1 if entity is None else len(entity[0])


def _end_of_letter(letters: Sequence[tuple[str, int]], start: int) -> int:
    """Behind the marks that belong to the letter at `start`."""
    end = start + 1
    while end < len(letters) and (unicodedata.combining(letters[end][0]) or ord(letters[end][0]) in _LATER_JAMO):
        end += 1
    return end
