"""Annotated evidence of a task's examples: which tokens of a note speak for which code, and the phrases they spell."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bi_encoder.inputs.texts import QueryText
from data.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeSpan:
    """What supports a code."""

    column: int
    start: int
    """First character, in the text that the encoder reads."""
    end: int
    """The character behind the last."""


@dataclass(kw_only=True, slots=True)
class SpanCounts:
    """What became of a split's spans."""

    used: int = 0
    outside_text: int = 0
    """Spans that begin before or end behind their note, or are empty."""
    not_true: int = 0
    """Spans of a code that is no candidate, or that is not true for the example."""
    unread: int = 0
    """Spans in a part of the note that training does not read."""

    def sentence(self) -> str | None:
        """What a run says of spans that it leaves out; None where it uses all."""
        left_out = {
            "outside their note": self.outside_text,
            "of a code that is not true for their example": self.not_true,
            "in a part of a note that is not read (encoder.training_windows)": self.unread,
        }
        named = [f"{number:,} {where}" for where, number in left_out.items() if number]
        if not named:
            return None
        return f"evidence: {self.used:,} annotated spans are learnt from; left out: {', '.join(named)}"


def annotated_spans(
    task: Task, split: str, queries: Sequence[QueryText], counts: SpanCounts | None = None
) -> list[list[CodeSpan]]:
    """The spans of each example of a split, in the characters of `queries`, its texts. Spans that cannot be used are
    counted in `counts`."""
    counts = SpanCounts() if counts is None else counts
    spans: list[list[CodeSpan]] = []
    for row, query, targets in zip(task.splits[split], queries, task.target_columns(split), strict=True):
        of_row: list[CodeSpan] = []
        spans.append(of_row)
        if query.note_start is None:
            continue
        true = set(targets)
        length = len(query.text) - query.note_start
        for span in row["evidence"]:
            column = task.column.get(span["code"])
            if not 0 <= span["start"] < span["end"] <= length:
                counts.outside_text += 1
            elif column is None or column not in true:
                counts.not_true += 1
            else:
                counts.used += 1
                start, end = span["start"] + query.note_start, span["end"] + query.note_start
                of_row.append(CodeSpan(column=column, start=start, end=end))
    return spans


def token_spans(
    spans: Sequence[CodeSpan], offsets: np.ndarray, num_read: int, counts: SpanCounts | None = None
) -> list[list[int]]:
    """`[column, first token, token behind the last]` of each span that touches a token.

    offsets (T, 2): characters `[start, end)` of the text's tokens. Tokens from `num_read` on are not read: of a span
    there the rest counts, and a span without any is counted in `counts`.
    """
    counts = SpanCounts() if counts is None else counts
    found = []
    starts, ends = offsets[:num_read, 0], offsets[:num_read, 1]
    for span in spans:
        touched = np.flatnonzero((starts < span.end) & (ends > span.start) & (ends > starts))
        if len(touched):
            found.append([span.column, int(touched[0]), int(touched[-1]) + 1])
        else:
            counts.used -= 1
            counts.unread += 1
    return found


def phrases_of_codes(task: Task, queries: Sequence[QueryText], most: int | None = None) -> list[list[str]]:
    """For each candidate the phrases that annotators marked for it in the training notes, the most frequent first, of
    equally frequent ones the shorter; at most `most`. Phrases that differ in case or spaces alone are one."""
    phrases: list[Counter[str]] = [Counter() for _ in task.codes]
    for of_row, query in zip(annotated_spans(task, "train", queries), queries, strict=True):
        for column, phrase in {(span.column, _plain(query.text[span.start : span.end])) for span in of_row}:
            if phrase:
                phrases[column][phrase] += 1
    return [_most_frequent(counter.items(), most) for counter in phrases]


def _plain(phrase: str) -> str:
    return " ".join(phrase.lower().split())


def _most_frequent(counted: Iterable[tuple[str, int]], most: int | None) -> list[str]:
    ranked = sorted(counted, key=lambda entry: (-entry[1], len(entry[0]), entry[0]))
    return [phrase for phrase, _ in ranked[:most]]
