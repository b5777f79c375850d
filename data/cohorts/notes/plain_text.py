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
_ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+))*\s*/?>"""
_MARK = re.compile(
    r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"
    rf"|</?(?P<line>p|div|li|ul|ol|tr|table|h[1-6]|blockquote|pre|br|hr){_ATTRIBUTES}"
    rf"|</?(?P<cell>td|th){_ATTRIBUTES}"
    rf"|</?(?:html|body|title|span|b|i|u|em|strong|font|sub|sup|a|center|tbody|thead|small|img|meta){_ATTRIBUTES}"
    rf"|<(?:(?P<hidden>style|script|head){_ATTRIBUTES}|!--|!doctype [^<>]*>)"
    r"|(?P<end>(?:\\r)?\\n)",
    re.IGNORECASE,
)
"""What may stand for another character or none. A `<` of one's own (`CRP <5`, `<b and c>`) begins no tag."""
_HTML = re.compile(r"</(?:p|b|i|div|span|td|tr|table|html|body|li|ul|h\d|strong|em|u|font)\s*>|<br ?/?>", re.IGNORECASE)
_ONE_LINE_END = re.compile(r"(?<!\n)\r?\n(?!\r?\n)")
_PATH = re.compile(r"\\\\|\b[A-Za-z]:\\")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
"""Without a change of length, as `İ` has one."""
_LATER_JAMO = range(0x1160, 0x1200)
"""Letters of Hangul that follow another in the same syllable."""


class PlainText(NamedTuple):
    """A text as it is read."""

    text: str
    places: Sequence[int]
    """The character of the original at which each character of `text` begins; then the length of the original."""
    stored: str
    """The original."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where `[start, end)` of `text` stands in the original, without marks behind it."""
        last = self.places[end - 1] if end > start else self.places[end]
        is_as_it_was = end > start and self.stored[last : last + 1] == self.text[end - 1]
        return self.places[start], last + 1 if is_as_it_was else self.places[end]


class _Shown(NamedTuple):
    text: str
    place: int
    is_written_out: bool
    """Its characters stand in the original as they are, one behind the other; else all of them are for one mark."""


def plain_text(text: str) -> PlainText:
    """`text` in NFC, without invisible characters and the marks of RTF and HTML, and with the characters that entities
    (`&ouml;`) name. Lines end where those marks, or `\\n` in a text without other ends of lines, end them."""
    pieces = list(_shown(text))
    shown = "".join(piece.text for piece in pieces)
    shows_all = shown.isascii() or (unicodedata.is_normalized("NFC", shown) and _INVISIBLE.isdisjoint(shown))
    if shows_all and shown == text:
        return PlainText(text, range(len(text) + 1), text)
    places: list[int] = []
    for piece in pieces:
        length = len(piece.text)
        places += range(piece.place, piece.place + length) if piece.is_written_out else [piece.place] * length
    if shows_all:
        return PlainText(shown, [*places, len(text)], text)
    letters = [pair for pair in zip(shown, places, strict=True) if pair[0] not in _INVISIBLE]
    read: list[str] = []
    kept: list[int] = []
    start = 0
    while start < len(letters):
        end = _end_of_letter(letters, start)
        letter = unicodedata.normalize("NFC", "".join(character for character, _ in letters[start:end]))
        read.append(letter)
        kept += [letters[start][1]] * len(letter)
        start = end
    return PlainText("".join(read), [*kept, len(text)], text)


def _shown(text: str) -> Iterator[_Shown]:
    """What shows of a text, of which some may be RTF: a visit's notes are one text."""
    start = 0
    while (begin := text.find(SIGNATURE, start)) >= 0:
        yield from _of_text(text, start, begin)
        rich, start = _of_rich_text(text, begin)
        yield from rich
    yield from _of_text(text, start, len(text))


def _of_rich_text(text: str, begin: int) -> tuple[list[_Shown], int]:
    """What shows of the RTF at `begin`, as it stands where it is damaged; and where it ends."""
    shown: list[_Shown] = []
    pieces = rich_text_pieces(text, holds_bytes=False, start=begin)
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            end = stop.value
            return (shown if end.is_whole else [_Shown(text[begin : end.place], begin, True)]), end.place
        if piece.word in PARAGRAPH_ENDS or piece.word == "line":
            shown.append(_Shown("\n", piece.place, False))
        elif piece.text:
            shown.append(_Shown(piece.text, piece.place, piece.is_written_out))


def _of_text(text: str, start: int, end: int) -> Iterator[_Shown]:
    """What shows of the characters `[start, end)`, which are no RTF."""
    part = text[start:end]
    is_html = _HTML.search(part) is not None
    ends_lines = "\\n" in part and not _ONE_LINE_END.search(part.strip()) and not _PATH.search(part)
    lower = part.translate(_LOWER) if is_html else ""
    last = {mark: lower.rfind(mark) for mark in ("-->", "</style", "</script", "</head")}
    done = 0
    place = 0
    while (mark := _MARK.search(part, place)) is not None:
        place, shown = mark.end(), None
        if mark[0][0] == "&":
            shown = html.unescape(mark[0])
        elif mark["end"] is not None:
            shown = "\n" if ends_lines else None
        elif is_html:
            shown = "\n" if mark["line"] else " " if mark["cell"] else ""
            closing = "-->" if mark[0] == "<!--" else f"</{(mark['hidden'] or '').lower()}"
            if mark[0] == "<!--" or mark["hidden"]:
                if last[closing] < place:  # nothing closes it
                    shown = None
                else:
                    place = part.find(">", lower.index(closing, place)) + 1 or len(part)
        if shown is not None:
            yield _Shown(part[done : mark.start()], start + done, True)
            yield _Shown(shown, start + mark.start(), False)
            done = place
    yield _Shown(part[done:], start + done, True)


def _end_of_letter(letters: Sequence[tuple[str, int]], start: int) -> int:
    """Behind the marks that belong to the letter at `start`."""
    end = start + 1
    while end < len(letters) and (unicodedata.combining(letters[end][0]) or ord(letters[end][0]) in _LATER_JAMO):
        end += 1
    return end
