"""The columns of a table as text, whatever its file is; their meanings: `data.table_files.columns`."""

import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data.table_files.columnar import as_text, is_columnar, read_frame, read_schema
from data.table_files.csv_layout import (
    SEPARATORS,
    CsvLayout,
    as_name,
    find_separator,
    header_names,
    inspect_csv,
    names_or_places,
)
from data.table_files.spreadsheets import SPREADSHEET_SUFFIXES, Sheet, read_sheets
from data.table_files.stored_files import InputFile, read_bytes, read_text
from mera.system.errors import UserError

_LISTED_HEADERS = 12
_LONGEST_HEADER = 1 << 14
_UNDERLINE = re.compile(rb"[-+|;,\s]*---[-+|;,\s]*")
"""The line that SQL's shells write below the header."""
_OPEN_QUOTE = re.compile(rb'(?:^|[,;\t|])[ ]*"(?:[^"]|"")*$')
"""At the end of a line, a quote that opens at the beginning of a field and is not closed."""
_SEPARATOR_LINE = re.compile(rb'"?sep=([;,|\t])"?\r?\n', re.IGNORECASE)
"""What spreadsheets write above the header."""
_NAME, _DIGIT = re.compile(r"[^\W\d][\w .:/()-]{0,60}|"), re.compile(r"\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTable:
    """Columns of a file: every value a string or null, and of a Parquet or Feather file dates and times as Datetime."""

    path: Path
    file: InputFile
    rows: pl.DataFrame
    """Named as asked for. Values keep their leading zeros and the spaces around them."""
    stored_as_numbers: frozenset[str] = frozenset()
    """Columns that the file itself holds as numbers, so that leading zeros are gone."""
    num_blank: int = 0
    """Empty lines, left out."""
    num_short: int = 0
    """Rows with fewer fields than the header; what is missing at their end is null."""
    num_stray_quotes: int = 0
    """Quotes that enclose nothing, read as they stand."""
    num_headers: int = 0
    """Rows that repeat the header or underline it, left out."""
    other_sheets: Mapping[str, int] = field(default_factory=dict)
    """Sheets of the same file that are not read -> their rows."""
    header: Sequence[str] = ()
    """All columns of the file, as `column_names` has them."""

    def changes(self) -> dict[str, int]:
        """What was left out or mended -> how often."""
        return {
            "empty line, left out": self.num_blank,
            "row with fewer fields than the header, the rest taken for empty": self.num_short,
            **{f"row of the sheet {name}, which is not read": rows for name, rows in self.other_sheets.items()},
            "row that repeats the header or underlines it, left out": self.num_headers,
            "quote that encloses nothing, read as it stands": self.num_stray_quotes,
        }


def read_text_table(
    path: str | Path,
    headers: Mapping[str, str],
    *,
    optional: Sequence[str] = (),
    separator: str | None = None,
    has_header: bool = True,
    quoted: bool = True,
    encoding: str | None = None,
) -> TextTable:
    """`headers` (our name -> the file's, whatever the case) of a file with types (`data.table_files.columnar`), a
    spreadsheet, or a CSV.

    Of `optional` (our names) those whose column is missing are left out. `separator`: None finds it by the header, with
    a tab preferred for .tsv and .txt. Without a header `headers` names all columns in order. `quoted`: whether quotes
    may enclose fields. `encoding` of a CSV: None is UTF-8, or UTF-16 with its mark. Raises FileNotFoundError where
    there is no such file, and UserError naming it where it is empty, cut off, no table, lacks a column, or has another
    number of rows than a parser finds in it.
    """
    path = Path(path)
    if is_columnar(path):
        return _read_columnar(path, headers, optional)
    if path.suffix.lower() in SPREADSHEET_SUFFIXES:
        return _read_spreadsheet(path, headers, optional)
    wanted = {ours: as_name(theirs) for ours, theirs in headers.items()}
    text, file = read_text(path, encoding)
    text, first, separator = _first_line(path, text, separator, wanted.values())
    names = header_names(first, separator) if has_header else list(wanted.values())
    second = _line_behind(text, first)
    places = _places(path, wanted, names, optional, header_names(second, separator) if has_header else None)
    layout = inspect_csv(path, text, separator, quoted)
    rows = _parse(path, text, layout, sorted(set(places.values())), has_header)
    if not has_header and rows.width != len(names):
        raise UserError(f"{path} has {rows.width} columns where {len(names)} were expected ({', '.join(names)})")
    order = {place: number for number, place in enumerate(sorted(set(places.values())))}
    rows = rows.select(**{ours: pl.col(rows.columns[order[place]]) for ours, place in places.items()})
    repeated = has_header and text.count(first.strip()) > 1
    rows, num_headers = _without_headers(rows, wanted) if repeated else (rows, 0)
    if has_header and rows.height and _UNDERLINE.fullmatch(second):
        rows, num_headers = rows[1:], num_headers + 1
    if rows.is_empty():
        raise UserError(f"{path} has a header but no rows")
    if not layout.quoted:
        rows = rows.with_columns(pl.all().str.strip_chars().str.replace('(?s)^"(.*)"$', "${1}"))
    return TextTable(
        path=path,
        file=file,
        rows=rows,
        num_blank=len(layout.blank),
        num_short=layout.num_short,
        num_stray_quotes=layout.num_stray_quotes,
        num_headers=num_headers,
        header=names,
    )


def column_names(
    path: str | Path, wanted: Iterable[str], separator: str | None = None, encoding: str | None = None
) -> list[str]:
    """The names of all columns as `names_or_places` has them. `wanted`: some that must be there, by which the separator
    of a CSV and the sheet of a spreadsheet are known. Errors as in `read_text_table`."""
    path, lowered = Path(path), [as_name(name) for name in wanted]
    if is_columnar(path):
        return names_or_places(read_schema(path, read_bytes(path)))
    if path.suffix.lower() in SPREADSHEET_SUFFIXES:
        return _sheet_with(path, read_sheets(path, read_bytes(path)), lowered).header
    _, first, separator = _first_line(path, read_text(path, encoding)[0], separator, lowered)
    return header_names(first, separator)


def all_columns(
    path: str | Path, separator: str | None = None, encoding: str | None = None
) -> tuple[list[str], str | None]:
    """As `column_names`, of a table of which no column is known; and what separates the columns of a CSV, by which
    there are most of them. `separator`: where it is known."""
    path = Path(path)
    if separator is not None or is_columnar(path) or path.suffix.lower() in SPREADSHEET_SUFFIXES:
        return column_names(path, (), separator, encoding), separator
    names = {mark: column_names(path, (), mark, encoding) for mark in SEPARATORS}
    widest = max(names, key=lambda mark: len(names[mark]))
    return names[widest], widest


def _first_line(path: Path, text: bytes, separator: str | None, wanted: Collection[str]) -> tuple[bytes, bytes, str]:
    """The text from its first line on, that line, and what separates its fields."""
    if separator is not None and len(separator.encode()) != 1:
        raise UserError(f"--separator must be one character, got {separator!r}")
    separator_line = _SEPARATOR_LINE.match(text)
    if separator_line is not None:
        separator, text = separator or separator_line[1].decode(), text[separator_line.end() :]
    first = _first_record(text)
    if separator is None:
        tabbed = {".tsv", ".txt"} & {suffix.lower() for suffix in path.suffixes}
        separator = find_separator(first, wanted, "\t" if tabbed else ",")
    return _with_last_name(text, first, separator)


def _with_last_name(text: bytes, first: bytes, separator: str) -> tuple[bytes, bytes, str]:
    """As `_first_line`. Where rows end with a separator and the header does not, it gets one, and so a last column
    without a name."""
    mark, bare = separator.encode(), first.rstrip(b"\r")
    second = _line_behind(text, first).rstrip(b"\r")
    one_more = len(header_names(second, separator)) == len(header_names(bare, separator)) + 1
    if not (one_more and second.endswith(mark)) or bare.endswith(mark):
        return text, first, separator
    body = text[len(first) :].replace(b"\r", b"").rstrip(b"\n") + b"\n"
    if body.count(mark + b"\n") != body.count(b"\n") - body.startswith(b"\n"):
        return text, first, separator  # not each row: then something else is wrong
    longer = bare + mark + first[len(bare) :]
    return longer + text[len(first) :], longer, separator


def _line_behind(text: bytes, first: bytes) -> bytes:
    start = len(first) + 1
    end = text.find(b"\n", start)
    return text[start:] if end < 0 else text[start:end]


def _first_record(text: bytes) -> bytes:
    """Up to the first end of a line that stands in no quotes, as it does in a name of two lines."""
    ends = [text.find(b"\n")]
    while 0 <= ends[-1] < _LONGEST_HEADER and _OPEN_QUOTE.search(text[: ends[-1]]):
        ends.append(text.find(b"\n", ends[-1] + 1))
    end = ends[0] if ends[-1] < 0 or ends[-1] >= _LONGEST_HEADER else ends[-1]
    return text if end < 0 else text[:end]


def _without_headers(rows: pl.DataFrame, wanted: Mapping[str, str]) -> tuple[pl.DataFrame, int]:
    """`rows` without those that repeat the header, as tables written one behind the other do; and how many."""
    is_header = pl.all_horizontal(
        pl.col(ours).str.strip_chars().str.strip_chars('"').str.to_lowercase() == wanted[ours] for ours in rows.columns
    )
    data_rows = rows.filter(~is_header.fill_null(False))
    return data_rows, rows.height - data_rows.height


def _places(
    path: Path, wanted: Mapping[str, str], names: Sequence[str], optional: Sequence[str], row: list[str] | None
) -> dict[str, int]:
    """Our name -> the number of its column. `row`: the first row of a CSV; None: `names` is sure to hold names."""
    missing = [theirs for ours, theirs in wanted.items() if theirs not in names and ours not in optional]
    if missing:
        described = describe_header(names, row, wanted.values())
        raise UserError(f"{path} has no column {', '.join(missing)}; {described}. Is it the right file?")
    twice = sorted({theirs for theirs in wanted.values() if names.count(theirs) > 1})
    if twice:
        raise UserError(f"{path} has several columns called {', '.join(twice)}; rename all but one")
    return {ours: names.index(theirs) for ours, theirs in wanted.items() if theirs in names}


def describe_header(names: Sequence[str], row: Sequence[str] | None, wanted: Iterable[str]) -> str:
    """The names in the first line, unless that may be a patient's row: a file without a header.

    It is a header where it holds one of the `wanted` names, or where some name has no digit and the value below has.
    """
    if row is not None and set(wanted).isdisjoint(names):
        is_header = all(map(_NAME.fullmatch, names)) and any(
            not _DIGIT.search(name) and _DIGIT.search(value) for name, value in zip(names, row, strict=False)
        )
        if not is_header:
            return "its first line does not look like names of columns"
    more = f" and {len(names) - _LISTED_HEADERS} more" if len(names) > _LISTED_HEADERS else ""
    return f"found {', '.join(names[:_LISTED_HEADERS])}{more}"


def _parse(path: Path, text: bytes, layout: CsvLayout, places: list[int], has_header: bool) -> pl.DataFrame:
    """The columns at `places`; without a header, all."""
    try:
        rows = pl.read_csv(
            io.BytesIO(text),
            has_header=has_header,
            columns=places if has_header else None,
            separator=layout.separator,
            quote_char='"' if layout.quoted else None,
            infer_schema=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # The parser's own words may quote a patient's row.
        raise UserError(f"{path} is not a valid CSV with the separator {layout.separator!r}") from None
    expected = layout.num_records - has_header
    if rows.height != expected:
        raise UserError(
            f"{path} has {expected:,} rows, but {rows.height:,} could be read; export the file again, quoted"
        )
    if len(layout.blank):
        blank = pl.Series(layout.blank - has_header)
        rows = rows.with_row_index("row").filter(~pl.col("row").is_in(blank.implode())).drop("row")
    return rows


def _read_columnar(path: Path, headers: Mapping[str, str], optional: Sequence[str]) -> TextTable:
    stored = read_bytes(path)
    file = InputFile.of(path, stored)
    schema = read_schema(path, stored)
    wanted = {ours: as_name(theirs) for ours, theirs in headers.items()}
    header = names_or_places(schema)
    places = _places(path, wanted, header, optional, None)
    names = {ours: list(schema)[place] for ours, place in places.items()}
    rows = read_frame(path, stored, list(dict.fromkeys(names.values())))
    numeric = frozenset(
        ours
        for ours, theirs in names.items()
        if _holds_numbers(rows.schema[theirs]) and rows[theirs].null_count() < rows.height
    )
    return TextTable(
        path=path,
        file=file,
        rows=rows.select(**{ours: as_text(path, theirs, rows[theirs]) for ours, theirs in names.items()}),
        stored_as_numbers=numeric,
        header=header,
    )


def _holds_numbers(kind: pl.DataType) -> bool:
    return kind.inner.is_numeric() if isinstance(kind, pl.List | pl.Array) else kind.is_numeric()


def _read_spreadsheet(path: Path, headers: Mapping[str, str], optional: Sequence[str]) -> TextTable:
    stored = read_bytes(path)
    wanted = {ours: as_name(theirs) for ours, theirs in headers.items()}
    needed = [theirs for ours, theirs in wanted.items() if ours not in optional]
    sheets = read_sheets(path, stored)
    sheet = _sheet_with(path, sheets, needed)
    first = ["" if cell is None else str(cell) for cell in sheet.rows[0]] if sheet.rows else None
    places = _places(path, wanted, sheet.header, optional, first)
    if not sheet.rows:
        raise UserError(f"{path} has a header but no rows")
    return TextTable(
        path=path,
        file=InputFile.of(path, stored),
        rows=pl.DataFrame({ours: sheet.column(place) for ours, place in places.items()}),
        stored_as_numbers=frozenset(ours for ours, place in places.items() if sheet.holds_numbers(place)),
        num_blank=sheet.num_blank,
        other_sheets={other.name: len(other.rows) for other in sheets if other is not sheet and other.rows},
        header=sheet.header,
    )


def _sheet_with(path: Path, sheets: Sequence[Sheet], wanted: Collection[str]) -> Sheet:
    """The only sheet that has the columns `wanted`; the first one where none has, the widest where none is wanted."""
    if not wanted:
        wanted = max(sheets, key=lambda sheet: (not sheet.has_title, len(sheet.header))).header
    having = [sheet for sheet in sheets if set(wanted) <= set(sheet.header)]
    if len(having) > 1:
        raise UserError(
            f"{path} has the columns in {len(having)} sheets; save the one that is meant as a file of its own"
        )
    chosen = having[0] if having else sheets[0]
    if chosen.has_title:
        raise UserError(f"{path}: the first row of sheet {chosen.name} is a title and no header; take such rows out")
    return chosen
