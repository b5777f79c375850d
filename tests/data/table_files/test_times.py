"""Dates and times as other tools write them."""

from datetime import datetime

import polars as pl
import pytest

from data.ledger import Ledger
from data.table_files.columns import ColumnForms, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.times import UnreadableTimes, iso_time, parse_times

MOMENT = datetime(2020, 3, 4, 5, 6, 7)
MIDNIGHT = datetime(2020, 3, 4)


def moments(*texts, **options):
    return parse_times(pl.Series(list(texts), dtype=pl.String), **options).moments.to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2020-03-04 05:06:07",
        "2020-03-04T05:06:07",
        "2020-03-04T05:06:07Z",
        "2020-03-04 05:06:07 UTC",
        "2020-03-04 05:06:07 CEST",
        "2020-03-04 05:06:07.000",
        "2020-03-04T05:06:07.123456Z",
        "2020-03-04T05:06:07+01:00",
        "2020-03-04 05:06:07-0500",
        "2020-03-04 05:06:07+00",
        "2020/03/04 05:06:07",
        "20200304 050607",
        "20200304T050607Z",
        "20200304050607",
        "20200304050607.0",
        "04-Mar-2020 05:06:07",
        "04MAR2020:05:06:07",
    ],
)
def test_one_moment_in_many_forms(text):
    assert moments(text) == [MOMENT]
    assert iso_time(text) == "2020-03-04 05:06:07"


@pytest.mark.parametrize(
    "text",
    [
        "2020-03-04",
        "2020/03/04",
        "20200304",
        "20200304.0",
        "2020-3-4",
        "2020-03-04Z",
        "4 March 2020",
        "Mar 4, 2020",
        "04MAR2020",
    ],
)
def test_one_day_in_many_forms(text):
    assert moments(text) == [MIDNIGHT]


@pytest.mark.parametrize("text", ["2020-03-03 24:00:00", "2020-03-03T24:00", "2020-03-03T24:00:00Z"])
def test_the_end_of_a_day_is_the_start_of_the_next(text):
    """ISO 8601 had both, until its edition of 2019."""
    assert moments(text, "2020-03-04 05:06:07") == [MIDNIGHT, MOMENT]
    assert iso_time(text) == "2020-03-04 00:00:00"
    assert moments("2020-12-31 24:00:00", "2020-12-31 24:00:01") == [datetime(2021, 1, 1), None]


@pytest.mark.parametrize(
    "text", ["2020-13-01", "2020101", "202001", "4.3.20", "yesterday", "2020-03-04 25:00:00", "12"]
)
def test_what_is_no_time_is_null(text):
    assert moments("2020-03-04", text) == [MIDNIGHT, None]


@pytest.mark.parametrize("mark", ["/", ".", "-"])
def test_the_column_proves_whether_the_day_comes_first(mark):
    day_first = [text.replace("/", mark) for text in ("04/03/2020", "31/01/2020")]
    assert moments(*day_first) == [MIDNIGHT, datetime(2020, 1, 31)]
    month_first = [text.replace("/", mark) for text in ("03/04/2020 5:06", "01/31/2020 11:59 PM")]
    assert moments(*month_first) == [datetime(2020, 3, 4, 5, 6), datetime(2020, 1, 31, 23, 59)]


def test_without_a_proof_the_user_is_asked():
    with pytest.raises(UnreadableTimes, match="whether the day or the month comes first; say so with --date-format"):
        moments("04/03/2020", "01/02/2020")
    assert moments("04/03/2020", date_format="%d/%m/%Y") == [MIDNIGHT]
    assert moments("03/04/2020", date_format="%m/%d/%Y") == [MIDNIGHT]
    assert moments("04/03/2020", day_first=True) == [MIDNIGHT]


def test_a_column_in_two_orders_is_refused():
    with pytest.raises(UnreadableTimes, match="some begin with the day and some with the month"):
        moments("31/01/2020", "01/31/2020")


def test_days_and_years_without_a_mark_between():
    """French exports have `31012020`, and a number of them has lost its zero."""
    assert moments("31012020", "04032020") == [datetime(2020, 1, 31), MIDNIGHT]
    assert moments("31012020.0", "4032020.0") == [datetime(2020, 1, 31), MIDNIGHT]
    assert moments("01312020", "03042020") == [datetime(2020, 1, 31), MIDNIGHT]
    assert moments("04032020", date_format="%d%m%Y") == [MIDNIGHT]
    assert moments("31012020", "4032020", "99991231") == [datetime(2020, 1, 31), MIDNIGHT, None]
    assert moments("04032020", "4032020", date_format="%d%m%Y") == [MIDNIGHT, MIDNIGHT]
    assert moments("20200304", "31012020") == [MIDNIGHT, None]
    assert parse_times(pl.Series(["31012020", "04032020"]), allow_days=True).days is None
    with pytest.raises(UnreadableTimes, match="whether the day or the month comes first"):
        moments("04032020", "03042020")


