"""The canonical codes that a code of an older index stands for.

`M08.24-`, or a code that has codes below it today, is the node M08.24 and, where there is one, the leaf below it that
says no more than the node: the unspecified one (M08.249), in its initial encounter where a seventh character is asked
for. It is also the codes that only add the side or the trimester, which the reader of the index is to supply: M08.241
with the word `right` before the term. A code that has been retired since goes to the ancestor that is left, and to what
that ancestor stands for where the code only had placeholders (X) more.
"""

import functools
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from data.codes.book.index.title_forms import lower_first
from data.codes.notes.code_ranges import CodeOrder
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
    """A code of the edition, and what a term of the index needs to mean this code."""

    code: str
    side: str = ""
    """The word that stands before the term."""
    trimester: str = ""
    """The words after it."""
    one_of: frozenset[str] = frozenset()
    """Words of which the term must have one, where several codes add the same side: right hand, right finger."""

    def term(self, term: str) -> str:
        """The term as it means this code; empty where it does not."""
        if self.one_of and not self.one_of & _content(term):
            return ""
        return " ".join(part for part in (self.side, lower_first(term) if self.side else term, self.trimester) if part)


class IndexCodes:
    """Looks codes up in one edition and counts those that it cannot find or had to replace."""

    def __init__(self, ontology: Ontology):
        self._ontology = ontology
        self._titles = ontology.nodes()
        self._order = CodeOrder.of(ontology)
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
        if not is_exact and "X" not in code:
            return (NamedCode(node),), "retired code, given to its ancestor"
        leaf = self._unspecified_leaf(node)
        codes = [NamedCode(node), *([NamedCode(leaf)] if leaf else []), *self._sided(node)]
        return tuple(codes), "" if is_exact else "retired code, given to its ancestor"

    def _unspecified_leaf(self, node: str) -> str | None:
        """The leaf below `node` that adds nothing; None where `node` is a leaf or every leaf says more."""
        leaf = node
        while below := self._order.children(leaf):
            best = min(below, key=lambda child: self._rank(leaf, child))
            if self._rank(leaf, best)[0]:
                return None
            leaf = best
        return leaf if leaf != node else None

    def _sided(self, node: str) -> list[NamedCode]:
        """The codes right below `node` that add a side or a trimester, each with its leaf."""
        own = self._titles.get(node, "").lower()
        by_addition: dict[str, list[str]] = defaultdict(list)
        for child in self._order.children(node):
            title = self._titles[child].lower()
            added = [name for name in (*_SIDES, *_TRIMESTERS) if _has(title, name) and not _has(own, name)]
            if len(added) == 1 and len(_content(title) - _content(own)) <= _ADDED:
                by_addition[added[0]].append(child)
        sided: list[NamedCode] = []
        for addition, children in by_addition.items():
            contents = [_content(self._titles[child]) for child in children]
            shared = frozenset.intersection(*contents)
            side, trimester = (addition, "") if addition in _SIDES else ("", addition)
            for child, content in zip(children, contents, strict=True):
                if len(children) > 1 and content == shared:
                    continue
                leaf = self._unspecified_leaf(child)
                for code in (child, leaf) if leaf else (child,):
                    sided.append(NamedCode(code, side=side, trimester=trimester, one_of=content - shared))
        return sided

    def _rank(self, node: str, child: str) -> tuple[bool, int, bool, int]:
        """Smaller fits better; the first is whether `child` says more than `node`."""
        own, title = _content(self._titles[node]), self._titles[child].lower()
        added = len(_content(title) - own)
        is_initial = child.endswith("A") and "initial encounter" in title
        is_unspecified = title.count("unspecified") > self._titles[node].lower().count("unspecified")
        is_plain = is_initial or is_unspecified or added == 0
        # A04.72: "not specified as recurrent".
        says_nothing = "not specified" in title and "not specified" not in self._titles[node].lower()
        says_more = not says_nothing and (not is_plain or added > 1)
        return says_more, added, not (is_initial or is_unspecified), len(title)


def _has(title: str, words: str) -> bool:
    return re.search(rf"\b{words}\b", title) is not None


@functools.lru_cache(maxsize=1 << 16)
def _content(title: str) -> frozenset[str]:
    """Words that say something, in the singular."""
    return frozenset(word.rstrip("s") for word in re.findall(r"[a-z0-9]+", title.lower())) - _EMPTY_WORDS
