"""Where `see` and `see also` of an index lead: `Calculus, bile duct, with cholecystitis` names an entry by its titles."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from data.codes.book.code_tables import BEHAVIORS
from data.codes.book.index_xml import IndexEntry, Title
from data.codes.book.title_forms import title_forms

MAX_BELOW = 20
"""Entries below a target without a code of its own that a reference is taken to mean."""
_DEPTH = 8
"""References after each other."""
_CODE = r"[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?"
_CODES_WITH = re.compile(rf"({_CODE})-({_CODE}) with (?:final characters |fifth character )?(\.[0-9A-Z]+)")
_ANY_CHOICE = re.compile(r"(?:by|for|specified by|and) .*")
"""Parts of a reference that leave the choice to the reader."""


class DanglingReference(Exception):
    """Says why a reference leads nowhere, as the counts call it."""


class IndexTree:
    """The entries of an index, and of the neoplasm table, by their titles."""

    def __init__(self, entries: Sequence[IndexEntry], neoplasms: Sequence[IndexEntry] = ()):
        self._entries = {entry.path: entry for entry in (*neoplasms, *entries)}
        self._children: dict[tuple[Title, ...], dict[str, list[Title]]] = defaultdict(lambda: defaultdict(list))
        self._below: dict[tuple[Title, ...], list[Title]] = defaultdict(list)
        for path in self._entries:
            self._below[path[:-1]].append(path[-1])
            for key in _keys(path[-1], len(path) == 1):
                self._children[path[:-1]][key].append(path[-1])
        self._neoplasm_roots = [entry.path for entry in neoplasms if len(entry.path) == 1]

    def targets(self, reference: str) -> list[tuple[tuple[Title, ...], str]]:
        """(titles that a reader of the reference adds to his own, code as written) of everything it leads to.

        Raises DanglingReference.
        """
        return list(dict.fromkeys(self._targets(reference, ())))

    def _targets(self, reference: str, above: tuple[str, ...]) -> Iterator[tuple[tuple[Title, ...], str]]:
        reference = " ".join(re.sub(r"\([^)]*\)", " ", reference).split()).strip(" .,")
        if reference in above or len(above) > _DEPTH:
            raise DanglingReference("reference that leads in a circle")
        if match := _CODES_WITH.search(reference):
            for number in range(int(match[1][1:3]), int(match[2][1:3]) + 1):
                yield (), f"{match[1][0]}{number:02}{match[3]}"
            return
        parts = [part.strip() for part in reference.split(",") if part.strip()]
        if parts and parts[0].lower() in ("condition", "subcategory", "category"):
            raise DanglingReference("reference to no entry, such as `see condition`")
        column, parts = self._column(parts)
        path = next(self._walk((), parts), None) if parts else None
        if path is None:
            raise DanglingReference("reference to an entry that is not there")
        yield from self._codes(path, column, (*above, reference))

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
        if not parts or parts[0].lower() not in ("neoplasm", "neoplasms") or not self._neoplasm_roots:
            return None, parts
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


def _codes_of(entry: IndexEntry, column: int | None) -> tuple[str, ...]:
    if entry.cells:
        return tuple(code for number, code in entry.cells if number == column)
    return (*entry.codes, *entry.manifestations)


def _two_words(part: str) -> list[tuple[str, str]]:
    words = part.split(maxsplit=2)
    return [(" ".join(words[:2]), words[2])] if len(words) == 3 else []


def _keys(title: Title, is_main: bool) -> set[str]:
    forms = title_forms(title, is_main)
    names = {title.text, title.before, title.before.split(",")[0], *(f"{forms.connector} {forms.noun}".strip(),)}
    return {_key(name) for name in (*names, *forms.others, *forms.adjectives)} - {""}


def _key(text: str) -> str:
    words = re.findall(r"[\w'’/+-]+", text.lower())
    return " ".join(word.rstrip("s") if len(word) > 3 else word for word in words if word not in ("nec", "nos"))
