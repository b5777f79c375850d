"""A note with its evidence: which words were marked for which code, by annotators and by each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mera.report.measures.load import Comparable

Spans = Mapping[str, Sequence[tuple[int, int]]]
"""Code -> (start, end) of its evidence, in characters of the note."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotePiece:
    """A text in which the same evidence holds from its first character to its last."""

    text: str
    evidence: Sequence[str]
    """What it is evidence for, and by whom."""


def note_pieces(group: Comparable, row: int, spans_by_model: Sequence[tuple[str, Spans]]) -> list[NotePiece]:
    """The note of an example cut where evidence begins or ends; `spans_by_model`: with what tables call each run."""
    context = group.context
    if context is None or "text" not in context.columns or not context["text"][row]:
        return []
    text = context["text"][row]
    spans = []
    if "evidence" in context.columns and context["evidence"][row] is not None:
        spans = [(span["start"], span["end"], f"{span['code']} (annotated)") for span in context["evidence"][row]]
    for label, by_code in spans_by_model:
        for code, places in by_code.items():
            spans += [(start, end, f"{code} ({label})") for start, end in places]
    cuts = sorted({0, len(text), *(place for span in spans for place in span[:2] if 0 < place < len(text))})
    return [
        NotePiece(
            text=text[start:end], evidence=[label for first, last, label in spans if first <= start and end <= last]
        )
        for start, end in pairwise(cuts)
    ]
