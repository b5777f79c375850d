"""Columns by their meaning: what is read, what is counted, what is refused."""

import zipfile
from datetime import datetime

import polars as pl
import pytest

from data.ledger import Ledger
from data.table_files import meanings
from data.table_files.columns import ColumnForms, column, read_columns, without_nothing
from data.table_files.meanings import Meaning


def read(tmp_path, header, values, meaning, forms=None, name="table.csv"):
    """The column as read, and the ledger's record; every value stands quoted in a file of two columns."""
    path = tmp_path / name
    path.write_text("".join(f'"{value}",x\n' for value in [header, *values]), encoding="utf-8")
    ledger = Ledger()
    table = read_columns(path, [column("it", meaning, header=header)], ledger, forms)
    return table.rows["it"].to_list(), ledger.record()


@pytest.mark.parametrize(
    "nothing", ["", " ", "nan", "NaN", "None", "NULL", "null", "\\N", "NA", "<NA>", "NaT", ".", "?"]
)
@pytest.mark.parametrize("meaning", [Meaning.ID, Meaning.CODE, Meaning.TEXT, Meaning.AGE, Meaning.WHOLE, Meaning.FLAG])
def test_words_for_nothing_are_null_in_every_column(tmp_path, nothing, meaning):
    values, record = read(tmp_path, "v", ["1", nothing, f" {nothing} "], meaning)
    assert values[1:] == [None, None]
    assert values[0] is not None
    assert record["unreadable"] == {}


def test_dates_in_another_form_than_the_format_are_counted(tmp_path):
    values, record = read(
        tmp_path,
        "when",
        ["04.03.2020", "2020-03-04", "", "4 Mar 2020"],
        Meaning.TIME,
        ColumnForms(date_format="%d.%m.%Y"),
    )
    assert values[0] == values[1] == values[3] == datetime(2020, 3, 4)
    assert record["changed"] == {"date in when in another form than --date-format says": 2}


def test_dates_that_a_spreadsheet_has_swapped_are_refused(tmp_path):
    swapped = [f"2021-0{month}-{day:02}" for month in (3, 4) for day in (1, 7, 12)]
    left = [f"{day}/04/2021" for day in (13, 20, 25, 28, 30)]
    with pytest.raises(ValueError, match="a spreadsheet seems to have read the former with day and month the wrong"):
        read(tmp_path, "when", [*swapped, *left], Meaning.TIME)
    for more in (["2021-05-13"], []):
        kept = [*swapped, *more, *left[: 5 if more else 4]]
        assert None not in read(tmp_path, "when", kept, Meaning.TIME)[0]
    assert None not in read(tmp_path, "when", [*swapped, *left, "05/04/2021"], Meaning.TIME)[0]


def test_a_source_whose_days_come_first_needs_no_format(tmp_path):
    for day_first, day in ((True, datetime(2020, 3, 4)), (False, datetime(2020, 4, 3))):
        assert read(tmp_path, "when", ["04.03.2020"], Meaning.TIME, ColumnForms(day_first=day_first))[0] == [day]
    values, _ = read(tmp_path, "when", ["04.03.2020", "31.03.2020"], Meaning.TIME, ColumnForms(day_first=False))
    assert values[0] == datetime(2020, 3, 4)


def test_a_word_that_begins_like_nothing_is_kept():
    kept = ["nancy", "nausea", "nullipara", "N", "a.", "none of these"]
    assert without_nothing(pl.Series(kept)).to_list() == kept


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("12.0", 12),
        ("12.", 12),
        ("12,0", 12),
        ("012", 12),
        ("-3", -3),
        ("+3.00", 3),
        ("0", 0),
        ("1e+05", 100_000),
        ("1.5E2", None),
        ("12.5", None),
        ("1,000", None),
        ("1.000", None),
        ("1 2", None),
        ("1.23e+07", None),
        ("twelve", None),
    ],
)
def test_whole_numbers(tmp_path, text, number):
    values, record = read(tmp_path, "seq", ["7", text], Meaning.WHOLE)
    assert values == [7, number]
    unreadable = record["unreadable"].get("table.csv, seq", {"values": 0})
    assert unreadable["values"] == (number is None)


def test_forms_are_shown_masked_and_values_never(tmp_path):
    values, record = read(tmp_path, "seq", ["1", "Smith-7", "Jones-8", "x"], Meaning.WHOLE)
    assert values == [1, None, None, None]
    assert record["unreadable"] == {
        "table.csv, seq": {"meaning": "a whole number", "values": 3, "forms": ["Aaaaa-9", "a"]}
    }


