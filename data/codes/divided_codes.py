"""Codes that an edition has divided since a mapping to it was made: E78.0 became E78.00 (unspecified) and E78.01
(familial), and a mapping that has E78.0 means one of them."""

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from data.codes.title_words import EMPTY_WORDS, stems, words
from data.ontology import Ontology, load_ontology

_VAGUE = re.compile(r"\b(?:not specified|unspecified|without mention)\b", re.IGNORECASE)
_KINDS = frozenset(["other", "unspecified"])
_NAMES_OF_ANY = frozenset(["specified", "disease", "diseases", "disorder", "disorders", "condition", "conditions"])
_MODIFIERS = re.compile(r"\([^)]*\)")
"""Words that may be there or not: `Atrial (paroxysmal) tachycardia` names what is not paroxysmal too."""


class DividedCodes:
    """Headings and what stands below them."""

    def __init__(self, ontology: Ontology):
        self._ontology = ontology
        self._leaves = ontology.nodes(leaves_only=True)
        self._below: dict[str, list[str]] = defaultdict(list)
        self._right_below: dict[str, list[str]] = defaultdict(list)
        for code in filter(ontology.knows, ontology.nodes()):
            above = ontology.ancestors(code)
            self._right_below[above[0]].append(code)
            for heading in above if code in self._leaves else ():
                self._below[heading].append(code)

    def part(self, heading: str, title: str) -> str | None:
        """The part of `heading` that a disease called `title` is: the one with a name of the same words, but for those
        of the heading; or the one that alone has most of the words that the heading has not; where there is none, the
        one that says no more than the heading. None where several would do, or `heading` is none."""
        if heading not in self._below:
            return None
        return self._named(heading, title) or self._unspecified(heading, title)

    def _named(self, heading: str, title: str) -> str | None:
        names = {leaf: self._names(leaf) for leaf in self._below[heading]}
        wanted, above = _said(title), self._ontology.definition(heading)
        may_have = wanted | _said(above)
        same = [leaf for leaf, each in names.items() if any(wanted <= _said(name) <= may_have for name in each)]
        if wanted and same:
            return _only(same) or _only(self._of_kind(same, title))
        held = {leaf: _said(" ".join(_MODIFIERS.sub(" ", name) for name in each)) for leaf, each in names.items()}
        in_parts = Counter(word for of_leaf in held.values() for word in of_leaf)
        further = {word for word in wanted if len(word) > 1 and not stems(word) & stems(above)}
        telling = {leaf: sum(in_parts[word] == 1 for word in further & of_leaf) for leaf, of_leaf in held.items()}
        return _only([leaf for leaf, number in telling.items() if 2 * number > len(further)])

    def _unspecified(self, heading: str, title: str) -> str | None:
        """The part that says no more: called as the heading is, or, step by step, the one right below that alone is
        called unspecified."""
        above = self._ontology.definition(heading)
        own = stems(above)
        alike = [leaf for leaf in self._below[heading] if any(stems(name) == own for name in self._names(leaf))]
        found = _only(alike) or _only(self._of_kind(alike, title))
        if found is not None:
            return found
        vague = _only(
            [code for code in self._right_below[heading] if _says_less(self._ontology.definition(code), above)]
        )
        return vague if vague is None or vague in self._leaves else self._unspecified(vague, title)

    def _of_kind(self, leaves: Sequence[str], title: str) -> list[str]:
        """The other ones where the title says `other`, else the unspecified ones."""
        kind = words(title) & _KINDS or {"unspecified"}
        return [leaf for leaf in leaves if words(self._ontology.definition(leaf)) & _KINDS == kind]

    def _names(self, leaf: str) -> list[str]:
        return [self._ontology.definition(leaf), *self._ontology.synonyms(leaf)]


@functools.cache
def divided_codes(system: str) -> DividedCodes:
    return DividedCodes(load_ontology(system))


def _said(title: str) -> set[str]:
    """The words that say something, in the singular."""
    return {word.removesuffix("s") for word in words(title) - EMPTY_WORDS - _NAMES_OF_ANY}


def _only(leaves: Sequence[str]) -> str | None:
    return leaves[0] if len(leaves) == 1 else None


def _says_less(title: str, heading: str) -> bool:
    return len(_VAGUE.findall(title)) > len(_VAGUE.findall(heading))