def test_a_format_that_nothing_has_is_named():
    with pytest.raises(UnreadableTimes, match=r"none of its values has the form %d.%m.%y \(--date-format\)"):
        parse_times(pl.Series(["99112233", "99112234"]), "%d.%m.%y", allow_days=True)


def test_a_format_of_ones_own():
    assert moments("4|3|2020 5h06", date_format="%d|%m|%Y %Hh%M") == [datetime(2020, 3, 4, 5, 6)]
    assert moments("2020-03-04", date_format="%d.%m.%Y") == [MIDNIGHT]
    with pytest.raises(ValueError, match=r"--date-format must be a format of strptime, as %d.%m.%Y, got 'day'"):
        ColumnForms(date_format="day")


@pytest.mark.parametrize("days", [["1", "30.5", "400"], ["43831", "43832", None], ["0", "12,5"], ["-3", "0"]])
def test_numbers_are_days_where_they_may_be(days):
    times = parse_times(pl.Series(days), allow_days=True)
    assert times.days.to_list() == [None if day is None else float(day.replace(",", ".")) for day in days]


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (["1577836800", "1577923200"], "look like seconds since 1970"),
        (["1577836800000"], "look like milliseconds since 1970"),
        (["1577836800000000"], "look like microseconds since 1970"),
        (["202001", "202012"], r"look like years with months \(YYYYMM\)"),
        (["2019", "2020"], "look like years"),
    ],
)
def test_numbers_that_are_no_days_are_refused_with_the_reason(numbers, reason):
    with pytest.raises(UnreadableTimes, match=f"the numbers in it {reason}"):
        parse_times(pl.Series(numbers), allow_days=True)


def test_numbers_are_no_days_where_none_are_asked_for():
    assert moments("12", "13") == [None, None]


def test_nothing_and_empty_columns():
    assert moments(None, None) == [None, None]
    assert moments() == []
    assert iso_time("04/03/2020") == ""


@pytest.mark.parametrize("day_first", [True, False])
@pytest.mark.parametrize("date_format", [None, "%d|%m|%Y"])
def test_a_column_that_repeats_itself_is_read_as_each_of_its_texts(date_format, day_first):
    texts = ["2020-03-04 05:06:07", None, "04/03/2020", "20200304", "5|3|2020", "no time", "4 March 2020 11:30 PM"]
    every = moments(*texts, date_format=date_format, day_first=day_first)
    repeated = parse_times(pl.Series("when", texts * 50), date_format, day_first).moments
    assert repeated.name == "when"
    assert repeated.to_list() == every * 50
    assert every[0] == MOMENT
    assert every[2] == (MIDNIGHT if day_first or date_format else datetime(2020, 4, 3))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("202003040506", datetime(2020, 3, 4, 5, 6)),
        ("2020.03.04", MIDNIGHT),
        ("2020.3.4 5:06", datetime(2020, 3, 4, 5, 6)),
        ("2020年3月4日", MIDNIGHT),
        ("04.03.2020, 05:06", datetime(2020, 3, 4, 5, 6)),
        ("04/03/2020 5h06", datetime(2020, 3, 4, 5, 6)),
        ("2020-03-04-05.06.07.000000", MOMENT),
    ],
)
def test_clocks_and_dates_of_other_places(text, moment):
    assert moments(text, day_first=True) == [moment]
    assert parse_times(pl.Series([text]), day_first=True, allow_days=True).moments.to_list() == [moment]


def test_dates_that_stand_for_none():
    none = ["1801-01-01", "1800-01-01", "1582-10-15", "1582-10-14"]
    of_the_old = datetime(1801, 5, 1)  # a birth in MIMIC-III
    assert moments("2020-03-04", "1801-05-01", *none) == [MIDNIGHT, of_the_old, None, None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        *("2020-02-31", "2020-19-39", "2020-00-10", "2020-01-00", "2021-02-29", "0013-01-02"),
        *("1899-12-30", "1900-01-01", "9999-12-31", "2999-01-01"),
        *("2020-02-29", "2020-12-31 23:59:59", "1900-01-02", "1801-05-01", "2020-06-30"),
    ],
)
def test_one_time_is_read_as_a_column_of_it(text):
    (moment,) = moments(text)
    assert iso_time(text) == ("" if moment is None else str(moment))


@pytest.mark.parametrize(("year", "where"), [("1400", "Iran"), ("2566", "Thailand")])
def test_years_of_another_calendar_are_refused(year, where):
    with pytest.raises(UnreadableTimes, match=f"look like those of {where}.*; write them as the Gregorian"):
        moments(f"{year}-03-04", f"{year}-05-04", "2020-03-04")
    assert moments(f"{year}-03-04", "2020-03-04", "2021-03-04")[1] == MIDNIGHT
    assert moments(*["2020-03-04"] * 98, f"{year}-03-04", f"{year}-05-04")[0] == MIDNIGHT, "two are slips"


