"""What a search shows: a table with the evidence highlighted in its words, or plain values for JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rich.table import Table
from rich.text import Text

from bi_encoder.search.results import FoundCode
from mera.system.errors import UserError

if TYPE_CHECKING:  # it imports torch, which takes longer than a search by words
    from bi_encoder.evidence.attended_spans import Span

CONTEXT = 30
"""Characters shown before and after the evidence of a code."""


def read_note_file(path: str | Path) -> str:
    """The text of a file, with its line ends as they are, so that evidence counts the characters of the file. Raises
    UserError where it is not in UTF-8."""
    try:
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 (byte {error.start}); convert it, for example with iconv"
        ) from None


class JsonSpan(TypedDict):
    """A `Span` with its words."""

    start: int
    end: int
    weight: float
    text: str


class JsonCode(TypedDict):
    """A `FoundCode` in JSON."""

    code: str
    score: float
    definition: str
    term: str
    """The name of the code that speaks for it."""
    evidence: list[JsonSpan]


def json_ready(text: str, codes: list[FoundCode]) -> list[JsonCode]:
    """The codes as plain values; each span of the evidence with its words."""
    return [
        {
            "code": code.code,
            "score": code.score,
            "definition": code.definition,
            "term": code.term,
            "evidence": [
                {"start": span.start, "end": span.end, "weight": span.weight, "text": text[span.start : span.end]}
                for span in code.evidence
            ],
        }
        for code in codes
    ]


def codes_table(text: str, codes: list[FoundCode], in_colour: bool) -> Table:
    """Score, code, definition, the term that matched where it is another one, and evidence where there is any."""
    has_terms = any(code.term and code.term != code.definition for code in codes)
    has_evidence = any(code.evidence for code in codes)
    table = Table(box=None, header_style="bold")
    table.add_column("score", justify="right")
    table.add_column("code", no_wrap=True)
    table.add_column("definition")
    if has_terms:
        table.add_column("matched as")
    if has_evidence:
        table.add_column("evidence")
    for code in codes:
        cells = [Text(f"{code.score:.3f}"), Text(code.code), Text(code.definition)]
        if has_terms:
            cells.append(Text(code.term if code.term != code.definition else ""))
        table.add_row(*cells, *([highlighted(text, code.evidence, in_colour)] if has_evidence else []))
    return table


def highlighted(text: str, spans: "list[Span]", in_colour: bool) -> Text:
    """The evidence in whole words, with a few others around it, on one line; without colours between asterisks."""
    line, end, bounds = Text(), 0, _whole_words(text, spans)
    for index, (first, last) in enumerate(bounds):
        before = max(end, first - CONTEXT)
        if before > end:
            line.append(" ... " if index else "... ")
        line.append(_one_line(text[before:first]))
        words = _one_line(text[first:last])
        line.append(words if in_colour else f"*{words}*", style="bold reverse" if in_colour else "")
        following = bounds[index + 1][0] if index + 1 < len(bounds) else len(text)
        end = min(last + CONTEXT, following)
        line.append(_one_line(text[last:end]))
    if bounds and end < len(text):
        line.append(" ...")
    return line


def _whole_words(text: str, spans: "list[Span]") -> list[tuple[int, int]]:
    """Characters `[first, last)` of each span, widened to the words it touches, because tokens are parts of words.
    Spans that then touch become one."""
    bounds: list[tuple[int, int]] = []
    for span in spans:
        first, last = span.start, span.end
        while first > 0 and text[first - 1].isalnum() and text[first].isalnum():
            first -= 1
        while last < len(text) and text[last - 1].isalnum() and text[last].isalnum():
            last += 1
        if bounds and first <= bounds[-1][1]:
            first, last = bounds[-1][0], max(bounds[-1][1], last)
            bounds.pop()
        bounds.append((first, last))
    return bounds


def _one_line(text: str) -> str:
    """Line ends as spaces, one for one."""
    return text.translate({ord(character): " " for character in "\r\n\v\f\u2028\u2029"})