def test_a_column_of_which_nothing_can_be_read_ends_the_run(tmp_path):
    message = r"table.csv: column seq: none of its 2 values is a whole number; they look like Aaaaa, aaa"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "seq", ["Smith", "abc", ""], Meaning.WHOLE)


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        (["1000", "1000.0", "02000", "1e3"], ["1000", "1000", "02000", "1000"]),
        (["0", "0.0"], ["0", "0"]),
        (["A1", "01000", "1000", "1000.0"], ["A1", "01000", "1000", "1000"]),
        (["000123", "000007"], ["000123", "000007"]),
        (["12345678901234567890", "12345678901234567890.0"], ["12345678901234567890"] * 2),
        (["1.000", "1"], ["1.000", "1"]),
        (["002-1234", "2-1234"], ["002-1234", "2-1234"]),
        # Hexadecimal ids may look like numbers with an exponent.
        (["1234567890123E45", "00AB"], ["1234567890123E45", "00AB"]),
    ],
)
def test_an_id_has_one_spelling(tmp_path, values, read_as):
    assert read(tmp_path, "pid", values, Meaning.ID)[0] == read_as


def test_respelled_ids_are_counted_and_lossy_ones_refused(tmp_path):
    values, record = read(tmp_path, "pid", ["1000", "1000.0", "01000", "0"], Meaning.NUMBER_ID)
    assert values == ["1000", "1000", "1000", "0"]
    assert record["changed"] == {"id in pid read as a number (1000.0 and 01000 are 1000)": 2}
    with pytest.raises(ValueError, match="pid has 2 ids that differ from another in zeros in front alone, as 007"):
        read(tmp_path, "pid", ["1000", "1000.0", "01000", "001000", "7"], Meaning.ID)
    with pytest.raises(ValueError, match="pid has 1 ids that differ from another in the case of letters alone, as a7"):
        read(tmp_path, "pid", ["A001X", "a001x", "B002X"], Meaning.ID)
    pseudonyms = [f"{row:x}Zz" for row in range(500)]
    assert read(tmp_path, "pid", [*pseudonyms, "7zz"], Meaning.ID)[0] == [*pseudonyms, "7zz"], "once by chance"
    _, record = read(tmp_path, "pid", ["1000", "1000.0", "02000"], Meaning.ID)
    assert record["changed"] == {"id in pid read as a number (1000.0 is 1000)": 1}
    with pytest.raises(ValueError, match=r"column pid holds ids as 9.99A\+99, which have lost digits"):
        read(tmp_path, "pid", ["10", "1.23E+07"], Meaning.NUMBER_ID)


@pytest.mark.parametrize(
    ("woman", "man"),
    [
        ("F", "M"),
        ("Female", "male"),
        ("weiblich", "männlich"),
        ("w", "m"),
        ("femme", "homme"),
        ("Mujer", "Hombre"),
        ("Mujer", "Varón"),
        ("donna", "uomo"),
        ("kvinna", "man"),
        ("8532", "8507"),
        ("8532.0", "8507.0"),
        ("2", "1"),
        ("2.0", "1.0"),
        ("F", "H"),
    ],
)
def test_sex_in_the_words_of_many(tmp_path, woman, man):
    assert read(tmp_path, "sex", [woman, man, "", "unknown"], Meaning.SEX)[0] == ["F", "M", None, None]


@pytest.mark.parametrize("values", [["1", "0"], ["0", "1", "2"], ["H", "M"], ["V", "M"], ["F", "M", "Q7"], ["1"]])
def test_a_sex_is_never_guessed(tmp_path, values):
    with pytest.raises(ValueError, match=r"column sex holds values that do not say whether .*rows.*--sex-values F="):
        read(tmp_path, "sex", values, Meaning.SEX)


def test_the_user_says_what_a_sex_means(tmp_path):
    forms = ColumnForms(sex_values=meanings.parse_sex_values("F=M, M=h"))
    assert read(tmp_path, "sex", ["M", "H", "m"], Meaning.SEX, forms)[0] == ["F", "M", "F"]
    forms = ColumnForms(sex_values=meanings.parse_sex_values("F=1,M=0"))
    assert read(tmp_path, "sex", ["1.0", "0", "0.0"], Meaning.SEX, forms)[0] == ["F", "M", "M"]
    forms = ColumnForms(sex_values=meanings.parse_sex_values("F=1,M=2,U=Inter,u=9"))
    assert read(tmp_path, "sex", ["1", "2", "INTER", "9"], Meaning.SEX, forms)[0] == ["F", "M", None, None]
    for wrong in ("woman=F", "F", "F=", "X=1"):
        with pytest.raises(ValueError, match="--sex-values must look like F=woman,M=man"):
            meanings.parse_sex_values(wrong)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("67", 67),
        ("67.0", 67),
        ("67,5", 67),
        (">89", 90),
        ("> 89", 90),
        ("90+", 90),
        ("90 or older", 90),
        ("90 years and over", 90),
        ("≥90", 90),
        ("<1", 0),
        ("[60-70)", 65),
        ("60-69", 65),
        ("67 years", 67),
        ("67y", 67),
        ("067Y", 67),
        ("67 Jahre", 67),
        ("18 months", 1),
        ("67a", 67),
        ("67 ans", 67),
        ("14 meses", 1),
        ("5 mois", 0),
        ("12 jours", 0),
        ("400 Tage", 1),
        ("0", 0),
        ("120", 120),
        ("121", None),
        ("300", None),
        ("-1", None),
        ("old", None),
    ],
)
def test_ages(tmp_path, text, years):
    values, record = read(tmp_path, "age", ["50", text], Meaning.AGE)
    assert values == [50, years]
    assert bool(record["unreadable"]) == (years is None)