def test_a_format_says_what_comes_first_in_other_dates_of_the_column():
    read = moments("04/03/2020", "04/03/2020 05:06:07", date_format="%d/%m/%Y", day_first=False)
    assert read == [MIDNIGHT, MOMENT]
    assert moments("03-04-2020", date_format="%m/%d/%Y") == [MIDNIGHT]
    with pytest.raises(UnreadableTimes, match="not that of all dates in it, some of which begin with the month"):
        moments("04/03/2020", "12/31/2020", date_format="%d/%m/%Y")
    assert moments("Mar 4 2020", "04/03/2020", date_format="%b %d %Y", day_first=True) == [MIDNIGHT, MIDNIGHT]


def test_a_column_that_repeats_itself_is_refused_as_its_texts_are():
    with pytest.raises(UnreadableTimes, match="does not show whether the day or the month comes first"):
        parse_times(pl.Series(["04/03/2020", "05/03/2020"] * 50))


@pytest.mark.parametrize(
    "text", ["17-07-21", "13-01-23 10:00", "1-2-3", "17-JUL-99", "24 Apr 00", "04MAR23", "7/13/21"]
)
def test_a_year_of_two_digits_is_not_read(text):
    """The parser would take 13-01-23 for a day of the year 13, and put it before all others."""
    assert moments(text, "2020-03-04") == [None, MIDNIGHT]


def test_a_year_of_two_digits_is_read_where_its_format_is_said():
    assert moments("04-03-20", "04-MAR-20", date_format="%d-%m-%y") == [MIDNIGHT, None]
    assert moments("04-MAR-20", date_format="%d-%b-%y") == [MIDNIGHT]


def test_numbers_that_are_dates_of_six_digits_are_refused():
    with pytest.raises(UnreadableTimes, match=r"look like dates with two digits of the year \(YYMMDD\)"):
        parse_times(pl.Series(["210717", "220424", "000113"]), allow_days=True)
    days = parse_times(pl.Series(["10203", "11231", "99999"]), allow_days=True).days
    assert days.to_list() == [10203, 11231, 99999]


@pytest.mark.parametrize(
    "text",
    [
        "04-MAR-2020",
        "4. März 2020",
        "4 de marzo de 2020",
        "4 mars 2020",
        "04/mrz/2020",
        "4 MARZO 2020",
        "04-março-2020",
    ],
)
def test_months_in_other_languages(text):
    assert moments(text) == [MIDNIGHT]


def test_a_whole_year_of_an_export_in_spanish_is_read():
    """Of English names alone seven months would be left."""
    names = ["ENE", "FEB", "MAR", "ABR", "MAY", "JUN", "JUL", "AGO", "SEP", "OCT", "NOV", "DIC"]
    assert [each.month for each in moments(*(f"15-{name}-2020 07:30:00" for name in names))] == list(range(1, 13))


def test_dates_that_stand_for_none_are_none(tmp_path):
    written = [
        "1900-01-01",
        "9999-12-31",
        "1899-12-30 00:00:00",
        "01/01/1753",
        "2999-12-31",
        "1900-01-02",
        "2150-06-01",
    ]
    expected = [None] * 5 + [datetime(1900, 1, 2), datetime(2150, 6, 1)]
    assert moments(*written, date_format="%m/%d/%Y") == expected
    path, ledger = tmp_path / "t.parquet", Ledger()
    pl.DataFrame({"when": [datetime(9999, 12, 31), MIDNIGHT]}).write_parquet(path)
    table = read_columns(path, [column("when", Meaning.TIME)], ledger)
    assert table.rows["when"].to_list() == [None, MIDNIGHT]
    assert ledger.record()["unreadable"]["t.parquet, when"]["values"] == 1


@pytest.mark.parametrize("filler", ["1970-01-01", "2099-12-31"])
def test_a_day_of_other_years_than_all_others_stands_for_none(filler):
    there = ["2019-05-01", "2021-02-03", filler, filler]
    assert moments(*there) == [datetime(2019, 5, 1), datetime(2021, 2, 3), None, None]
    assert moments(filler) == [datetime.fromisoformat(filler)], "nothing else says what it is"
    near = f"{int(filler[:4]) - 4}-07-01"
    assert None not in moments(*there, near)


@pytest.mark.parametrize("other", ["0", "44562"])
def test_some_numbers_do_not_make_days_of_a_column_of_dates(other):
    texts = [*(f"{day}.01.2023" for day in range(13, 29)), *[other] * 5]
    times = parse_times(pl.Series(texts), allow_days=True)
    assert times.days is None
    assert times.moments.null_count() == 5


def test_what_another_column_proves_is_counted(tmp_path):
    path, ledger = tmp_path / "t.csv", Ledger()
    path.write_text("born,admitted\n31/12/1950,02/03/2020\n01/02/1960,05/06/2020\n")
    columns = [column("born", Meaning.BIRTH), column("admitted", Meaning.TIME_OR_DAYS)]
    rows = read_columns(path, columns, ledger).rows
    assert rows["admitted"].to_list() == [datetime(2020, 3, 2), datetime(2020, 6, 5)]
    said = "date in admitted read with the day or the month first as in another column"
    assert ledger.record()["changed"] == {said: 2}
