"""Notes as a person reads them: letters in one form, without characters that do not show and without the marks of RTF
and HTML, whose entities are letters.

Word processors divide words by soft hyphens, web pages put spaces without width into them, macOS writes `ö` as two
characters: nobody sees it, and a model finds another word there, or none. Records keep notes as RTF or HTML, and some
exports write the end of a line as `\\n`.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from data.codes.rich_text import PARAGRAPH_ENDS, SIGNATURE, rich_text_pieces

_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_TAG = re.compile(
    r"<!--.*?-->|<(?:style|script|head)\b[^<>]*>.*?</(?:style|script|head)\s*>"
    r"|<(?P<ends_line>/?(?:p|div|li|ul|ol|tr|table|h[1-6]|blockquote|pre)\b[^<>]*|br\b[^<>]*|hr\b[^<>]*)>"
    r"|<(?P<parts>/?(?:td|th)\b[^<>]*)>"
    r"|</?(?:html|body|head|title|span|b|i|u|em|strong|font|sub|sup|a|center|tbody|thead|small|img|meta|!doctype)\b[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
"""Of HTML, in a text that has some (`_HTML`): a `<` of one's own (`CRP <5`) is followed by no such name and `>`."""
_HTML = re.compile(r"</(?:p|b|i|div|span|td|tr|table|html|body|li|ul|h\d|strong|em|u|font)\s*>|<br ?/?>", re.IGNORECASE)
_WRITTEN_END = re.compile(r"(?:\\r)?\\n")
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
    """`text` in NFC, without invisible characters and the marks of RTF and HTML, and with the characters that entities
    (`&ouml;`) name. Lines end where those marks, or `\\n` in a text of one line, end them."""
    shows_all = text.isascii() or (unicodedata.is_normalized("NFC", text) and _INVISIBLE.isdisjoint(text))
    if shows_all and "&" not in text and "\\" not in text and not _HTML.search(text):
        return PlainText(text, range(len(text) + 1))
    letters = list(_rich_letters(text) if text.lstrip().startswith(SIGNATURE) else _letters(text))
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
    is_html, ends_lines = _HTML.search(text) is not None, "\\n" in text and "\n" not in text
    start = 0
    while start < len(text):
        character, mark = text[start], None
        if character == "&":
            mark = _ENTITY.match(text, start)
            shown = character if mark is None else html.unescape(mark[0])
        elif character == "<" and is_html:
            mark = _TAG.match(text, start)
            shown = character if mark is None else _shown_of_tag(mark)
        elif character == "\\" and ends_lines:
            mark = _WRITTEN_END.match(text, start)
            shown = character if mark is None else "\n"
        else:
            shown = character
        yield from ((letter, start) for letter in shown if letter not in _INVISIBLE)
        start += 1 if mark is None else len(mark[0])


def _shown_of_tag(tag: re.Match[str]) -> str:
    if tag["ends_line"]:
        return "\n"
    return " " if tag["parts"] else ""


def _rich_letters(text: str) -> Iterator[tuple[str, int]]:
    """The same of RTF."""
    for piece in rich_text_pieces(text, holds_bytes=False):
        shown = "\n" if piece.word in PARAGRAPH_ENDS or piece.word == "line" else piece.text
        for number, letter in enumerate(shown):
            if letter not in _INVISIBLE:
                yield letter, piece.place + (number if piece.is_written_out else 0)


def _end_of_letter(letters: Sequence[tuple[str, int]], start: int) -> int:
    """Behind the marks that belong to the letter at `start`."""
    end = start + 1
    while end < len(letters) and (unicodedata.combining(letters[end][0]) or ord(letters[end][0]) in _LATER_JAMO):
        end += 1
    return end
