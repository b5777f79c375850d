"""The canonical codes that a code of an older index stands for.

`M08.24-`, or a code that has codes below it today, is the node M08.24 and, where there is one, the leaf below it that
says no more than the node: the unspecified one (M08.249), in its initial encounter where a seventh character is asked
for. It is also the codes that only add the side or the trimester, which the reader of the index is to supply: M08.241
with the word `right` before the term. A code that has been retired since goes to the ancestor that is left and to what
that ancestor stands for.
"""

import functools
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from data.codes.book.title_forms import lower_first
from data.ontology import Ontology, UnknownCode

_EMPTY_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "by",
        "for",
        "in",
        "of",
        "or",
        "the",
        "to",
        "with",
        "not",
        "other",
        "specified",
        "unspecified",
        "applicable",
        "elsewhere",
        "classified",
        "nos",
        "nec",
        "encounter",
        "initial",
        "closed",
        "side",
        "trimester",
        "fetus",
    ]
)
_CODE = re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{0,4})?(?:-|\.-)?")


_ADDED = 3
"""Words of a title, the side among them, that a code with a side may add to the node above: `right eye`."""
_SIDES = ("right", "left", "bilateral")
_TRIMESTERS = ("first trimester", "second trimester", "third trimester")


@dataclass(frozen=True, slots=True)
class NamedCode:
    """A code of the edition, and the word that a term of the index needs before or after it to mean this code."""

    code: str
    side: str = ""
    trimester: str = ""

    def term(self, term: str) -> str:
        return " ".join(part for part in (self.side, lower_first(term) if self.side else term, self.trimester) if part)


class IndexCodes:
    """Looks codes up in one edition and counts those that it cannot find or had to replace."""

    def __init__(self, ontology: Ontology):
        self._ontology = ontology
        self._titles = {node: title for node, title in ontology.nodes().items() if "-" not in node}
        self._below: dict[str, list[str]] = defaultdict(list)
        for node in self._titles:
            if len(node) > 3 and (parent := self._parent(node)):
                self._below[parent].append(node)
        self.counts: Counter[str] = Counter()
        """What became of the codes, each counted as often as it was looked up."""

    def resolve(self, raw: str) -> tuple[NamedCode, ...]:
        """The node first, then those below it; empty, and counted, where no edition has the code."""
        if _CODE.fullmatch(raw) is None:
            self.counts["text in the place of a code"] += 1
            return ()
        codes, change = self._resolve(raw.rstrip("-").rstrip("."))
        if change:
            self.counts[change] += 1
        return codes

    @functools.cache  # noqa: B019 (one object for each reading of an index)
    def _resolve(self, code: str) -> tuple[tuple[NamedCode, ...], str]:
        try:
            node, is_exact = self._ontology.resolve(code)
        except UnknownCode:
            return (), "code that no edition has"
        leaf = self._unspecified_leaf(node)
        codes = [NamedCode(node), *([NamedCode(leaf)] if leaf else []), *self._sided(node)]
        return tuple(codes), "" if is_exact else "retired code, given to its ancestor"

    def _unspecified_leaf(self, node: str) -> str | None:
        """The leaf below `node` that adds nothing; None where `node` is a leaf or every leaf says more."""
        leaf = node
        while below := self._below.get(leaf):
            best = min(below, key=lambda child: self._rank(leaf, child))
            if self._rank(leaf, best)[0]:
                return None
            leaf = best
        return leaf if leaf != node else None

    def _sided(self, node: str) -> list[NamedCode]:
        """The codes right below `node` that add a side or a trimester, each with its leaf."""
        own = self._titles.get(node, "").lower()
        sided: list[NamedCode] = []
        for child in self._below.get(node, ()):
            title = self._titles[child].lower()
            words = set(re.findall(r"\w+", title)) - set(re.findall(r"\w+", own))
            sides = [side for side in _SIDES if side in words]
            trimesters = [name for name in _TRIMESTERS if name in title and name not in own]
            if len(sides) + len(trimesters) == 1 and len(_content(title) - _content(own)) <= _ADDED:
                leaf = self._unspecified_leaf(child)
                for code in (child, leaf) if leaf else (child,):
                    sided.append(NamedCode(code, side="".join(sides), trimester="".join(trimesters)))
        return sided

    def _rank(self, node: str, child: str) -> tuple[bool, int, bool, int]:
        """Smaller fits better; the first is whether `child` says more than `node`."""
        own, title = _content(self._titles[node]), self._titles[child].lower()
        added = len(_content(title) - own)
        is_initial = child.endswith("A") and "initial encounter" in title
        is_unspecified = "unspecified" in title and "unspecified" not in self._titles[node].lower()
        is_plain = is_initial or is_unspecified or added == 0
        return (not is_plain or added > 1), added, not (is_initial or is_unspecified), len(title)

    def _parent(self, node: str) -> str | None:
        """The nearest code above; placeholders make it more than one character shorter."""
        for length in range(len(node) - 1, 2, -1):
            if (shorter := node[:length].rstrip(".")) in self._titles:
                return shorter
        return None


def _content(title: str) -> set[str]:
    """Words that say something, in the singular."""
    return {word.rstrip("s") for word in re.findall(r"[a-z0-9]+", title.lower())} - _EMPTY_WORDS
