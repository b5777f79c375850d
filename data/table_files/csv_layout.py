"""How a CSV is laid out: what separates its fields, what its quotes mean, and how many records it really has.

A quote that opens a field must close before a separator or the end of a line (RFC 4180). Exports that never quote break
that rule as soon as a text holds a quote (`scar 5" long`), and a parser that trusts them swallows every row up to the
next one. So the quotes are checked first, the records are counted apart from the parser, and a file whose lines all
have the header's number of separators is read line by line, whatever quotes stand in it.
"""

import csv
import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.table_files.stored_files import CHUNK
from mera.system.errors import UserError

SEPARATORS = (",", ";", "\t", "|")
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
_PLACE = re.compile(r"column \d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvLayout:
    """What a parser has to know of one file."""

    separator: str
    quoted: bool
    """Whether a quote that begins a field encloses it; else it is a character like others."""
    num_records: int
    """With the header, where there is one; blank ones included."""
    blank: np.ndarray
    """Numbers of the records, from 0, that are an empty line."""
    num_short: int
    """Records with fewer fields than the first."""
    num_stray_quotes: int
    """Quotes that enclose nothing, read as they stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRecords:
    """What was counted in each record of a text."""

    separators: np.ndarray
    """In each record, outside quotes."""
    blank: np.ndarray
    """Numbers of the records that are empty."""


def find_separator(header: bytes, wanted: Collection[str], preferred: str = ",") -> str:
    """`preferred`, unless another of SEPARATORS finds more of the `wanted` columns (lower case) in the header."""
    return max(
        dict.fromkeys((preferred, *SEPARATORS)),
        key=lambda separator: len(set(wanted) & set(header_names(header, separator))),
    )


def header_names(header: bytes, separator: str) -> list[str]:
    """Column names of the first line, without quotes around them, as `names_or_places` has them; none where one is
    longer than a name can be."""
    line = header.decode(errors="replace").replace("\r", "")
    try:
        fields = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []
    return names_or_places(field.strip().strip('"') for field in fields)


def names_or_places(fields: Iterable[str]) -> list[str]:
    """Names of columns as `as_name` has them; `column 7` for the seventh where it has none."""
    return [as_name(field) or f"column {place}" for place, field in enumerate(fields, start=1)]


def as_name(text: str) -> str:
    """A name of a column as it is compared: in lower case, in one line, with single spaces."""
    return " ".join(text.lower().split())


def is_place(name: str) -> bool:
    """Whether a column has no name, and is called by its place."""
    return _PLACE.fullmatch(name) is not None


def nameless_beside(header: Sequence[str], columns: Collection[str]) -> list[str]:
    """The columns without a name right of one of `columns` or of such another, as under a merged header; but for
    `columns` themselves."""
    beside: list[str] = []
    for left, name in itertools.pairwise(header):
        if is_place(name) and left in {*columns, *beside}:
            beside.append(name)
    return [name for name in beside if name not in columns]


def inspect_csv(path: Path, text: bytes, separator: str, quoted: bool = True) -> CsvLayout:
    """The layout of `text`, lines ended by a newline. `quoted`: whether quotes may enclose fields.

    Raises UserError naming the line where a quote opens or closes wrongly and the lines do not say what the fields
    are, or where a record has more fields than the first.
    """
    data = np.frombuffer(text, dtype=np.uint8)
    num_quotes = text.count(b'"') if quoted else 0
    wrong_quote = _first_wrong_quote(data, separator) if num_quotes else None
    num_lines = _count_lines(data)
    if wrong_quote is None:
        records = line_records(data, separator, quoted=bool(num_quotes))
        multiline = len(records.separators) < num_lines
        if not multiline:
            return _layout(path, separator, records, quoted=bool(num_quotes))
    plain = line_records(data, separator, quoted=False)
    if plain.separators[0] and _is_even(plain):
        return _layout(path, separator, plain, quoted=False, num_stray_quotes=num_quotes)
    if wrong_quote is not None:
        line = text.count(b"\n", 0, wrong_quote) + 1
        raise UserError(f"{path}, line {line:,}: a quote is opened or closed wrongly; export the file again, quoted")
    return _layout(path, separator, records, quoted=True, multiline=True)


def _layout(
    path: Path,
    separator: str,
    records: LineRecords,
    quoted: bool,
    multiline: bool = False,
    num_stray_quotes: int = 0,
) -> CsvLayout:
    expected = records.separators[0]
    longer = np.flatnonzero(records.separators > expected)
    if len(longer):
        where = "record" if multiline else "line"
        raise UserError(
            f"{path}, {where} {longer[0] + 1:,}: {records.separators[longer[0]] + 1} fields where the first line has "
            f"{expected + 1}; a value that holds the separator must be quoted"
        )
    short = int(np.count_nonzero(records.separators < expected)) - len(records.blank) * bool(expected)
    return CsvLayout(
        separator=separator,
        quoted=quoted,
        num_records=len(records.separators),
        blank=records.blank,
        num_short=short,
        num_stray_quotes=num_stray_quotes,
    )


def _is_even(records: LineRecords) -> bool:
    """Whether every record that is not blank has as many fields as the first."""
    counts = np.delete(records.separators, records.blank)
    return bool((counts == counts[0]).all())


def _count_lines(data: np.ndarray) -> int:
    count = sum(int(np.count_nonzero(data[start : start + CHUNK] == _NEWLINE)) for start in range(0, len(data), CHUNK))
    return count + int(data[-1] != _NEWLINE)


def line_records(data: np.ndarray, separator: str, quoted: bool) -> LineRecords:
    """The separators of each record and which are blank; a line break between quotes ends no record."""
    mark = ord(separator)
    ends, counts = [], []
    inside, pending = 0, 0
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        breaks, marks = chunk == _NEWLINE, chunk == mark
        if quoted:
            within = np.cumsum(chunk == _QUOTE, dtype=np.int32)
            inside_before, inside = inside, (inside + int(within[-1])) & 1
            outside = ((within + inside_before) & 1) == 0
            breaks &= outside
            marks &= outside
        places = np.flatnonzero(breaks)
        before = np.searchsorted(np.flatnonzero(marks), places)
        of_record = np.diff(before, prepend=0)
        if len(places):
            of_record[0] += pending
            pending = int(np.count_nonzero(marks)) - int(before[-1])
        else:
            pending += int(np.count_nonzero(marks))
        ends.append(places + start)
        counts.append(of_record.astype(np.int32))
    end = np.concatenate(ends)
    separators = np.concatenate(counts)
    if not len(end) or end[-1] != len(data) - 1:
        end, separators = np.append(end, len(data)), np.append(separators, pending)
    begin = np.concatenate([[0], end[:-1] + 1])
    length = end - begin
    length -= (length > 0) & (data[np.maximum(end - 1, 0)] == _RETURN)
    return LineRecords(separators=separators, blank=np.flatnonzero(length == 0))


def _first_wrong_quote(data: np.ndarray, separator: str) -> int | None:
    """Where the first quote stands that opens inside a field, closes before its end, or never closes."""
    allowed_around = np.isin(np.arange(256), [ord(separator), _NEWLINE, _RETURN, _QUOTE])
    count, last = 0, None
    for start in range(0, len(data), CHUNK):
        places = np.flatnonzero(data[start : start + CHUNK] == _QUOTE) + start
        if not len(places):
            continue
        opens = (np.arange(count, count + len(places)) & 1) == 0
        neighbours = np.where(opens, places - 1, places + 1)
        at_edge = (neighbours < 0) | (neighbours >= len(data))
        fits = at_edge | allowed_around[data[np.clip(neighbours, 0, len(data) - 1)]]
        if not fits.all():
            return int(places[np.argmin(fits)])
        count, last = count + len(places), int(places[np.flatnonzero(opens)[-1]]) if opens.any() else last
    return last if count & 1 else None
