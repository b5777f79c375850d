"""What a search gives: codes with their scores, and why. Nothing here needs a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mera.system.errors import UserError

if TYPE_CHECKING:  # it imports torch, which takes longer than a search by words
    from bi_encoder.evidence.attended_spans import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCode:
    code: str
    score: float
    """By meaning the cosine similarity, by words the score of `bi_encoder.index.term_index`, by both see
    `bi_encoder.search.fusion`."""
    definition: str
    evidence: "list[Span]"
    """Where in the text the model looked; empty without label attention."""
    term: str = ""
    """The name of the code that speaks for it most; empty where it is not known."""


def check_request(text: str, top: int) -> None:
    """Raises UserError where there is nothing to search for, or nothing to show."""
    if not text.strip():
        raise UserError("there is nothing to search for: the text is empty")
    if top < 1:
        raise UserError(f"the number of codes to show must be at least 1, got {top}")
