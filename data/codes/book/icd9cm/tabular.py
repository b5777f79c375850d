"""The tabular list of ICD-9-CM as text: inclusion terms, and the notes as relations between codes.

The text has one statement a line and no indents. A line is taken by how it begins: a code, a heading in capitals with
its range, `Includes:`, `Excludes:`, `Use additional`, `Code first`, a rule for the fifth digit. Lines that begin
otherwise go on with what stands above them. Where a line ends in a colon, the lines under it go on with its words, as
long as they begin in lower case and are in alphabetical order.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from data.codes.book.book import RELATION_COLUMNS
from data.codes.notes.code_ranges import CodeOrder
from mera.system.errors import UserError

_CODE = r"(?:E\d{3}(?:\.\d)?|V\d\d(?:\.\d{1,2})?|\d{3}(?:\.\d{1,2})?)"
_CODE_LINE = re.compile(rf"({_CODE})(?:(?:\s+|(?=[A-Z]))(.*))?")
_HEADING = re.compile(r"(?:\d+\.\s)?[A-Z][^a-z]*\((E\d{3}|V\d\d|\d{3})(?:-(E\d{3}|V\d\d|\d{3}))?\)")
_STARTS = (
    ("excludes1", re.compile(r"Excludes?\b\s*:?\s*", re.IGNORECASE)),
    ("includes", re.compile(r"Includes?\b\s*:?\s*", re.IGNORECASE)),
    ("use_additional", re.compile(r"Use (?:an )?additional\b", re.IGNORECASE)),
    ("code_first", re.compile(r"Code first|Code,? if applicable,.*\bfirst\b", re.IGNORECASE)),
    ("code_also", re.compile(r"Code also\b", re.IGNORECASE)),
)
"""Kind of a note -> how it begins."""
_ASIDE = re.compile(
    r"Notes?\b.*|\[[\d,\s-]+\]|(?:Requires|Use) .*-?digit.*|.*\bsee beginning of section .*", re.IGNORECASE
)
"""Lines that say nothing of what the code is called."""
_DIGITS = re.compile(r"The following .*|.*valid digits are in .*|\.?\d\d?\s.*|[a-z]\)\s.*", re.IGNORECASE)
"""Begin rules and definitions that run on until the next code or note."""
_PARENTHESES = re.compile(r"\(([^()]*)\)")
_TARGET = re.compile(rf"(?<![\w.])({_CODE})(?:\s*-\s*({_CODE}))?(?![\w.])")
_LIMITED = re.compile(r"\b(?:with|except)\b.*")
_COMMA = re.compile(r",(?!\s*(?:with|except)\b)")
"""Between codes; limiting words hold for the codes since the last one."""
_LAST_CODES = re.compile(rf"(?:^|\s){_CODE}(?:(?:-|,\s|\sor\s){_CODE})*\*?$")
_NO_NAME = re.compile(
    r"\bclassifi(?:able|ed) (?:to|as|elsewhere)\b|\bconditions? in\b|\blisted\b|^any condition", re.IGNORECASE
)
_PART = re.compile(r"[a-z][\w-]*|NOS|NEC")
"""A word left over from a list whose heading is lost with the indents."""
PART_OF_A_NAME = "inclusion line of one word that goes on with an unknown heading"
NOT_A_NAME = "inclusion line that names codes, not a disease"
UNKNOWN_NODE = "note or term of a code that the edition does not have"
UNKNOWN_TARGET = "code in a note that the edition does not have"
UNREAD_LIMIT = "codes in a note whose limiting words (with, except) are not read"
_Row = tuple[str, str, str | None, str | None, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tabular:
    """What a tabular list says beside its titles."""

    terms: list[tuple[str, str]]
    """Code -> inclusion term, in the order of the list."""
    relations: pl.DataFrame
    """RELATION_COLUMNS: one row for each range of codes that a note names, or one without."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> lines, or targets of a note, left out."""


def is_tabular(lines: Iterable[str]) -> bool:
    """Whether lines at the head of a file are those of the tabular list: headings with ranges, then codes."""
    texts = [" ".join(line.split()) for line in lines]
    return any(map(_HEADING.fullmatch, texts)) and sum(bool(_CODE_LINE.fullmatch(text)) for text in texts) > 1


