"""Columns that mean something: each is declared with what it holds, read as text, and parsed by that meaning's rule.

What does not parse is counted by column, with the first forms it takes (letters and digits masked, never a value), and
becomes null. A column of which nothing parses ends the run with the cause: it is another column, or in another form,
than the reader took it for. Sexes and ids in forms that lose or confuse something are refused outright.

Validation libraries for data frames (pandera, dataframely) check values that already have a type; here the work is to
give each text its type by the meaning of its column, and to say what has none, which they leave to Polars' own casts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.table_files import meanings
from data.table_files.ids import with_one_spelling
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from data.table_files.text_tables import TextTable, read_text_table
from data.table_files.times import (
    Times,
    UnreadableTimes,
    are_swapped,
    parse_times,
    proves_day_first,
    read_otherwise,
    without_placeholders,
)
from mera.system.errors import UserError

_LISTED_FORMS, _LISTED_SEXES = 3, 8
_INVISIBLE = "[\u200b-\u200f\u2060\ufeff\u00ad]"
"""Spaces without width, marks of direction and hyphens that may not show, which copies from web pages carry along."""
_DAYS_SUFFIX = "_days"
_TIMES = (Meaning.TIME, Meaning.TIME_OR_DAYS, Meaning.BIRTH)
_DAY_AND_MONTH = r"^\d{1,2}[/. -]\d{1,2}[/. -]\d{4}"
_YEAR, _ITS_MIDDLE = r"^((?:18|19|20)\d\d)(?:\.0*)?$", "${1}-07-01"
_DTYPES = {
    Meaning.WHOLE: pl.Int64(),
    Meaning.AGE: pl.Int64(),
    Meaning.NUMBER: pl.Float64(),
    Meaning.FLAG: pl.Boolean(),
    Meaning.SEX: pl.String(),
}
"""Of the meanings whose values are read one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column that a reader asks for."""

    name: str
    """As the reader calls it."""
    meaning: Meaning
    header: str | None = None
    """As the file calls it, in any case; None: as the reader does."""
    optional: bool = False
    """Whether the file may lack it."""
    may_be_empty: bool = False
    """Whether nothing is amiss where it holds no value at all, as the deaths of a small sample."""


def column(
    name: str, meaning: Meaning, header: str | None = None, optional: bool = False, may_be_empty: bool = False
) -> Column:
    """A `Column` that is written in one line."""
    return Column(name=name, meaning=meaning, header=header, optional=optional, may_be_empty=may_be_empty)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnForms:
    """What a user says of the forms in the files."""

    date_format: str | None = None
    """Of `strptime`; None: the forms of `data.table_files.times`."""
    day_first: bool | None = None
    """Of dates in numbers, which do not show it; None: such dates are refused."""
    sex_values: Mapping[str, str] = field(default_factory=dict)
    """Value in lower case -> `F` or `M`, beside the words that are known."""
    encoding: str | None = None
    """Of a CSV; None: UTF-8, or UTF-16 with its mark."""

    def __post_init__(self) -> None:
        if self.date_format is not None and not re.search(r"%[dejDFx]", self.date_format):
            raise UserError(f"--date-format must be a format of strptime, as %d.%m.%Y, got {self.date_format!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedTable:
    """Columns of a file with the types of their meanings: ids, codes, words and texts String, whole numbers and ages
    Int64, numbers Float64, times Datetime, births too (a year is its middle), flags Boolean, sexes `F`, `M` or null.
    """

    rows: pl.DataFrame
    file: InputFile
    header: Sequence[str]
    """All columns of the file, as `column_names` has them."""


def read_columns(
    path: str | Path,
    columns: Sequence[Column],
    ledger: Ledger,
    forms: ColumnForms | None = None,
    *,
    separator: str | None = None,
    has_header: bool = True,
    quoted: bool = True,
) -> TypedTable:
    """`columns` of a CSV or Parquet file, by their meanings; what cannot be read goes to the ledger.

    A time column that may hold days (`TIME_OR_DAYS`) comes as itself and as `<name>_days`, Float64, of which one is
    null throughout. Errors as in `read_text_table`, and a UserError naming file and column where a whole column cannot
    be read, or a value must not be guessed at.
    """
    headers = {each.name: each.header or each.name for each in columns}
    optional = [each.name for each in columns if each.optional]
    forms = forms or ColumnForms()
    text = read_text_table(
        path,
        headers,
        optional=optional,
        separator=separator,
        has_header=has_header,
        quoted=quoted,
        encoding=forms.encoding,
    )
    for what, number in text.changes().items():
        ledger.change(what, number)
    present = [each for each in columns if each.name in text.rows.columns]
    return TypedTable(rows=type_columns(text, present, ledger, forms), file=text.file, header=text.header)


def type_columns(text: TextTable, columns: Sequence[Column], ledger: Ledger, forms: ColumnForms) -> pl.DataFrame:
    """The `columns` of a table that was read as text, by their meanings; errors as in `read_columns`."""
    values = {each.name: without_nothing(text.rows[each.name]) for each in columns}
    proof = _proof_of_any(text.path, columns, values)
    day_first = forms.day_first if proof is None else proof
    typed: dict[str, pl.Series] = {}
    for each in columns:
        header = each.header or each.name
        place = _Place(path=text.path, header=header, meaning=each.meaning)
        own = values.pop(each.name)
        if len(own) and own.null_count() == len(own) and not each.may_be_empty:
            ledger.change(f"row of {text.path.name}, whose column {header} is empty throughout", len(own))
        if own.dtype == pl.Datetime:
            typed |= _stored_times(each, own, place, ledger)
            continue
        match each.meaning:
            case Meaning.TEXT | Meaning.WORD:
                typed[each.name] = own
            case Meaning.CODE:
                if each.name in text.stored_as_numbers:
                    raise UserError(
                        f"{text.path}: column {header} is stored as numbers, so codes have lost their zeros (038.9 is "
                        f"38.9, 250.00 is 250); export it as text"
                    )
                typed[each.name] = own
            case Meaning.ID | Meaning.NUMBER_ID:
                visible = own.str.replace_all(_INVISIBLE, "").str.strip_chars()
                ledger.change(f"id in {header} with invisible characters, left out", int((visible != own).sum()))
                are_numbers = each.meaning == Meaning.NUMBER_ID
                typed[each.name], num_changed = with_one_spelling(visible, are_numbers, str(place))
                example = "1000.0 and 01000 are 1000" if are_numbers else "1000.0 is 1000"
                ledger.change(f"id in {header} read as a number ({example})", num_changed)
            case Meaning.TIME | Meaning.TIME_OR_DAYS | Meaning.BIRTH:
                if each.meaning == Meaning.BIRTH:
                    own = own.str.replace(_YEAR, _ITS_MIDDLE)
                times = _times(own, place, forms.date_format, day_first)
                typed[each.name] = times.moments
                if forms.date_format is not None and times.days is None:
                    otherwise = read_otherwise(own, times.moments, forms.date_format)
                    ledger.change(f"date in {header} in another form than --date-format says", otherwise)
                if each.meaning == Meaning.TIME_OR_DAYS:
                    nothing = pl.repeat(None, len(own), dtype=pl.Float64, eager=True)
                    typed[each.name + _DAYS_SUFFIX] = nothing if times.days is None else times.days
                if times.days is None and day_first is not None and forms.date_format is None:
                    borrowed = _without_proof(own)
                    ledger.change(
                        f"date in {header} read with the day or the month first as in another column", borrowed
                    )
                _report(place, own, times.moments if times.days is None else times.days, ledger)
            case _:
                typed[each.name] = _scalars(own, place, forms, ledger)
    return pl.DataFrame({name: series.alias(name) for name, series in typed.items()})


def _stored_times(each: Column, stored: pl.Series, place: "_Place", ledger: Ledger) -> dict[str, pl.Series]:
    """A column that the file itself holds as times."""
    values = without_placeholders(stored)
    _report(place, stored.dt.strftime("%Y-%m-%d"), values, ledger)
    if each.meaning == Meaning.TIME_OR_DAYS:
        days = pl.repeat(None, len(values), dtype=pl.Float64, eager=True)
        return {each.name: values, each.name + _DAYS_SUFFIX: days}
    return {each.name: values if each.meaning in _TIMES else values.dt.strftime("%Y-%m-%d %H:%M:%S")}


@dataclass(frozen=True, slots=True)
class _Place:
    """A column in its file, for messages."""

    path: Path
    header: str
    meaning: Meaning

    def __str__(self) -> str:
        return f"{self.path}: column {self.header}"


def without_nothing(values: pl.Series) -> pl.Series:
    """`values` without spaces and the formula of a text (`="007"`, which keeps zeros in Excel) around them, null where
    nothing is there (see `meanings.NOTHING`); times as they are."""
    if values.dtype == pl.Datetime:
        return values
    values = values.str.strip_chars().str.replace(r'^="([^"]*)"$', "${1}").str.strip_chars()
    short = values.filter(values.str.len_bytes() <= meanings.LONGEST_NOTHING).unique()
    empty = [word for word in short if word is not None and meanings.is_nothing(word)]
    return values.replace(dict.fromkeys(empty)) if empty else values


def _scalars(values: pl.Series, place: _Place, forms: ColumnForms, ledger: Ledger) -> pl.Series:
    """Numbers, ages, flags and sexes, read text by different text; numbers are cast at once where that reads all."""
    dtype = _DTYPES[place.meaning]
    if place.meaning in (Meaning.WHOLE, Meaning.NUMBER):
        fast = values.cast(dtype, strict=False)
        if fast.null_count() == values.null_count():
            return fast
    distinct = values.drop_nulls().unique()
    read: Mapping[str, str | float | None]
    match place.meaning:
        case Meaning.WHOLE:
            read = {text: _int(meanings.whole_number(text)) for text in distinct}
        case Meaning.NUMBER:
            read = meanings.numbers(distinct)
        case Meaning.AGE:
            read = meanings.ages(distinct)
        case Meaning.FLAG:
            read = {text: meanings.flag(text) for text in distinct}
        case Meaning.SEX:
            read = _sexes(values, distinct, place, forms.sex_values)
    typed = values.replace_strict(list(read), list(read.values()), default=None, return_dtype=dtype)
    _report(place, values, typed, ledger)
    return typed.replace({"": None}) if place.meaning == Meaning.SEX else typed


def _int(digits: str | None) -> int | None:
    return None if digits is None or len(digits) > 18 else int(digits)


def _sexes(
    values: pl.Series, distinct: pl.Series, place: _Place, sex_values: Mapping[str, str]
) -> dict[str, str | None]:
    """Text -> `F`, `M`, or empty for an unknown sex. Raises UserError on a text whose sex would be a guess."""
    numbers = {text: meanings.whole_number(text) or text.lower() for text in distinct}
    by_number = meanings.ISO_5218 if "2" in numbers.values() and "0" not in numbers.values() else {}
    letters = set(numbers.values()) & meanings.AMBIGUOUS_WITH_M
    is_alone = "m" in numbers.values() and not {"F", "M"} & {meanings.sex(text) for text in {*numbers.values()} - {"m"}}
    is_unclear = letters or (is_alone and re.search(meanings.SEX_IN_SPANISH, place.header.lower()))
    unclear = dict.fromkeys(letters | {"m"}) if is_unclear and "m" in numbers.values() else {}
    known: dict[str, str | None] = {**by_number, **unclear, **sex_values}
    read = {text: known.get(number, meanings.sex(number)) for text, number in numbers.items()}
    unread = [text for text, sex in read.items() if sex is None]
    if unread:
        counts: dict[str, list[int]] = {}
        for text, count in values.filter(values.is_in(unread)).value_counts(sort=True).iter_rows():
            counts.setdefault(meanings.form_of(text), []).append(count)
        listed = ", ".join(
            f"{form} ({sum(rows):,} rows" + (f", {len(rows)} different values)" if len(rows) > 1 else ")")
            for form, rows in list(counts.items())[:_LISTED_SEXES]
        )
        raise UserError(
            f"{place} holds values that do not say whether they mean F or M: {listed}; say so with "
            "--sex-values F=...,M=...,U=... (U: neither, or not known)"
        )
    return read


def _times(values: pl.Series, place: _Place, date_format: str | None, day_first: bool | None) -> Times:
    if are_swapped(values):
        raise UserError(
            f"{place}: its dates that begin with the year all have days up to 12, and the others all from 13 on, so a "
            "spreadsheet seems to have read the former with day and month the wrong way round; write all in one form"
        )
    try:
        return parse_times(values, date_format, day_first, allow_days=place.meaning == Meaning.TIME_OR_DAYS)
    except UnreadableTimes as error:
        raise UserError(f"{place}: {error}") from None


def _proof_of_any(path: Path, columns: Sequence[Column], values: Mapping[str, pl.Series]) -> bool | None:
    """Whether the days come first in the time columns that show it; None where none does, or they differ."""
    proofs = set()
    for each in columns:
        if each.meaning in _TIMES:
            own = values[each.name]
            if own.dtype == pl.Datetime:
                continue
            own = own.unique()
            such = own.filter(own.str.contains(_DAY_AND_MONTH).fill_null(False))
            if len(such):
                try:
                    proofs.add(proves_day_first(such))
                except UnreadableTimes as error:
                    raise UserError(f"{path}: column {each.header or each.name}: {error}") from None
    known = proofs - {None}
    return known.pop() if len(known) == 1 else None


def _without_proof(values: pl.Series) -> int:
    """How many dates do not say whether the day comes first, in a column in which none does."""
    such = values.filter(values.str.contains(_DAY_AND_MONTH).fill_null(False))
    return len(such) if proves_day_first(such.unique()) is None else 0


def _report(place: _Place, values: pl.Series, typed: pl.Series, ledger: Ledger) -> None:
    """Count the values that could not be read. Raises UserError where none could."""
    failed = typed.is_null() & values.is_not_null()
    count = int(failed.sum())
    if not count:
        return
    texts = values.filter(failed)
    forms = list(dict.fromkeys(map(meanings.form_of, texts.head(1000))))[:_LISTED_FORMS]
    there = len(values) - values.null_count()
    if count == there:
        hint = "; --date-format says how to read them" if typed.dtype == pl.Datetime else ""
        raise UserError(
            f"{place}: none of its {there:,} values is {place.meaning.value}; they look like {', '.join(forms)}{hint}"
        )
    ledger.unreadable(f"{place.path.name}, {place.header}", place.meaning.value, count, forms)


LOOKED_AT = 400
"""Different values of a column by which it is told what the column is."""


def distinct(values: pl.Series) -> list[str]:
    """The first LOOKED_AT different texts; none of a column that holds no texts."""
    if values.dtype != pl.String:
        return []
    return values.drop_nulls().unique(maintain_order=True).head(LOOKED_AT).to_list()
