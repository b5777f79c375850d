"""Dates and times as other tools write them.

ISO 8601 in its usual forms is read as it stands: the day and the clock of the place, whatever offset follows (`Z`,
`UTC`, `+01:00`), since the visits of a patient are counted in days of that place. Dates that begin with a day or a
month are read only where the column proves which it is: a number above 12 in one of the two places (`31012023`, or
`3012023` where a number has lost its zero, where nothing begins with a year). Two-digit years are not read, in whatever
form: `13-01-23` is no day of the year 13.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from mera.system.errors import UserError

_ZONE = r"(:\d\d(?:[.,]\d+)?|[Tt ]\d{4,6}(?:[.,]\d+)?)\s*(?:[Zz]|[A-Z]{3,5}|[+-]\d\d(?::?\d\d)?)$"
_ZONE_OF_DATE = r"^(\d{4}-\d\d-\d\d)\s*(?:[Zz]|UTC|GMT)$"
_NUMBER_AS_FLOAT = r"^(\d{8}|\d{14})\.0*$"
_CLOCK_OF_DB2 = r"^(\d{4}-\d\d-\d\d)-(\d\d)\.(\d\d)\.(\d\d)(?:\.\d+)?$"
_FRACTION = r"(:\d\d)[.,]\d+"
_ISO = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_COMPACT = {r"^\d{8}$": "%Y%m%d", r"^\d{8} ?\d{4}$": "%Y%m%d %H%M", r"^\d{8} ?\d{6}$": "%Y%m%d %H%M%S"}
_YEAR_LAST = r"^(\d{1,2})(\d\d)((?:19|20)\d\d)(?:\.0*)?$"
_NAMED_MONTHS = ("%d-%b-%Y", "%d-%B-%Y", "%b-%d-%Y", "%B-%d-%Y", "%d%b%Y")
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_MONTHS = {
    "Jan": "ene enero janv janvier januar jänner jän gen gennaio janeiro januari",
    "Feb": "febrero févr févier février fevr fevrier februar feber febbraio fev fevereiro februari",
    "Mar": "marzo mars märz mär mrz março marco mrt maart",
    "Apr": "abr abril avr avril aprile april",
    "May": "mayo mai maio mag maggio mei maj",
    "Jun": "junio juin juni giu giugno junho",
    "Jul": "julio juil juillet juli lug luglio julho",
    "Aug": "ago agosto août aout augustus augusti",
    "Sep": "septiembre setiembre sept set settembre septembre setembro",
    "Oct": "oct octubre octobre okt oktober ott ottobre out outubro",
    "Nov": "noviembre novembre novembro",
    "Dec": "dic diciembre déc dec décembre decembre dez dezember dicembre dezembro",
}
"""In English, and their other names in Spanish, French, German, Italian, Portuguese, Dutch and Swedish."""
_ENGLISH = {word: month for month, words in _MONTHS.items() for word in words.split()}
_LARGEST_DAY = 1_000_000
"""Days since the year 0 reach 740,000; a larger number counts something else."""
_DAYS_OF_CENTURIES = 100_000
_FIRST_YEAR, _LAST_YEAR = 1000, 2500
"""The parser takes fewer digits than four for a year of the first centuries; 2999 and 9999 stand for no date."""
_OTHER_CALENDARS = {(1250, 1500): "Iran or of Islam", (2501, 2600): "Thailand"}
"""Years of these days, and where they are counted."""
_FEWEST_SWAPPED = 5
"""Different dates of either form, below which it is chance that all have a day up to 12, or from 13 on."""
_NO_DATES = (
    *(date(1582, 10, 14), date(1582, 10, 15), date(1753, 1, 1), date(1800, 1, 1), date(1801, 1, 1)),
    *(date(1899, 12, 30), date(1899, 12, 31), date(1900, 1, 1)),
)
"""What databases, spreadsheets, HES and SPSS write for a date that is not known, or for the number 0. Other days of
long ago are read: MIMIC-III has the old born 300 years before they come."""
_FILLERS, _YEARS_ALONE = (date(1970, 1, 1), date(2099, 12, 31)), 5
"""Days that stand for no date where a column has no other within so many years."""
_REPEATS = 4
"""A column whose texts stand in it this often on average is read text by different text."""
_EPOCHS = ((18, "nanoseconds"), (15, "microseconds"), (12, "milliseconds"), (9, "seconds"))


_MONTH_NUMBERS = frozenset(f"{month:02}" for month in range(1, 13))
_TIDY = re.compile(r"\d{4}-[01]\d-[0-3]\d( (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)?")


_DATE_OF_ANY_FORM = r"^\d{1,4}[/. -]+(\d{1,2}|\pL{3,})[/., -]+\d{2,4}|^\pL{3,}[. -]+\d{1,2}[., -]+\d{4}"
"""Read or not."""


class UnreadableTimes(UserError):
    """A whole column of times that must not be guessed at; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """A column of times."""

    moments: pl.Series
    """Datetime; null where the text is none."""
    days: pl.Series | None = None
    """Float64: where the column holds plain numbers of days instead."""


