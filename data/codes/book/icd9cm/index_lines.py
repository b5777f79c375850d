"""The alphabetic index of ICD-9-CM (the CDC's Dindex RTF): its lines as paths of titles, each with the codes it names.

A line's place under the others is its indent. Behind its title stand a code, a code with that of the manifestation in
italics and brackets (`250.5 [362.02]`), or the columns of a table: three for hypertension, six for neoplasms. Where a
line has neither, the lines under it have, or it refers to another main term (`see`, `see also`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from data.codes.book.icd9cm.rtf_paragraphs import Paragraph, read_paragraphs
from mera.system.errors import UserError

_CODE = r"(?:E\d{3}(?:\.\d)?|V\d\d(?:\.\d{1,2})?|\d{3}(?:\.\d{1,2})?)"
_CELL = rf"(?:{_CODE}(?:\s?\[{_CODE}(?:,?\s{_CODE})*\])?|-)"
_LINE = re.compile(rf"(?P<title>.*?)(?P<cells>(?:(?:\s|(?<=[a-z)])(?=\d)){_CELL})(?:\s{_CELL})*)")
_EACH_CELL, _EACH_CODE = re.compile(_CELL), re.compile(_CODE)
_MORPHOLOGY = re.compile(r"\s*\(M\d{4}/\d[^()]*\)")
_SCOPE = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\bclassifi(?:able|ed) (?:to|as)\b(?:[^()]|\([^()]*\))*\)")
"""What is coded elsewhere is no name: `(conditions classifiable to 390)`."""
_REFERENCE = re.compile(
    r"\s*\(-?\s*(?P<kind>see also|see)\b[\s,-]*(?P<target>(?:[^()]|\([^()]*\))*)\)"
    r"|(?:\s*-\s*|\s+)(?P<last_kind>see,? also|see)\b[\s,-]*(?P<last_target>.*)"
)
_TO_CODES = re.compile(rf"(?:category |categories )?{_CODE}(?:(?:-|, | or ){_CODE})*")
_NO_ENTRY = re.compile(r"[A-Z]|INDEX TO .*|Notes? .*|Hypertension Table .*")
_INSTRUCTION = re.compile(r"\s-\scode to\s")
_TABLES = {
    "hypertension, hypertensive": ("malignant", "benign", "unspecified"),
    "neoplasm, neoplastic": (
        "malignant primary",
        "malignant secondary",
        "carcinoma in situ",
        "benign",
        "uncertain behavior",
        "unspecified nature",
    ),
}
"""Main term -> what the columns of its lines mean."""
_NEOPLASMS = "neoplasm, neoplastic"


class Reference(NamedTuple):
    """`see` or `see also`, and what to see as the index writes it: `Abortion, induced`."""

    kind: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexLine:
    """One line of the index, or one column of it in a table."""

    path: tuple[str, ...]
    """The titles above it and its own, in a table also the column's; non-essential modifiers are in parentheses."""
    codes: tuple[str, ...]
    """As written; the code of a manifestation follows that of its cause. Empty where the line only refers or heads."""
    kind: str
    """`index`, or `neoplasm` in the table of neoplasms."""
    references: tuple[Reference, ...]


def read_index_lines(rtf: bytes, name: str, dropped: Counter[str]) -> list[IndexLine]:
    """The lines of the index in a file called `name`; those that are no entry are counted in `dropped` by reason.

    Raises UserError where the file is no RTF, is cut off, or has no line with a code.
    """
    lines = list(_lines(read_paragraphs(rtf, name), dropped))
    if not any(line.codes for line in lines):
        raise UserError(f"{name} holds no line that ends in an ICD-9-CM code; is it the alphabetic index, Dindex?")
    return lines


def _lines(paragraphs: Iterable[Paragraph], dropped: Counter[str]) -> Iterator[IndexLine]:
    above: list[tuple[int, str]] = []
    for paragraph in paragraphs:
        text = " ".join(paragraph.text.replace("\xad", " - ").split())
        if _NO_ENTRY.fullmatch(text):
            dropped["heading or note between the entries of the index"] += 1
            continue
        if _INSTRUCTION.search(text):
            dropped["index line that says how to code in words"] += 1
            continue
        match = _LINE.fullmatch(text)
        cells = _EACH_CELL.findall(match["cells"]) if match else []
        title, references = _title_and_references(match["title"] if match else text)
        while above and above[-1][0] >= paragraph.indent:
            above.pop()
        above.append((paragraph.indent, title))
        path = tuple(each for _, each in above if each)
        main = _without_modifiers(above[0][1]).lower()
        columns = _TABLES.get(main, ())
        if columns and 1 < len(cells) <= len(columns):
            yield from _columns(path, cells, columns, "neoplasm" if main == _NEOPLASMS else "index")
            continue
        codes = _EACH_CODE.findall(cells[-1]) if cells else []
        if references and not codes and _TO_CODES.fullmatch(references[-1].target):  # see category 326
            codes, references = _EACH_CODE.findall(references[-1].target)[:1], references[:-1]
        yield IndexLine(path=path, codes=tuple(codes), kind="index", references=tuple(references))


def _columns(path: tuple[str, ...], cells: list[str], columns: tuple[str, ...], kind: str) -> Iterator[IndexLine]:
    """A line of a table; columns that name the same code are one, under the first column's title where they differ."""
    for column, cell in zip(columns, cells, strict=False):
        if codes := _EACH_CODE.findall(cell):
            yield IndexLine(path=(*path, column), codes=tuple(codes), kind=kind, references=())


def _title_and_references(text: str) -> tuple[str, list[Reference]]:
    """A line without its codes, as its title and what it refers to."""
    text = _MORPHOLOGY.sub("", _balanced(text))
    references = []
    for match in _REFERENCE.finditer(text):
        kind, target = match["kind"] or match["last_kind"], match["target"] or match["last_target"] or ""
        references.append(Reference(kind.replace(",", ""), target.strip(" ,-")))
    title = _SCOPE.sub("", _REFERENCE.sub("", text))
    return " ".join(title.split()).strip("*,- "), [each for each in references if each.target]


def _balanced(text: str) -> str:
    """`text` with every parenthesis closed that it opens, and none closed that it does not."""
    pieces, depth = [], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            depth = 0
            continue
        pieces.append(character)
    return "".join(pieces) + ")" * depth


def _without_modifiers(title: str) -> str:
    while (shorter := re.sub(r"\s*\([^()]*\)", "", title)) != title:
        title = shorter
    return title.strip()
