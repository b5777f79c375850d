"""Where `see` and `see also` of an index lead: `Calculus, bile duct, with cholecystitis` names an entry by its titles.

The titles are followed one by one. Where that ends nowhere, for references leave out titles (`Diabetes, cataract` is
`Diabetes, with, cataract`) and change their order and form (`retina` for `retinal`), the entry below the main term is
taken that has all words of the reference and the fewest others.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.codes.book.index.code_tables import BEHAVIORS
from data.codes.book.index.index_xml import IndexEntry, Title
from data.codes.book.index.title_forms import title_forms

MAX_BELOW = 20
"""Entries below a target without a code of its own that a reference is taken to mean."""
_DEPTH = 8
"""References after each other."""
_CODE = r"[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?"
_CODES_WITH = re.compile(rf"({_CODE})-({_CODE}) with (?:final characters |fifth character )?(\.[0-9A-Z]+)")
_NEOPLASMS = ("neoplasm", "neoplasms", "table of neoplasms")
_STEM_LENGTH = 5
_EXTRA_WORDS = 2
"""Words more than a reference that the entry it means may have."""
_EMPTY_WORDS = frozenset(
    ("with", "due", "to", "in", "of", "by", "or", "and", "from", "the", "specified", "type", "site")
)
_ANY_CHOICE = re.compile(r"(?:by|for|specified by|and) .*")
"""Parts of a reference that leave the choice to the reader."""


class DanglingReference(Exception):
    """Says why a reference leads nowhere, as the counts call it."""


class IndexTree:
    """The entries of an index, and of the neoplasm table, by their titles."""

    def __init__(self, entries: Sequence[IndexEntry], neoplasms: Sequence[IndexEntry] = ()):
        self._entries = {entry.path: entry for entry in (*entries, *neoplasms)}
        self._children: dict[tuple[Title, ...], dict[str, list[Title]]] = defaultdict(lambda: defaultdict(list))
        self._below: dict[tuple[Title, ...], list[Title]] = defaultdict(list)
        self._by_main_term: dict[Title, list[_WordedPath]] = defaultdict(list)
        for path in self._entries:
            self._below[path[:-1]].append(path[-1])
            self._by_main_term[path[0]].append(_worded(path))
            for key in _keys(path[-1], len(path) == 1):
                self._children[path[:-1]][key].append(path[-1])
        self._has_neoplasms = bool(neoplasms)

    def below(self, path: tuple[Title, ...]) -> frozenset[str]:
        """The titles right below an entry, without modifiers."""
        return frozenset(title.text for title in self._below.get(path, ()))

    def targets(self, reference: str) -> list[tuple[tuple[Title, ...], str]]:
        """(titles that a reader of the reference adds to his own, code as written) of everything it leads to.

        Raises DanglingReference.
        """
        return list(dict.fromkeys(self._targets(reference, ())))

    def cells(self, reference: str) -> tuple[tuple[int, str], ...]:
        """The cells of the entry of a table that a reference leads to. Raises DanglingReference."""
        for _ in range(_DEPTH):
            parts = _parts(reference)
            path = self._path(["Neoplasm", *parts[1:]] if parts and parts[0].lower() in _NEOPLASMS else parts)
            entry = self._entries[path]
            if entry.cells:
                return entry.cells
            if not (entry.see or entry.see_also):
                raise DanglingReference("reference to an entry without a code")
            reference = (entry.see or entry.see_also)[0]
        raise DanglingReference("reference that leads in a circle")

    def _targets(self, reference: str, above: tuple[str, ...]) -> Iterator[tuple[tuple[Title, ...], str]]:
        reference = ", ".join(_parts(reference))
        if reference in above or len(above) > _DEPTH:
            raise DanglingReference("reference that leads in a circle")
        if match := _CODES_WITH.search(reference):
            for number in range(int(match[1][1:3]), int(match[2][1:3]) + 1):
                yield (), f"{match[1][0]}{number:02}{match[3]}"
            return
        parts = _parts(reference)
        if parts and parts[0].lower() in ("condition", "subcategory", "category"):
            raise DanglingReference("reference to no entry, such as `see condition`")
        if parts and parts[0].lower().startswith("table of drugs"):
            raise DanglingReference("reference to the table of drugs as a whole")
        column, parts = self._column(parts)
        yield from self._codes(self._path(parts), column, (*above, reference))

    def _path(self, parts: Sequence[str]) -> tuple[Title, ...]:
        path = next(self._walk((), parts), ()) or self._closest(parts) if parts else ()
        if not path:
            raise DanglingReference("reference to an entry that is not there")
        return path

    def _codes(
        self, path: tuple[Title, ...], column: int | None, above: tuple[str, ...]
    ) -> Iterator[tuple[tuple[Title, ...], str]]:
        entry = self._entries[path]
        codes = _codes_of(entry, column)
        if codes:
            yield from (((), code) for code in codes)
        elif entry.see or entry.see_also:
            for reference in (*entry.see, *entry.see_also):
                behavior = next((name for name, number in BEHAVIORS.items() if number == column), "")
                yield from self._targets(f"{reference}, {behavior}" if behavior else reference, above)
        else:
            below = [(title,) for title in self._below[path]]
            coded = [(titles, code) for titles in below for code in _codes_of(self._entries[path + titles], column)]
            if not coded or len(below) > MAX_BELOW:
                raise DanglingReference("reference to an entry without a code")
            yield from coded

    def _column(self, parts: list[str]) -> tuple[int | None, list[str]]:
        """The column of the neoplasm table that a reference names, and its other parts."""
        if not parts or parts[0].lower() not in _NEOPLASMS or not self._has_neoplasms:
            return None, parts
        parts = ["Neoplasm", *parts[1:]]
        columns = [BEHAVIORS[part.lower()] for part in parts[1:] if part.lower() in BEHAVIORS]
        return max(columns, default=None), [part for part in parts if part.lower() not in BEHAVIORS]

    def _walk(self, path: tuple[Title, ...], parts: Sequence[str]) -> Iterator[tuple[Title, ...]]:
        """The paths that go on from `path` as `parts` say, the closest readings first."""
        if not parts:
            yield path
            return
        children = self._children[path]
        for length in range(len(parts), 0, -1):
            for title in children.get(_key(" ".join(parts[:length])), ()):
                yield from self._walk((*path, title), parts[length:])
        connector, _, rest = parts[0].partition(" ")
        for start, remainder in ((connector, rest), *_two_words(parts[0])):
            if remainder:
                for title in children.get(_key(start), ()):
                    yield from self._walk((*path, title), [remainder, *parts[1:]])
        if path and _ANY_CHOICE.fullmatch(parts[0]):
            yield from self._walk(path, parts[1:])

    def _closest(self, parts: Sequence[str]) -> tuple[Title, ...]:
        """The path that has every word of `parts` and the fewest others, the first of equals; else an empty one."""
        words = _stems(" ".join(part for part in parts[1:] if not _ANY_CHOICE.fullmatch(part)))
        if not words:
            return ()
        candidates = [
            (len(worded.words - words), worded.path)
            for title in self._children[()].get(_key(parts[0]), ())
            for worded in self._by_main_term[title]
            if words <= worded.all_words and len(worded.words - words) <= _EXTRA_WORDS
        ]
        return min(candidates, key=lambda candidate: candidate[0])[1] if candidates else ()


def _parts(reference: str) -> list[str]:
    """The titles that a reference names, without modifiers in parentheses."""
    plain = " ".join(re.sub(r"\([^)]*\)", " ", reference).split())
    return [part for text in plain.split(",") if (part := text.strip(" .-"))]


@dataclass(frozen=True, slots=True)
class _WordedPath:
    path: tuple[Title, ...]
    words: frozenset[str]
    """Stems of the titles below the main term."""
    all_words: frozenset[str]
    """With their modifiers."""


def _worded(path: tuple[Title, ...]) -> _WordedPath:
    words = _stems(" ".join(title.text for title in path[1:]))
    modifiers = " ".join(modifier for title in path[1:] for modifier in title.modifiers)
    return _WordedPath(path, words, words | _stems(modifiers))


@functools.cache
def _stems(text: str) -> frozenset[str]:
    """The first letters of each word that says something: `retina` and `retinal` are one."""
    words = _key(text).split()
    return frozenset(word[:_STEM_LENGTH] for word in words if word not in _EMPTY_WORDS)


def _codes_of(entry: IndexEntry, column: int | None) -> tuple[str, ...]:
    if entry.cells:
        return tuple(code for number, code in entry.cells if number == column)
    return (*entry.codes, *entry.manifestations)


def _two_words(part: str) -> list[tuple[str, str]]:
    words = part.split(maxsplit=2)
    return [(" ".join(words[:2]), words[2])] if len(words) == 3 else []


def _keys(title: Title, is_main: bool) -> set[str]:
    forms = title_forms(title, is_main)
    names = {
        title.text,
        title.before,
        *(f"{title.before} {modifier}" for modifier in title.modifiers),
        title.before.split(",")[0],
        *(f"{forms.connector} {forms.noun}".strip(),),
    }
    return {_key(name) for name in (*names, *forms.others, *forms.adjectives)} - {""}


def _key(text: str) -> str:
    words = re.findall(r"[\w'’/+-]+", text.lower())
    return " ".join(word.rstrip("s") if len(word) > 3 else word for word in words if word not in ("nec", "nos"))