def parse_times(
    values: pl.Series, date_format: str | None = None, day_first: bool | None = None, allow_days: bool = False
) -> Times:
    """`values`: texts without spaces around them, or null. `date_format`: of `strptime`, tried before any other.

    `day_first`: what another column of the table proves, used where this one proves nothing. `allow_days`: plain
    numbers are days. Raises UnreadableTimes where day and month cannot be told apart, or numbers count no days.
    """
    if not allow_days and len(distinct := values.unique(maintain_order=True)) * _REPEATS < len(values):
        moments = _parsed(distinct, date_format, day_first).moments
        times = Times(moments=values.replace_strict(distinct, moments, return_dtype=moments.dtype))
    else:
        times = _parsed(values, date_format, day_first, allow_days)
    if times.days is not None:
        return times
    _refuse_other_calendars(times.moments)
    return Times(moments=without_placeholders(times.moments))


def _parsed(values: pl.Series, date_format: str | None, day_first: bool | None, allow_days: bool = False) -> Times:
    """As `parse_times`, with dates that stand for none."""
    moments = _unknown(len(values))
    asked = None
    if date_format is not None:
        moments, asked = _as_moments(values, date_format), says_day_first(date_format)
    # As they stand first: tidying a million texts that need none costs more than reading them.
    moments = _filled(moments, _rest(values, moments), _ISO[:1])
    rest = _tidied(_rest(values, moments))
    moments = _filled(moments, rest, _ISO)
    if moments.null_count():
        midnight = _rest(rest, moments).str.extract(r"^(\d{4}-\d\d-\d\d) 24:00(?::00)?$")  # ISO 8601: the day's end
        moments = moments.fill_null(_as_moments(midnight, "%Y-%m-%d").dt.offset_by("1d"))
    for pattern, form in _COMPACT.items():
        if moments.null_count():
            # The parser would take 2020101 for a date as well.
            whole = pl.select(pl.when(rest.str.contains(pattern)).then(rest)).to_series()
            moments = _filled(moments, whole.str.replace(r"^(\d{8})(\d)", "${1} ${2}"), (form,))
    if moments.null_count():
        values = _with_marks(values, moments)
    if allow_days and (days := _as_days(values, moments, date_format)) is not None:
        return Times(moments=moments, days=days)
    rest = _rest(values, moments)
    if rest.null_count() < len(rest):
        texts = _dashed(_with_english_months(_tidied(rest)))
        moments = _filled(moments, texts, [day + clock for day in _NAMED_MONTHS for clock in _CLOCKS])
        moments = moments.fill_null(_numeric_dates(texts, day_first, asked))
    return Times(moments=moments)


def _with_marks(values: pl.Series, moments: pl.Series) -> pl.Series:
    """`31012023` as `31-01-2023`, where more of the values read so than begin with a year (`99991231`)."""
    may_end_so = values.str.contains(_YEAR_LAST).fill_null(False)
    year_first = values.str.contains(r"^\d{8}$") & moments.is_not_null() & ~may_end_so
    year_last = may_end_so & moments.is_null()
    if int(year_last.sum()) <= int(year_first.sum()):
        return values
    marked = values.str.replace(_YEAR_LAST, "${1}-${2}-${3}")
    return pl.select(pl.when(year_last).then(marked).otherwise(values)).to_series()


def completed_years(birth: pl.Expr, at: pl.Expr) -> pl.Expr:
    """The age at the time `at`, Int64; of who is born on 29 February a year begins on 1 March."""
    days = [time.dt.month().cast(pl.Int32) * 100 + time.dt.day() for time in (at, birth)]
    years = at.dt.year() - birth.dt.year() - (days[0] < days[1]).cast(pl.Int32)
    return years.cast(pl.Int64)


def read_otherwise(values: pl.Series, moments: pl.Series, date_format: str) -> int:
    """How many of `values`, which were read as `moments`, are not of `date_format`."""
    return int((_as_moments(values, date_format).is_null() & moments.is_not_null()).sum())


def says_day_first(date_format: str) -> bool | None:
    """Whether `date_format` has the day before the month; None where it shows neither, as with names of months."""
    day, month = (re.search(marks, date_format) for marks in ("%-?[de]", "%-?m"))
    return None if day is None or month is None else day.start() < month.start()


def without_placeholders(moments: pl.Series) -> pl.Series:
    """`moments` with null for dates that stand for none, as 1582-10-15, 1900-01-01 and 9999-12-31, and 1970-01-01 where
    nothing else is of those years."""
    days, years = moments.dt.date(), moments.dt.year()
    no_dates = [*_NO_DATES, *(day for day in _FILLERS if _stands_alone(day, days, years))]
    is_none = days.is_in(no_dates) | (years > _LAST_YEAR)
    return pl.select(pl.when(~is_none).then(moments)).to_series() if is_none.any() else moments