def test_an_age_may_come_with_the_sex(tmp_path):
    assert read(tmp_path, "age", ["45F", "45M", "61 / m", "7 months"], Meaning.AGE)[0] == [45, 45, 61, 0]
    assert read(tmp_path, "age", ["45M", "6 m", "3"], Meaning.AGE)[0] == [3, 0, 3]  # months, where no woman's is there
    assert read(tmp_path, "age", ["45w", "71m", "82w"], Meaning.AGE)[0] == [45, 71, 82]  # weiblich, männlich
    assert read(tmp_path, "age", ["45w", "18m", "2"], Meaning.AGE)[0] == [0, 1, 2]


def test_ids_lose_what_cannot_be_seen(tmp_path):
    values, record = read(tmp_path, "pid", ["P1\u200b", "P\u20601", "P1", "P\u00ad2 "], Meaning.ID)
    assert values == ["P1", "P1", "P1", "P2"]
    assert record["changed"] == {"id in pid with invisible characters, left out": 3}


@pytest.mark.parametrize("text", ["1", "1.0", "True", "true", "y", "Yes", "2", "?!"])
def test_flags_that_are_set(text):
    assert meanings.is_true(text)


@pytest.mark.parametrize("text", ["", "0", "0.0", "False", "n", "no", "nan", "NULL"])
def test_flags_that_are_not(text):
    assert not meanings.is_true(text)


def test_numeric_columns_of_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"pid": [1000.0, None, float("nan")], "seq": [1.0, 2.0, None], "dx": [4019, 389, 845]}).write_parquet(
        path
    )
    ledger = Ledger()
    wanted = [column("pid", Meaning.ID), column("seq", Meaning.WHOLE)]
    table = read_columns(path, wanted, ledger)
    assert table.rows["pid"].to_list() == ["1000", None, None]
    assert table.rows["seq"].to_list() == [1, 2, None]
    with pytest.raises(
        ValueError, match=r"column dx is stored as numbers, so codes have lost their zeros.*export it as text"
    ):
        read_columns(path, [column("dx", Meaning.CODE)], ledger)


def test_floats_too_large_to_be_exact_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"pid": [2.0**53 + 2]}).write_parquet(path)
    with pytest.raises(ValueError, match="column pid holds whole numbers too large"):
        read_columns(path, [column("pid", Meaning.ID)], Ledger())


def test_a_parquet_file_that_is_none_is_not_quoted(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_text("Smith,HIV\n")
    with pytest.raises(ValueError, match=r"t.parquet is not a valid Parquet file; write or copy it again$"):
        read_columns(path, [column("pid", Meaning.ID)], Ledger())


def test_one_column_may_mean_two_things(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id\n007\n8.0\n")
    table = read_columns(path, [column("id", Meaning.NUMBER_ID), column("order", Meaning.WHOLE, header="id")], Ledger())
    assert table.rows.rows() == [("7", 7), ("8", 8)]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,5", "12,25", "1,000"], [1.5, 12.25, 1.0]),
        (["1,000", "12,500", "7"], [None, None, 7.0]),
        (["1,5", "1.000"], [1.5, None]),
        (["1.000", "2.5"], [1.0, 2.5]),
        (["-0,125", "3,75"], [-0.125, 3.75]),
    ],
)
def test_a_comma_is_decimal_where_the_column_shows_it(texts, values):
    assert list(meanings.numbers(texts).values()) == values


@pytest.mark.parametrize(
    ("header", "sexes", "is_refused"),
    [("sexo", "MMM", True), ("Género", "MM", True), ("sexo", "MF", False), ("sexo", "MH", True), ("sex", "MM", False)],
)
def test_a_lone_m_in_spanish_may_be_a_woman(tmp_path, header, sexes, is_refused):
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *sexes]), encoding="utf-8")
    wanted = [column("sex", Meaning.SEX, header=header)]
    if is_refused:
        with pytest.raises(ValueError, match=r"do not say whether they mean F or M: A .*--sex-values F=...,M=..."):
            read_columns(path, wanted, Ledger())
        said = ColumnForms(sex_values={"m": "F", "h": "M"})
        assert read_columns(path, wanted, Ledger(), said).rows["sex"].to_list()[0] == "F"
    else:
        assert read_columns(path, wanted, Ledger()).rows["sex"].to_list()[0] == "M"


def test_a_read_me_beside_the_table_in_a_zip_is_none(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "a table")
        archive.writestr("table.csv", "n\n7\n")
    assert read_columns(path, [column("n", Meaning.WHOLE)], Ledger()).rows["n"].to_list() == [7]
