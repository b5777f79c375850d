"""What every edition of ICD can be asked: canonical codes, definitions, and the groups a code belongs to."""

import functools
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from mera.system.errors import UserError

LEVELS = ("all", "chapter", "block", "category", "subcategory")
"""Of every edition, from coarse to fine. `mera.report` has the same, since it imports nothing of `data`."""
QUOTES = "'\"`´‘’“”"
MARKS = "†‡*+!"
"""Dagger, also as a plus, and asterisk, which say which of two codes is the disease and which its manifestation; and
the German mark of a code that stands beside another."""


def bare_code(raw: str, marks: str = MARKS) -> str:
    """`raw` in upper case without spaces (of any width), quotes and `=` of a spreadsheet around it, and `marks` after
    it; a decimal comma is the dot. Nothing inside the code is repaired: the letter O is no zero.
    """
    text = "".join(character for character in str(raw) if unicodedata.category(character) != "Cf")
    text = re.sub(r"\s+", "", text).removeprefix("=").strip(QUOTES).rstrip(marks).upper()
    return re.sub(r"^([A-Z]?\d[0-9A-Z]{1,2}),([0-9A-Z]{1,4})$", r"\1.\2", text)


def undotted(code: str) -> str:
    """A code as a file without dots has it, in upper case: `i50.9` and `I509` are `I509`."""
    return code.replace(".", "").upper()


class UnknownCode(UserError):
    """The text names no code of this edition."""