def _stands_alone(day: date, days: pl.Series, years: pl.Series) -> bool:
    """Whether no date but `day` lies around its year, and there are others."""
    others = years.filter((days != day).fill_null(False))
    return len(others) > 0 and not others.is_between(day.year - _YEARS_ALONE, day.year + _YEARS_ALONE).any()


def are_swapped(values: pl.Series) -> bool:
    """Whether a spreadsheet seems to have read day and month the wrong way round where that made a date, and left the
    others as they were: all dates that begin with the year have days up to 12, all others a number above 12."""
    texts = values.drop_nulls().unique()
    iso = texts.str.extract(r"^\d{4}-\d\d-(\d\d)").drop_nulls().cast(pl.Int32)
    others = texts.str.extract_groups(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}").struct.unnest().drop_nulls()
    if min(len(iso), others.height) < _FEWEST_SWAPPED or (iso > 12).any():
        return False
    return any(bool((column.cast(pl.Int32) > 12).all()) for column in others.get_columns())


@functools.lru_cache(maxsize=4096)
def iso_time(text: str, date_format: str | None = None) -> str:
    """One time as `2151-01-20 18:00:00`; empty where it is none, stands for none, or does not show whether its day
    comes first."""
    if _TIDY.fullmatch(text):
        is_usual = text[8:10] <= "28" and "1900-01-02" <= text < f"{_LAST_YEAR}"  # no parser is needed
        if is_usual and text[5:7] in _MONTH_NUMBERS and text[8:10] != "00":
            return text if len(text) > 10 else f"{text} 00:00:00"
    try:
        moment = parse_times(pl.Series([text]), date_format).moments[0]
    except UnreadableTimes:
        return ""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def proves_day_first(values: pl.Series) -> bool | None:
    """True or False where numbers above 12 show which comes first; None where nothing does.

    Raises UnreadableTimes where both are shown.
    """
    parts = _dashed(_tidied(values)).str.extract_groups(r"^(\d{1,2})-(\d{1,2})-\d{4}").struct.unnest()
    first, second = (parts[:, place].cast(pl.Int32) > 12 for place in (0, 1))
    if first.any() and second.any():
        raise UnreadableTimes("some begin with the day and some with the month; write all in one form, as 2020-01-31")
    return True if first.any() else False if second.any() else None


def _tidied(texts: pl.Series) -> pl.Series:
    """Without zone and fraction of a second, a space before the clock."""
    return (
        texts.str.replace(_NUMBER_AS_FLOAT, "${1}")
        .str.replace(_ZONE, "${1}")
        .str.replace(_ZONE_OF_DATE, "${1}")
        .str.replace(_FRACTION, "${1}")
        .str.replace(r"^(\d{4})[/.年](\d{1,2})[/.月](\d{1,2})日?", "${1}-${2}-${3}")
        .str.replace(_CLOCK_OF_DB2, "${1} ${2}:${3}:${4}")
        .str.replace(r"(\d), (\d{1,2}:\d\d)", "${1} ${2}")
        .str.replace(r" (\d{1,2})[hH](\d\d)$", " ${1}:${2}")
        .str.replace(r"(\d)[Tt](\d)", "${1} ${2}")
        .str.replace(r"^(\d{1,2}[A-Za-z]{3}\d{4}):", "${1} ")
        .str.replace(r"\s+", " ")
    )


def _dashed(texts: pl.Series) -> pl.Series:
    """The date's own separators as dashes: `31.1.2020`, `1/31/2020`, `31 Jan 2020`, `Jan 31, 2020`."""
    return texts.str.replace(r"^(\w+)[/. -]+(\w+)[/., -]+(\d{4})", "${1}-${2}-${3}")


def _with_english_months(texts: pl.Series) -> pl.Series:
    """`3-ENE-2020`, `3. März 2020` and `3 de marzo de 2020` as `3-Jan-2020`, `3 Mar 2020`; others as they are."""
    parts = (
        texts.str.replace_all(r"\bde[l ]? ", "").str.extract_groups(r"^([\d\s./-]*)(\pL{3,})\.?(.*)$").struct.unnest()
    )
    before, name, behind = parts.get_columns()
    month = name.str.to_lowercase().replace_strict(_ENGLISH, default=None, return_dtype=pl.String)
    return pl.select(pl.coalesce(before + month + behind, texts)).to_series()


def _rest(values: pl.Series, moments: pl.Series) -> pl.Series:
    """The values whose moment is null still; null at the other places."""
    if moments.null_count() == len(moments):
        return values
    return pl.select(pl.when(moments.is_null()).then(values)).to_series()


