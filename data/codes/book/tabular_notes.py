"""The notes of ICD-10-CM's tabular list as relations between codes.

The XML of the list has the same form in the CDC's zip of every year and inside the package simple-icd-10-cm, so notes
are there without a code book. A note is one line; where lines follow a heading (`code to identify:`), each begins with
it. Elements: https://ftp.cdc.gov/pub/Health_Statistics/NCHS/Publications/ICD10CM (icd10cm_tabular.xsd).
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from xml.etree.ElementTree import Element

import polars as pl

from data.codes.book.book import RELATION_COLUMNS
from data.codes.book.index.xml_elements import read_root
from data.codes.notes.code_ranges import CodeOrder, load_order
from data.codes.notes.note_targets import read_targets
from mera.system.errors import UserError

_KIND_OF_TAG = {
    "includes": "includes",
    "excludes1": "excludes1",
    "excludes2": "excludes2",
    "codeFirst": "code_first",
    "useAdditionalCode": "use_additional",
    "codeAlso": "code_also",
    "sevenChrNote": "seventh_character",
}
"""Element of the list -> RELATION_KINDS."""
_ROOT = "ICD10CM.tabular"
UNKNOWN_NODE = "note of a code that the edition does not have"
UNKNOWN_TARGET = "code in a note of which the edition has nothing"
UNREAD_LIMIT = "codes in a note whose limiting words are not read"
_Row = tuple[str, str, str | None, str | None, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TabularNotes:
    """The notes of one tabular list."""

    relations: pl.DataFrame
    """RELATION_COLUMNS, sorted, no row twice: one row for each range of codes that a note names, or one without."""
    notes: dict[str, int]
    """Kind -> notes read, headings over several notes not counted."""
    dropped: dict[str, int]
    """Reason -> notes, or targets of a note, left out."""
    version: str
    """The fiscal year that the list says it is of."""


def tabular_notes(content: bytes, name: str, order: CodeOrder) -> TabularNotes:
    """Read the notes of a tabular list in XML; `name` is what errors call the file, `order` that of the edition.

    Raises UserError where the file is damaged or another.
    """
    root = read_root(content, name)
    if root.tag != _ROOT:
        raise UserError(f"{name} is no tabular list of ICD-10-CM: it begins with <{root.tag}>, not <{_ROOT}>")
    version = _words(root.findtext("version") or "") or "of an unknown year"
    source = f"icd10cm tabular {version}"
    chapters = {_words(chapter.findtext("name") or ""): _chapter_range(chapter) for chapter in root.iter("chapter")}
    rows: set[_Row] = set()
    notes: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for node, kind, text, own_text in _each_note(root):
        if node not in order.place:
            dropped[UNKNOWN_NODE] += 1
            continue
        notes[kind] += 1
        targets = read_targets(own_text, order, chapters)
        dropped[UNKNOWN_TARGET] += targets.unknown
        dropped[UNREAD_LIMIT] += targets.unread_limits
        ranges: Sequence[tuple[str | None, str | None]] = targets.ranges or [(None, None)]
        rows.update((node, kind, first, last, text, source) for first, last in ranges)
    return TabularNotes(
        relations=pl.DataFrame(list(rows), schema=RELATION_COLUMNS, orient="row").sort(list(RELATION_COLUMNS)),
        notes={kind: notes[kind] for kind in _KIND_OF_TAG.values()},
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
        version=version,
    )


def package_tabular() -> tuple[str, bytes]:
    """The name and content of the tabular list inside simple-icd-10-cm."""
    lists = [file for file in files("simple_icd_10_cm.data").iterdir() if file.name.endswith(".xml")]
    if len(lists) != 1:
        raise UserError("simple-icd-10-cm holds no tabular list in XML, or several; install the version of pyproject")
    return lists[0].name, lists[0].read_bytes()


def package_notes(order: CodeOrder) -> TabularNotes:
    """The notes that are there without a code book; `order` is that of `icd10cm`."""
    name, content = package_tabular()
    return tabular_notes(content, name, order)


@functools.cache
def package_relations() -> pl.DataFrame:
    """The relations of `package_notes`; reading them takes two seconds."""
    return package_notes(load_order("icd10cm")).relations


def _each_note(root: Element) -> Iterator[tuple[str, str, str, str]]:
    """Node, kind, text with its heading, and without, of every note; in the order of the file."""
    for chapter in root.iter("chapter"):
        yield from _notes_of(_chapter_range(chapter), chapter)
        for section in chapter.iter("section"):
            first, _, last = (section.get("id") or "").partition("-")
            yield from _notes_of(first if last in ("", first) else f"{first}-{last}", section)
        for code in chapter.iter("diag"):
            yield from _notes_of(_words(code.findtext("name") or ""), code)


def _notes_of(node: str, element: Element) -> Iterator[tuple[str, str, str, str]]:
    for tag, kind in _KIND_OF_TAG.items():
        for group in element.findall(tag):
            lines = [text for note in group.findall("note") if (text := _note_words(note))]
            if kind == "seventh_character":
                yield from ((node, kind, _with_meanings(line, element), line) for line in lines)
            else:
                yield from ((node, kind, text, line) for text, line in _under_headings(lines))


def _under_headings(lines: list[str]) -> Iterable[tuple[str, str]]:
    """(text with its heading, text). Lines below a heading are its own as long as they are in alphabetical order."""
    heading, previous = "", ""
    for number, line in enumerate(lines, start=1):
        if line.endswith(":") and number < len(lines):
            heading, previous = line, ""
            continue
        key = line.casefold()
        if key < previous:
            heading = ""
        previous = key
        yield (f"{heading} {line}" if heading else line), line


def _with_meanings(line: str, element: Element) -> str:
    """The note on the 7th characters, with what each of them means."""
    meanings = [
        f"{(extension.get('char') or '').upper()}: {_words(''.join(extension.itertext()))}"
        for definition in element.findall("sevenChrDef")
        for extension in definition.findall("extension")
    ]
    return f"{line.rstrip(':')} - {'; '.join(meanings)}" if meanings else line


def _chapter_range(chapter: Element) -> str:
    """What the chapter is called here: the range at the end of its title."""
    title = re.search(r"\(([A-Z]\w\w-[A-Z]\w\w)\)\s*$", chapter.findtext("desc") or "")
    return title[1] if title else _words(chapter.findtext("name") or "")


def _note_words(note: Element) -> str:
    """The text of a note; the comma that some begin with belongs to the words `Use additional code` of the page."""
    return _words("".join(note.itertext())).removeprefix(",").lstrip()


def _words(text: str) -> str:
    return " ".join(text.split())