class Ontology(ABC):
    """One edition of ICD. Methods that take a `code` expect canonical form and raise UnknownCode on anything else."""

    system: str
    edition: str
    """The release and the package it was read from."""
    ancestor_change = "retired code replaced by its ancestor"
    """What the ledger says where `resolve` gives an ancestor."""
    marks = MARKS
    """Characters that users of the edition write behind a code."""

    def normalize(self, raw: str) -> str:
        """The canonical code that `raw` writes, repairing its form only: case, spaces, a missing dot, padding, and what
        `bare_code` takes off.

        Raises UnknownCode naming `raw` where no such code exists.
        """
        for candidate in self._readings(self._bare(raw)):
            if self._exists(candidate):
                return self.dotted(candidate)
        raise UnknownCode(f"{raw!r} is not a code of {self.edition}")

    def resolve(self, raw: str) -> tuple[str, bool]:
        """`normalize(raw)` and True; or, for a retired code, the ancestor that is still there and False.

        Raises UnknownCode where neither exists.
        """
        try:
            return self.normalize(raw), True
        except UnknownCode:
            for candidate in self._readings(self._bare(raw)):
                ancestor = self._surviving_ancestor(candidate)
                if ancestor is not None:
                    return self.dotted(ancestor), False
            raise

    def _bare(self, raw: str) -> str:
        """As `bare_code`, without the name of an edition of the same version before it (`ICD10CM:I50.9`)."""
        version = "9" if self.system.startswith("icd9") else "10"
        return re.sub(rf"^ICD-?{version}-?[A-Z]{{0,3}}[:|/]+", "", bare_code(raw, self.marks))

    def knows(self, raw: str) -> bool:
        """Whether `resolve` finds a code."""
        try:
            self.resolve(raw)
        except UnknownCode:
            return False
        return True

    def category(self, raw: str) -> str:
        """The category of a text that has the form of a code, whether or not there is such a code: M79 of `M79.79`.

        Raises UnknownCode where the text has another form or the edition no such category.
        """
        if not re.search(r"\S\s+\S", str(raw).strip()):  # `C20 3x` is words, where C20.3 would be a code
            for candidate in self._readings(self._bare(raw)):
                category = candidate[: self.category_length(candidate)]
                if self._has_form(candidate) and self._exists(category):
                    return category
        raise UnknownCode(f"{raw!r} is in no category of {self.edition}")

    @functools.cache  # noqa: B019 (an ontology lives as long as the process)
    def groups(self, code: str) -> dict[str, str]:
        """The group of `code` at each level."""
        self._check(code)
        plain = code.replace(".", "")
        length = self.category_length(plain)
        chapter, block = self._chapter_and_block(plain)
        subcategory = plain[: length + 1]
        if not self._exists(subcategory):  # a placeholder stands there: T07.XXXA
            subcategory = plain[:length]
        return {
            "all": "all",
            "chapter": chapter,
            "block": block,
            "category": plain[:length],
            "subcategory": self.dotted(subcategory),
        }

    def group_ids(self, codes: Sequence[str], levels: Sequence[str] = LEVELS) -> np.ndarray:
        """(L, C) int64: codes with the same number in a row are in the same group at that row's level."""
        _check_levels(levels)
        groups = [self.groups(code) for code in codes]
        rows = [np.unique([group[level] for group in groups], return_inverse=True)[1] for level in levels]
        return np.stack(rows).astype(np.int64) if rows else np.zeros((0, len(codes)), dtype=np.int64)

    def group_name(self, level: str, group: str) -> str:
        """What `group` is called at `level`. Raises UnknownCode where it has no such group."""
        _check_levels([level])
        if level == "all":
            return "All diagnoses"
        if level in ("chapter", "block"):
            return self._heading(level, group)
        return self.definition(group)

    def ancestors(self, code: str) -> list[str]:
        """The codes and groups above `code`, nearest first, ending with its chapter."""
        groups = self.groups(code)
        plain = code.replace(".", "")
        shorter = [plain[:length] for length in range(len(plain) - 1, self.category_length(plain) - 1, -1)]
        codes = [self.dotted(candidate) for candidate in shorter if self._exists(candidate)]
        headings = (groups[level] for level in ("block", "chapter"))
        return [*codes, *(heading for heading in headings if heading not in (code, *codes))]

    def nodes(self, leaves_only: bool = False) -> dict[str, str]:
        """Every code, block and chapter with its title, in the edition's order; or only the codes with none below.

        ICD-10-CM's 98,505 nodes are 98,466 names here: 39 blocks are called like their only category.
        """
        return dict(self._nodes(leaves_only))

    @functools.cache  # noqa: B019 (an ontology lives as long as the process)
    def _nodes(self, leaves_only: bool) -> dict[str, str]:
        return {name: title for name, title, is_leaf in self._walk() if is_leaf or not leaves_only}

    def leaves(self) -> list[str]:
        """Every code that has none below it, in the edition's order."""
        return list(self.nodes(leaves_only=True))

    @abstractmethod
    def definition(self, code: str) -> str:
        """The full title of `code`."""

    @abstractmethod
    def synonyms(self, code: str) -> list[str]:
        """Other names of `code` that the edition lists; empty where it lists none."""

    def includes(self, code: str) -> list[str]:
        """What the edition's notes say that `code` includes, in their words; empty where they say nothing. Those of a
        heading speak of the codes below it together."""
        self._check(code)
        return []

    @abstractmethod
    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        """(name, title, whether it is a leaf) of every code, block and chapter; of equal names the last one counts."""

    def _has_form(self, plain: str) -> bool:
        """Whether an undotted text has the form of a code of this or a similar edition, so that procedure codes and
        words do not: three characters, then perhaps a digit and at most two more characters.
        """
        return re.fullmatch(r"[A-Z]\d[0-9A-Z](\d[0-9A-Z]{0,2})?", plain) is not None

    @abstractmethod
    def _readings(self, text: str) -> Iterable[str]:
        """Undotted codes that `text` (upper case, no spaces) may stand for, the likeliest first."""

    @abstractmethod
    def _exists(self, plain: str) -> bool: ...

    @abstractmethod
    def _chapter_and_block(self, plain: str) -> tuple[str, str]: ...

    @abstractmethod
    def _heading(self, level: str, group: str) -> str: ...

    def category_length(self, plain: str) -> int:
        """Characters of the category of an undotted code: 3, and 4 for ICD-9's E codes."""
        return 3

    def _surviving_ancestor(self, plain: str) -> str | None:
        return None

    def dotted(self, plain: str) -> str:
        """The canonical form of an undotted code."""
        length = self.category_length(plain)
        return plain if len(plain) <= length else f"{plain[:length]}.{plain[length:]}"

    def _check(self, code: str) -> str:
        plain = code.replace(".", "")
        if self.dotted(plain) != code or not self._exists(plain):
            raise UnknownCode(f"{code!r} is not a canonical code of {self.edition}; pass it through normalize first")
        return plain


def icd10_readings(text: str) -> Iterable[str]:
    """Undotted codes that `text` (upper case, no spaces) may stand for in an edition of ICD-10, the likeliest first."""
    plain = text.replace(".", "")
    if "." in text and text.index(".") != 3:
        return
    yield plain
    if plain.endswith("X") and len(plain) > 3:
        yield plain.rstrip("X")  # some coders fill codes up with placeholders that the code does not have


def _check_levels(levels: Sequence[str]) -> None:
    for level in levels:
        if level not in LEVELS:
            raise UserError(f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
