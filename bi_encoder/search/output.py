"""What a search shows: a table with the evidence highlighted in its words, or plain values for JSON."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from bi_encoder.evidence import Span
from bi_encoder.search.search import FoundCode

CONTEXT = 30
"""Characters shown before and after the evidence of a code."""


def json_ready(text: str, found: list[FoundCode]) -> list[dict[str, Any]]:
    """The codes as plain values; each span of the evidence with its words."""
    codes = [asdict(code) for code in found]
    for span in (span for code in codes for span in code["evidence"]):
        span["text"] = text[span["start"] : span["end"]]
    return codes


def codes_table(text: str, found: list[FoundCode], in_colour: bool) -> Table:
    """Score, code, definition and, where there is evidence, its words in context."""
    has_evidence = any(code.evidence for code in found)
    table = Table(box=None, header_style="bold")
    table.add_column("score", justify="right")
    table.add_column("code", no_wrap=True)
    table.add_column("definition")
    if has_evidence:
        table.add_column("evidence")
    for code in found:
        cells = [Text(f"{code.score:.3f}"), Text(code.code), Text(code.definition)]
        table.add_row(*cells, *([highlighted(text, code.evidence, in_colour)] if has_evidence else []))
    return table


def highlighted(text: str, spans: list[Span], in_colour: bool) -> Text:
    """The evidence in whole words, with a few others around it, on one line; without colours between asterisks."""
    shown, end, spans = Text(), 0, _whole_words(text, spans)
    for index, (first, last) in enumerate(spans):
        before = max(end, first - CONTEXT)
        if before > end:
            shown.append(" ... " if index else "... ")
        shown.append(_one_line(text[before:first]))
        words = _one_line(text[first:last])
        shown.append(words if in_colour else f"*{words}*", style="bold reverse" if in_colour else "")
        following = spans[index + 1][0] if index + 1 < len(spans) else len(text)
        end = min(last + CONTEXT, following)
        shown.append(_one_line(text[last:end]))
    if spans and end < len(text):
        shown.append(" ...")
    return shown


def _whole_words(text: str, spans: list[Span]) -> list[tuple[int, int]]:
    """The spans, each widened to the words it touches: tokens are parts of words. What then meets is one span."""
    found: list[tuple[int, int]] = []
    for span in spans:
        first, last = span.start, span.end
        while first > 0 and text[first - 1].isalnum() and text[first].isalnum():
            first -= 1
        while last < len(text) and text[last - 1].isalnum() and text[last].isalnum():
            last += 1
        if found and first <= found[-1][1]:
            first, last = found[-1][0], max(found[-1][1], last)
            found.pop()
        found.append((first, last))
    return found


def _one_line(text: str) -> str:
    """Line ends as spaces, one for one."""
    return text.translate({ord(character): " " for character in "\r\n\v\f\u2028\u2029"})
