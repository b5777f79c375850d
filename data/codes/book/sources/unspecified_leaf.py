"""The code that stands for a disease of which no more is known: 493.90 for 493, J45.909 for J45.

An index or a vocabulary names a disease by a code that has others below it, and coders then look for the unspecified
one of these. It is the one whose title says so; of several the one that ends in 0, or else in 9, as fourth and fifth
digits for `unspecified` do.
"""

import re

from data.codes.notes.code_ranges import CodeOrder
from data.ontology import Ontology

_UNSPECIFIED = re.compile(
    r"\bunspecified\b|\bNOS\b|\bnot stated\b|\bwithout (?:mention of )?(?:\w+ )*complications?\b|\bwithout mention\b"
    r"|\buncomplicated\b",
    re.IGNORECASE,
)


class UnspecifiedLeaves:
    """Looks up codes of one edition."""

    def __init__(self, ontology: Ontology, order: CodeOrder) -> None:
        self._ontology, self._order = ontology, order
        self._leaves: dict[str, str] = {}

    def of(self, code: str) -> str:
        """The unspecified code without codes below it; the lowest one reached where no title says more."""
        if code not in self._leaves:
            below = self._order.children(code)
            unspecified = [child for child in below if _UNSPECIFIED.search(self._ontology.definition(child))]
            best = next((child for last in "09" for child in unspecified if child.endswith(last)), None)
            chosen = best or (unspecified[0] if unspecified else None)
            self._leaves[code] = self.of(chosen) if chosen else code
        return self._leaves[code]
