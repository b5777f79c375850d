"""The codes that a note of the tabular list names: `(I10-I16)`, `(N17.-, N18.-)`, `(E08-E13 with .51-.52)`.

Codes in parentheses count, and only where there are none those outside: `tuberculosis, any type in A15 (J65)` names J65
alone. A limit such as `with fifth or sixth character 5` is put into the codes of the edition that fulfil it. The fifth
or sixth character there is the intent of T36-T65, which is the sixth, or the fifth where no code has six.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from data.codes.notes.code_ranges import CodeOrder, is_heading, topmost

_CODE = r"[A-Z](?:\d[0-9A-Z]|[A-Z]\d)(?:\.[0-9A-Z]{1,4})?"
_ENTRY = re.compile(rf"(?<![A-Za-z0-9.])({_CODE})\b\.?(?:-?(?:\s+-\s*|-|\s+to\s+)({_CODE})\b)?")
_CHAPTER = re.compile(r"\bChapter (\d+)\b")
_PARENTHESES = re.compile(r"\(([^()]*)\)")
_NO_TARGET = re.compile(rf"(?:for codes?|except (?:as |those )?in|vitamin) {_CODE}(?:[\s,.-]+(?:and )?{_CODE})*")
"""Codes that a note is about, or that it takes out, and a vitamin."""
_POSITIONS = {"fourth": 4, "fifth": 5, "sixth": 6, "six": 6, "seventh": 7} | {
    f"{place}th": place for place in range(4, 8)
}
_POSITION = f"({'|'.join(_POSITIONS)})"
_CHARACTERS = re.compile(
    rf"{_POSITION}(?: or {_POSITION})?[ -]+(?:character|digit)s?\s+\.?([0-9A-Z](?:(?:-|, ?| or )[0-9A-Z])*)"
)
_FINAL_CHARACTER = re.compile(r"final character ([0-9])$")
_FINAL = re.compile(r"final characters?\s+-(\d+)")
_LIMIT_BEHIND = re.compile(rf"\s*with {_POSITION}\b[^(]*")
_SUFFIX = re.compile(r"\.(\d+)(?:-\.(\d+))?")

_Limit = Callable[[str], bool]
"""Whether an undotted code fulfils the words behind a note's codes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteTargets:
    """What a note's text names."""

    ranges: list[tuple[str, str]]
    """First and last code; both are codes of the edition."""
    unknown: int
    """Codes or ranges of which the edition has nothing."""
    unread_limits: int
    """Ranges left out because the words that limit them are none of the known forms."""


def read_targets(text: str, order: CodeOrder, chapters: dict[str, str]) -> NoteTargets:
    """`chapters`: a chapter's number -> its range."""
    parts = [part for part in _parts(text) if _ENTRY.search(part) or _CHAPTER.search(part)]
    ranges: list[tuple[str, str]] = []
    unknown = unread = 0
    for part in parts or [_NO_TARGET.sub("", _without_parentheses(text))]:
        part = _CHAPTER.sub(lambda match: chapters.get(match[1], ""), part)
        entries = list(_ENTRY.finditer(part))
        if not entries:
            continue
        limit, is_read = _limit(part[entries[-1].end() :], order)
        for entry in entries:
            known = order.existing(entry[1], entry[2] or entry[1])
            if known is None or (entry[2] is None and entry[1] not in order.place):
                unknown += 1
            elif not is_read:
                unread += 1
            elif limit is None:
                ranges.append(known)
            else:
                limited = _limited(known, limit, order)
                unknown += not limited
                ranges.extend(limited)
    return NoteTargets(ranges=list(dict.fromkeys(ranges)), unknown=unknown, unread_limits=unread)


def _parts(text: str) -> list[str]:
    """What stands in parentheses, with a limit behind them: `(T36-T50) with fifth or sixth character 6`."""
    return [
        f"{part[1]} {limit[0]}" if (limit := _LIMIT_BEHIND.match(text, part.end())) else part[1]
        for part in _PARENTHESES.finditer(text)
    ]


def _without_parentheses(text: str) -> str:
    while (shorter := _PARENTHESES.sub("", text)) != text:
        text = shorter
    return text


def _limited(ends: tuple[str, str], limit: _Limit, order: CodeOrder) -> list[tuple[str, str]]:
    """The codes between `ends` that fulfil `limit`, as ranges without a gap."""
    start, stop = order.span(*ends)
    within = (name for name in order.names[start:stop] if not is_heading(name))
    ranges: list[tuple[str, str]] = []
    for code in topmost(code for code in within if limit(code.replace(".", ""))):
        if ranges and order.end[ranges[-1][1]] == order.place[code]:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return ranges


def _limit(words: str, order: CodeOrder) -> tuple[_Limit | None, bool]:
    """What the words behind the codes of a note ask of them (None: nothing), and whether they could be read."""
    parts = re.split(r"\bwith\s", words, maxsplit=1)
    if len(parts) == 1 or "to indicate intent" in parts[1]:
        return None, True
    asked = parts[1].strip()
    if match := _CHARACTERS.match(asked):
        positions = [_POSITIONS[word] for word in (match[1], match[2]) if word]
        return _has_character(positions, _values(match[3]), order), True
    if match := _FINAL_CHARACTER.match(asked):
        return _has_character([5, 6], {match[1]}, order), True
    if match := _FINAL.match(asked):
        ending = match[1]
        return lambda plain: len(plain) > 3 + len(ending) and plain.endswith(ending), True
    suffixes = _SUFFIX.findall(asked)
    if suffixes:
        return lambda plain: any(_in_suffix(plain[3:], first, last or first) for first, last in suffixes), True
    return None, False


def _values(text: str) -> set[str]:
    """`1-4 or 6` -> 1, 2, 3, 4, 6."""
    values: set[str] = set()
    for first, last in re.findall(r"([0-9A-Z])(?:-([0-9A-Z]))?", text):
        values.update(chr(number) for number in range(ord(first), ord(last or first) + 1))
    return values


def _has_character(positions: list[int], values: set[str], order: CodeOrder) -> _Limit:
    if positions == [5, 6]:
        return lambda plain: (
            plain[-1] in values and (len(plain) == 6 or (len(plain) == 5 and not _has_sixth(plain, order)))
        )
    return lambda plain: any(len(plain) == position and plain[position - 1] in values for position in positions)


def _has_sixth(plain: str, order: CodeOrder) -> bool:
    """Whether codes of six characters stand below a code of five, written without its dot."""
    code = order.ontology.dotted(plain)
    below = order.names[order.place[code] + 1 : order.end[code]]
    return any(len(name.replace(".", "")) == 6 for name in below)


def _in_suffix(digits: str, first: str, last: str) -> bool:
    return len(digits) == len(first) and first <= digits <= last