def read_tabular(lines: Iterable[str], name: str, order: CodeOrder, source: str) -> Tabular:
    """`lines` of a file called `name`; `order` is that of ICD-9-CM.

    Raises UserError where no code has an inclusion term.
    """
    terms: list[tuple[str, str]] = []
    rows: dict[_Row, None] = {}
    dropped: Counter[str] = Counter()
    for node, kind, text, own_text in _statements(lines):
        if node not in order.place:
            dropped[UNKNOWN_NODE] += 1
            continue
        if kind in ("inclusion", "includes") and "-" not in node:
            if _NO_NAME.search(text):
                dropped[NOT_A_NAME] += kind == "inclusion"
            elif _PART.fullmatch(text):
                dropped[PART_OF_A_NAME] += 1
            else:
                terms.append((node, text))
        if kind != "inclusion":
            targets = _targets(own_text, order, dropped)
            rows.update(dict.fromkeys((node, kind, first, last, text, source) for first, last in targets))
    if not terms:
        raise UserError(f"{name} holds no code with an inclusion term; is it the tabular list of ICD-9-CM?")
    relations = pl.DataFrame(list(rows), schema=RELATION_COLUMNS, orient="row")
    return Tabular(terms=list(dict.fromkeys(terms)), relations=relations, dropped=dropped)


def _statements(lines: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """Node, kind (of a relation, or `inclusion`), text with the words it goes on with, and the text of its line."""
    node, kind = "", ""
    headings = _OpenHeadings()
    for line in lines:
        text = " ".join(line.split())
        if not text:
            continue
        heading, code = _HEADING.fullmatch(text), _CODE_LINE.fullmatch(text)
        if heading is not None:
            node, kind = f"{heading[1]}-{heading[2] or heading[1]}", ""
        elif code is not None and not (kind not in ("", "inclusion") and code[2] is None):
            node, kind = code[1], "inclusion"
        elif (start := _start(text)) is not None:
            kind, text = start
            headings = _OpenHeadings("" if kind in ("includes", "excludes1") else text)
            if text and not text.endswith(":"):
                yield node, kind, text, text
            elif kind in ("includes", "excludes1"):
                headings.opens(text)
            continue
        elif _DIGITS.fullmatch(text):
            kind = ""
        elif _ASIDE.fullmatch(text):
            continue
        elif kind and not headings.opens(text):
            yield node, kind, headings.complete(text), text
        if heading is not None or code is not None or not kind:
            headings = _OpenHeadings()


def _start(text: str) -> tuple[str, str] | None:
    """The kind of note that a line begins, and its words; None where it begins none."""
    for kind, pattern in _STARTS:
        if match := pattern.match(text):
            return kind, text[match.end() :] if kind in ("includes", "excludes1") else text
    return None


class _OpenHeadings:
    """The words that the next lines go on with."""

    def __init__(self, lead: str = "") -> None:
        self._lead = lead.rstrip(":") if lead.endswith(":") else ""
        """Of the whole note: `Use additional code to identify manifestation, as`."""
        self._outer = self._inner = ""
        self._previous = ""

    def opens(self, text: str) -> bool:
        """Whether the line is a heading of lines to come; it is remembered."""
        if not text.endswith(":"):
            return False
        self._settle(text)
        if self._outer and _goes_on(text):
            self._inner = text[:-1].strip()
        else:
            self._outer, self._inner = text[:-1].strip(), ""
        self._previous = ""
        return True

    def complete(self, text: str) -> str:
        """A line with the words over it."""
        self._settle(text)
        self._previous = "" if _is_nos(text) else text.casefold()
        whole = " ".join(part for part in (self._outer, self._inner, text) if part)
        return f"{self._lead}: {whole}" if self._lead else whole

    def _settle(self, text: str) -> None:
        """Close the headings that the line does not go on with: under one in capitals, lines in small letters do; of
        others, only as long as the alphabet goes on."""
        in_order = text.casefold() >= self._previous
        if not _goes_on(text):
            self._outer = self._inner = ""
        elif not in_order:
            if not self._inner and self._outer[:1].islower():
                self._outer = ""
            self._inner = ""


def _goes_on(text: str) -> bool:
    return text[:1].islower() or text[:1] == "(" or _is_nos(text)


def _is_nos(text: str) -> bool:
    return re.match(r"(?:NOS|NEC)\b", text) is not None


def _targets(text: str, order: CodeOrder, dropped: Counter[str]) -> list[tuple[str | None, str | None]]:
    """The ranges of codes that a line names, in parentheses or else at its end; (None, None) where it names none."""
    parts = [part for part in _PARENTHESES.findall(text) if _TARGET.search(part)]
    if not parts:
        last = _LAST_CODES.search(text)
        parts = [last[0]] if last else []
    ranges: list[tuple[str | None, str | None]] = []
    for part in (piece for whole in parts for piece in _COMMA.split(whole)):
        entries = _TARGET.findall(part)
        if _LIMITED.search(part):
            dropped[UNREAD_LIMIT] += len(entries)
            continue
        for first, last_code in entries:
            known = order.existing(first, last_code or first)
            if known is None or (not last_code and first not in order.place):
                dropped[UNKNOWN_TARGET] += 1
            else:
                ranges.append(known)
    return list(dict.fromkeys(ranges)) or [(None, None)]
