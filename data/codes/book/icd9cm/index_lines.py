"""The alphabetic index of ICD-9-CM (the CDC's Dindex RTF): its lines as paths of titles, each with the codes it names.

A line's place under the others is its indent. Behind its title stand a code, a code with that of the manifestation in
italics and brackets (`250.5 [362.02]`), or the columns of a table: three for hypertension, six for neoplasms. Where a
line has neither, the lines under it have, or it refers to another main term (`see`, `see also`). The entries have the
form of those in the XML of ICD-10-CM (`index_xml`), so that both become terms in the same way.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from data.codes.book.icd9cm.rtf_paragraphs import Paragraph
from data.codes.book.index.index_xml import IndexEntry, Title
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
_MODIFIER = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_HYPERTENSION, _NEOPLASMS = "hypertension, hypertensive", "neoplasm, neoplastic"
"""Main terms whose lines are the rows of a table."""
_HYPERTENSION_COLUMNS = ("malignant", "benign", "")
_FIRST_COLUMN = 2
"""Of the six of neoplasms, as the XML of ICD-10-CM counts them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Icd9Index:
    """The entries of the index, in its order; of `code_tables`' form, so that the terms are made as for ICD-10-CM."""

    entries: list[IndexEntry]
    neoplasms: list[IndexEntry]
    """The table of neoplasms, with its main term."""


def read_index(paragraphs: Iterable[Paragraph], name: str, dropped: Counter[str]) -> Icd9Index:
    """The index in the RTF file called `name`; lines that are no entry are counted in `dropped` by reason.

    Raises UserError where no line has a code.
    """
    entries = list(_entries(paragraphs, dropped))
    if not any(entry.codes or entry.cells for entry in entries):
        raise UserError(f"{name} holds no line that ends in an ICD-9-CM code; is it the alphabetic index, Dindex?")
    of_table = [entry.path[0].text.lower() == _NEOPLASMS for entry in entries]
    return Icd9Index(
        entries=[entry for entry, is_row in zip(entries, of_table, strict=True) if not is_row],
        neoplasms=[entry for entry, is_row in zip(entries, of_table, strict=True) if is_row],
    )


def _entries(paragraphs: Iterable[Paragraph], dropped: Counter[str]) -> Iterator[IndexEntry]:
    above: list[tuple[int, Title]] = []
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
        above.append((paragraph.indent, _read_title(title)))
        path = tuple(each for _, each in above)
        main = path[0].text.lower()
        if main == _NEOPLASMS and len(cells) > 1:
            columns = ((column, _EACH_CODE.findall(cell)) for column, cell in enumerate(cells, _FIRST_COLUMN))
            yield _entry(path, (), references, tuple((column, codes[0]) for column, codes in columns if codes))
        elif main == _HYPERTENSION and len(cells) >= len(_HYPERTENSION_COLUMNS):
            yield from _hypertension(path, cells, references)
        else:
            codes = _EACH_CODE.findall(cells[-1]) if cells else []
            if not codes and "see" in references and _TO_CODES.fullmatch(references["see"][-1]):
                codes, references = _EACH_CODE.findall(references["see"][-1])[:1], {}  # see category 326
            yield _entry(path, tuple(codes), references)


def _hypertension(
    path: tuple[Title, ...], cells: list[str], references: dict[str, tuple[str, ...]]
) -> Iterator[IndexEntry]:
    """A line of the table: the unspecified column is the line itself, the others are titles below it."""
    columns = map(_EACH_CODE.findall, cells[-len(_HYPERTENSION_COLUMNS) :])
    by_column: dict[str, list[str]] = dict(zip(_HYPERTENSION_COLUMNS, columns, strict=True))
    plain = by_column.get("", [])
    yield _entry(path, tuple(plain), references)
    for column, codes in by_column.items():
        if column and codes and codes != plain:
            yield _entry((*path, Title(column)), tuple(codes), {})


def _entry(
    path: tuple[Title, ...],
    codes: tuple[str, ...],
    references: dict[str, tuple[str, ...]],
    cells: tuple[tuple[int, str], ...] = (),
) -> IndexEntry:
    return IndexEntry(
        path=path,
        codes=codes[:1],
        manifestations=codes[1:],
        see=references.get("see", ()),
        see_also=references.get("see also", ()),
        cells=cells,
    )


def _title_and_references(text: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """A line without its codes: its title, and `see` or `see also` -> what it refers to, as the index writes it."""
    text = _MORPHOLOGY.sub("", _balanced(text))
    references: dict[str, tuple[str, ...]] = {}
    for match in _REFERENCE.finditer(text):
        kind = (match["kind"] or match["last_kind"]).replace(",", "")
        target = (match["target"] or match["last_target"] or "").strip(" ,-")
        if target:
            references[kind] = (*references.get(kind, ()), target)
    title = _SCOPE.sub("", _REFERENCE.sub("", text))
    return " ".join(title.split()).strip("*,- "), references


def _read_title(text: str) -> Title:
    """A title whose non-essential modifiers are in parentheses: `Antro-(pelvic) inflammation (acute)`."""
    before, _, rest = text.partition("(")
    modifiers = tuple(" ".join(words.split()) for words in _MODIFIER.findall(text))
    after = " ".join(_MODIFIER.sub("\n", f"({rest}").split()) if rest else ""
    joined = re.search(r"\)[^\W\d]", text) is not None
    return Title(before.strip(" ,"), tuple(word for word in modifiers if word), after.strip(" ,"), joined)


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
