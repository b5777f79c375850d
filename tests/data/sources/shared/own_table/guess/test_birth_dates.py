"""Ages by the date or year of birth: the same cohort as by a column of ages, or a sentence that says what is wrong."""

import polars as pl
import pytest
from own_table import read_patients
from prepare_case import EVEN, every_row, run

from data.ledger import Ledger
from data.prepare.new_patients import read_new_patients
from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.table_columns import TableColumns

BORN = {"p1": "1960-03-05", "p2": "1950-12-31", "p3": "2020-02-29"}
VISITS = [
    ("2021-03-04", 60, 70, 1),
    ("2021-03-05 08:00", 61, 70, 1),
    ("2024-02-28", 63, 73, 3),
    ("2024-12-31", 64, 74, 4),
]
"""A day, and how old the three are then."""


def write(path, born=BORN.get, day="{}"):
    rows = [
        {"pid": pid, "day": day.format(time), "dx": "I10", "dob": born(pid), "age": ages[number]}
        for time, *ages in VISITS
        for number, pid in enumerate(BORN)
    ]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    return path


def ages_of(path, **columns):
    ledger = Ledger()
    columns = TableColumns(patient="pid", time="day", code="dx", **columns)
    patients = read_patients(path, columns, ledger, "icd10")
    return {patient.patient_id: [visit.age for visit in patient.visits] for patient in patients}, ledger.record()


def test_the_age_is_in_completed_years(tmp_path):
    path = write(tmp_path / "table.csv")
    by_birth, _ = ages_of(path, birth_date="dob")
    assert by_birth == ages_of(path, age="age")[0]
    assert by_birth["p3"] == [1, 1, 3, 4], "who is born on 29 February"


def test_forms_of_other_columns_prove_the_order_of_day_and_month(tmp_path):
    path = write(tmp_path / "table.csv", {"p1": "05.03.1960", "p2": "04.12.1950", "p3": "02.02.2020"}.get)
    table = pl.read_csv(path).with_columns(day=pl.lit("31.01.2021"))
    table.write_csv(path)
    assert ages_of(path, birth_date="dob")[0] == {"p1": [60], "p2": [70], "p3": [0]}


def test_of_a_year_alone_the_middle_counts(tmp_path):
    path = write(tmp_path / "table.csv", {"p1": 1960, "p2": 1950, "p3": 2020}.get)
    assert ages_of(path, birth_date="dob")[0] == {"p1": [60, 60, 63, 64], "p2": [70, 70, 73, 74], "p3": [0, 0, 3, 4]}
    stored = tmp_path / "table.parquet"
    pl.read_csv(path, try_parse_dates=True).with_columns(pl.col("day").cast(pl.String)).write_parquet(stored)
    assert ages_of(stored, birth_date="dob")[0]["p1"] == [60, 60, 63, 64]


def test_births_that_cannot_be_are_counted(tmp_path):
    path = write(tmp_path / "table.csv", {"p1": "2023-01-01", "p2": "1750-01-02", "p3": "1900-01-01"}.get)
    ages, record = ages_of(path, birth_date="dob")
    assert ages == {"p1": [None, None, 1, 1], "p2": [None] * 4, "p3": [None] * 4}
    assert record["changed"]["row whose age by the date of birth is below 0 or above 120, left out"] == 2 + 4
    assert record["unreadable"]["table.csv, dob"]["values"] == 4, "1900-01-01 stands for none"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--age", "age"), "--age and --birth-date say the same"),
        (("--time", "number"), "--birth-date needs times that are dates"),
    ],
)
def test_what_does_not_go_together(tmp_path, more, message):
    path = write(tmp_path / "table.csv")
    pl.read_csv(path).with_columns(number=pl.int_range(pl.len())).write_csv(path)
    columns = ("--patient", "pid", "--time", "day", "--code", "dx", "--code-system", "icd10", "--birth-date", "dob")
    with pytest.raises(ValueError, match=message):
        run("table", "--input", path, *columns, *more, "--output", tmp_path / "t")
    with pytest.raises(ValueError, match="--birth-date needs --time"):
        TableColumns(patient="pid", visit="day", code="dx", birth_date="dob")


def test_the_guess_takes_a_birth_where_there_is_no_age(tmp_path):
    path = write(tmp_path / "table.csv")
    assert guess_table(path, TableGuess()).birth_date is None
    pl.read_csv(path).drop("age").rename({"dob": "Geburtsdatum"}).write_csv(path)
    guess = guess_table(path, TableGuess())
    assert (guess.birth_date, guess.time) == ("geburtsdatum", "day")
    assert guess.as_options()[-2:] == ["--birth-date", "geburtsdatum"]


def test_tasks_and_new_patients_have_the_ages(tmp_path):
    path = write(tmp_path / "table.csv")
    everyone = pl.concat([pl.read_csv(path).with_columns(pid=pl.col("pid") + mark) for mark in "abcd"])
    everyone.write_csv(path)
    columns = ("--patient", "pid", "--time", "day", "--code", "dx", "--code-system", "icd10")
    (by_age,) = run("table", "--input", path, *columns, "--age", "age", "--output", tmp_path / "a", *EVEN)
    (by_birth,) = run("table", "--input", path, *columns, "--birth-date", "dob", "--output", tmp_path / "b", *EVEN)
    assert every_row(by_birth) == every_row(by_age)
    named = TableColumns(patient="pid", time="day", code="dx", birth_date="dob")
    new = read_new_patients(path, named, system="icd10cm")
    assert [row["age"] for row in new.rows] == [age for age in (64, 74, 4) for _ in "abcd"]