def _filled(moments: pl.Series, texts: pl.Series, forms: Sequence[str]) -> pl.Series:
    """`moments` with each null read from `texts` by the first of `forms` that fits."""
    for form in forms:
        if moments.null_count() == 0:
            break
        moments = moments.fill_null(_as_moments(texts, form))
    return moments


def _as_moments(texts: pl.Series, form: str) -> pl.Series:
    has_clock = any(mark in form for mark in ("%H", "%I", "%T", "%R", "%c"))
    try:
        if has_clock:
            moments = texts.str.to_datetime(form, strict=False, time_unit="us").dt.replace_time_zone(None)
        else:
            moments = texts.str.to_date(form, strict=False).cast(pl.Datetime("us"))
        return pl.select(pl.when(moments.dt.year() >= _FIRST_YEAR).then(moments)).to_series()
    except pl.exceptions.PolarsError:
        raise UnreadableTimes(f"--date-format {form!r} is no format of strptime, such as %d.%m.%Y") from None


def _refuse_other_calendars(moments: pl.Series) -> None:
    years = moments.dt.year().drop_nulls()
    for (first, last), where in _OTHER_CALENDARS.items():
        if 2 * int(years.is_between(first, last).sum()) > len(years):
            raise UnreadableTimes(
                f"its years look like those of {where}; write them as the Gregorian calendar has them"
            )


def _as_days(values: pl.Series, moments: pl.Series, date_format: str | None) -> pl.Series | None:
    """`values` as numbers of days, where more of them are numbers than dates."""
    numbers = values.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    num_numbers = len(numbers) - numbers.null_count()
    num_dates = int((moments.is_not_null() | values.str.contains(_DATE_OF_ANY_FORM).fill_null(False)).sum())
    if not num_numbers or num_numbers <= num_dates:
        return None
    reason = _why_no_days(numbers.drop_nulls()) or _why_no_decimals(values.filter(numbers.is_not_null()))
    if reason is not None:
        if date_format is not None and moments.null_count() == len(moments):
            raise UnreadableTimes(f"none of its values has the form {date_format} (--date-format)")
        raise UnreadableTimes(f"the numbers in it {reason}; give dates such as 2020-01-31, or numbers of days")
    return numbers


def _why_no_days(numbers: pl.Series) -> str | None:
    """What `numbers` look like that are no days; None where they can be."""
    largest = numbers.abs().max()
    whole = (numbers == numbers.floor()).all()
    assert isinstance(largest, float), "Float64, and at least one"
    if largest > _LARGEST_DAY:
        digits = len(f"{largest:.0f}")
        unit = next((name for length, name in _EPOCHS if digits > length), None)
        return f"look like {unit} since 1970" if unit else "are too large to be days"
    if whole and numbers.is_between(1900_01, 2100_12).all() and (numbers % 100).is_between(1, 12).all():
        return "look like years with months (YYYYMM)"
    if whole and numbers.is_between(1900, 2100).all():
        return "look like years"
    months, days = numbers // 100 % 100, numbers % 100
    if whole and largest >= _DAYS_OF_CENTURIES and months.is_between(1, 12).all() and days.is_between(1, 31).all():
        return "look like dates with two digits of the year (YYMMDD)"
    return None


def _why_no_decimals(texts: pl.Series) -> str | None:
    """1,000 and 1.000 beside 999 are thousands, where every number with a mark has three digits behind it."""
    marked = texts.filter(texts.str.contains(r"[.,]"))
    in_thousands = len(marked) and len(marked) < len(texts) and marked.str.contains(r"^-?\d{1,3}[.,]\d{3}$").all()
    return "seem to have marks between thousands" if in_thousands else None


def _unknown(length: int) -> pl.Series:
    return pl.repeat(None, length, dtype=pl.Datetime("us"), eager=True)


def _numeric_dates(texts: pl.Series, day_first: bool | None, asked: bool | None) -> pl.Series:
    """Dates of which day or month come first, which `asked` says for other dates of the column."""
    if not texts.str.contains(r"^\d{1,2}-\d{1,2}-\d{4}").any():
        return _unknown(len(texts))
    proof = proves_day_first(texts)
    if None not in (asked, proof) and asked != proof:
        begins = "month" if asked else "day"
        raise UnreadableTimes(f"--date-format is not that of all dates in it, some of which begin with the {begins}")
    first = next((known for known in (proof, asked, day_first) if known is not None), None)
    if first is None:
        raise UnreadableTimes(
            "it does not show whether the day or the month comes first; say so with --date-format, for example "
            "%d/%m/%Y or %m/%d/%Y"
        )
    day = "%d-%m-%Y" if first else "%m-%d-%Y"
    return _filled(_unknown(len(texts)), texts, [day + clock for clock in _CLOCKS])
