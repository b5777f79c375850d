"""A table of one's own in the forms that other tools write: the same task, or a clear no."""

import csv
import io
from datetime import date, timedelta

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_table import read_patients
from prepare_case import EVEN, accounting, assert_adds_up, dropped, every_row, example_of, run, write_csv
from ready_python import run_ready

from data.cohorts.cohort import Patient
from data.ledger import Ledger
from data.sources.shared.own_table.table_columns import TableColumns
from data.table_files.columns import ColumnForms
from mera.root import ROOT

COLUMNS = TableColumns(patient="pid", visit="vid", time="day", code="dx", position="seq", sex="sex", age="age")
OPTIONS = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")
CODES = ["E11.9", "I10", "J18.9", "N17.9", "I50.9", "E78.5"]
COLUMN_OPTIONS = ("--patient", "Person", "--visit", "Stay", "--time", "when", "--code", "Dx", "--code-system", "icd10")
ROW = ["pid", "vid", "day", "dx", "seq", "sex", "age"]


def small_table(change=lambda row: row):
    """A dozen patients with two visits of two codes each; `change` alters a row, given as a dict of texts."""
    for patient in range(1, 13):
        for visit in (1, 2):
            for seq in (1, 2):
                yield change(
                    {
                        "pid": f"{patient}",
                        "vid": f"{patient}{visit}",
                        "day": f"2020-0{visit}-{10 + patient}",
                        "dx": CODES[(patient + visit * seq) % len(CODES)],
                        "seq": f"{seq}",
                        "sex": "FM"[patient % 2],
                        "age": f"{40 + patient}",
                    }
                )


def write_table(path, rows):
    rows = list(rows)
    return write_csv(path, [list(rows[0]), *(list(row.values()) for row in rows)])


def prepared(tmp_path, change=lambda row: row, *more):
    source = write_table(tmp_path / "table.csv", small_table(change))
    return run("table", "--input", source, *OPTIONS, *EVEN, "--output", tmp_path / "task", *more)[0]


values = st.fixed_dictionaries(
    {
        "pid": st.integers(1, 6),
        "vid": st.integers(1, 3),
        "dx": st.sampled_from([*CODES, None]),
        "seq": st.one_of(st.none(), st.integers(1, 30)),
        "sex": st.sampled_from(["F", "M", None]),
        "age": st.one_of(st.none(), st.integers(0, 100)),
    }
)


def as_pandas(rows, path):
    """Numbers become floats as soon as one is missing."""
    pd.DataFrame(rows).to_csv(path, index=False)


def as_pandas_texts(rows, path):
    pd.DataFrame(rows).astype(str).to_csv(path, index=True)


def as_polars(rows, path):
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)


def as_parquet(rows, path):
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


def as_pandas_parquet(rows, path):
    pd.DataFrame(rows).to_parquet(path)


def as_excel(rows, path):
    """A German spreadsheet: byte order mark, semicolons, decimal commas, its own dates, Windows line ends."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(ROW)
    for row in rows:
        numbers = {name: row[name] if row[name] is None else f"{row[name]},0" for name in ("seq", "age")}
        writer.writerow((row | numbers | {"day": f"{date.fromisoformat(row['day']):%d.%m.%Y}"})[name] for name in ROW)
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())


def as_r(rows, path):
    """write.csv: row names, quoted texts and headers, NA."""
    lines = [",".join(f'"{name}"' for name in ["", *ROW])]
    for number, row in enumerate(rows, start=1):
        cells = (
            "NA" if row[name] is None else f'"{row[name]}"' if isinstance(row[name], str) else f"{row[name]}"
            for name in ROW
        )
        lines.append(f'"{number}",' + ",".join(cells))
    path.write_text("\n".join(lines) + "\n")


def cohort(path, forms=None):
    ledger = Ledger()
    patients = read_patients(path, COLUMNS, ledger, "icd10", forms=forms)
    return patients, ledger.record()["accounting"]


@settings(deadline=None, max_examples=40)
@given(table=st.lists(values, min_size=2, max_size=25))
@pytest.mark.parametrize(
    "write",
    [as_pandas, as_pandas_texts, as_polars, as_parquet, as_pandas_parquet, as_excel, as_r],
    ids=lambda w: w.__name__,
)
def test_every_writer_gives_the_same_cohort(tmp_path_factory, write, table):
    # The first day shows that days come first; a code is there, or nothing could be read at all.
    first = date(2020, 1, 28)
    rows = [
        {**row, "pid": row["pid"] + 1000, "vid": row["vid"] + row["pid"] * 10}
        | {"day": (first + timedelta(days=row["vid"] + row["pid"])).isoformat()}
        for row in [{**table[0], "dx": "I10", "vid": 1, "pid": 1}, {**table[1], "seq": 1, "age": 5}, *table[2:]]
    ]
    rows = [{name: row[name] for name in ROW} for row in rows]
    folder = tmp_path_factory.mktemp("forms")
    plain = write_csv(folder / "plain.csv", [ROW, *([row[name] for name in ROW] for row in rows)])
    written = folder / ("other.parquet" if "parquet" in write.__name__ else "other.csv")
    write(rows, written)
    expected, other = cohort(plain), cohort(written)
    assert other == expected
    assert all(isinstance(patient, Patient) for patient in expected[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"pid": row["pid"] + (".0" if row["vid"].endswith("1") else "")},
        lambda row: row | {"vid": row["vid"] + ".000000"},
        lambda row: row | {"day": row["day"] + "T10:00:00Z"},
        lambda row: row | {"day": "{1}/{2}/{0}".format(*row["day"].split("-"))},
        lambda row: row | {"age": f"{row['age']} years", "sex": {"F": "mujer", "M": "hombre"}[row["sex"]]},
    ],
    ids=["float-ids", "float-visits", "iso-times", "us-dates", "words"],
)
def test_other_spellings_give_the_same_examples(tmp_path, change):
    options = ("--position", "seq", "--sex", "sex", "--age", "age")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = every_row(prepared(tmp_path / "a", lambda row: row, *options))
    assert every_row(prepared(tmp_path / "b", change, *options)) == expected


def test_what_cannot_be_read_is_in_the_account(tmp_path, capsys):
    def change(row):
        return row | {"day": "soon" if row["vid"] == "11" else row["day"], "age": "n.k." if row["pid"] == "2" else "50"}

    task = prepared(tmp_path, change, "--age", "age")
    assert_adds_up(task)
    assert task.info["unreadable"] == {
        "table.csv, age": {"meaning": "an age", "values": 4, "forms": ["a.a."]},
        "table.csv, day": {"meaning": "a date, a time or a number of days", "values": 2, "forms": ["aaaa"]},
    }
    assert accounting(task)["visits"]["dropped"]["without a usable time"] == 1
    assert accounting(task)["patients"]["dropped"] == {"fewer than 2 visits": 1}
    printed = " ".join(capsys.readouterr().out.split())
    assert "4 values of table.csv, age are not an age; they look like a.a." in printed
    assert "1 without a usable time" in printed


@pytest.mark.parametrize(
    ("ids", "order"),
    [(("9", "10"), ("--time", "day")), (("V9", "V10"), ()), (("9", "10"), ())],
    ids=["same-day", "words", "numbers"],
)
def test_ids_with_numbers_are_ordered_as_numbers(tmp_path, ids, order):
    def change(row):
        first = row["vid"].endswith("1")
        own = {"vid": ids[0] if first else ids[1], "day": "2020-01-01", "dx": "I10" if first else "E11.9"}
        return row | own | ({"vid": f"X{row['vid']}"} if row["pid"] == "12" else {})

    source = write_table(tmp_path / "table.csv", small_table(change))
    options = ("--patient", "pid", "--visit", "vid", "--code", "dx", "--code-system", "icd10", *order)
    (task,) = run("table", "--input", source, *options, *EVEN, "--output", tmp_path / "task")
    assert {tuple(row["targets"]) for row in every_row(task)} == {("E11.9",)}


def test_what_differs_within_a_visit_or_a_patient_is_counted(tmp_path):
    def change(row):
        sex = {"11": "F", "12": "M"}.get(row["vid"], "F")
        return row | {"sex": sex, "age": row["seq"] if row["vid"] == "21" else "50"}

    task = prepared(tmp_path, change, "--sex", "sex", "--age", "age")
    assert task.info["changed"] == {
        "patient recorded with both sexes, which is left out": 1,
        "visit whose rows differ in age, which is left out": 1,
    }


def test_lists_may_come_with_brackets(tmp_path):
    task = prepared(tmp_path, lambda row: row | {"dx": '["I10", "E11.9"]'}, "--code-separator", ",")
    assert {tuple(row["targets"]) for row in every_row(task)} == {("I10", "E11.9")}


def test_an_empty_column_is_named(tmp_path):
    task = prepared(tmp_path, lambda row: row | {"seq": "nan"}, "--position", "seq")
    assert task.info["changed"] == {"row of table.csv, whose column seq is empty throughout": 48}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda row: row | {"day": "n/k"}, (), "column day: none of its 48 values is a date.*they look like a/a"),
        (lambda row: row | {"day": "1577836800"}, (), "column day: the numbers in it look like seconds since 1970"),
        (lambda row: row | {"day": f"0{row['vid'][-1]}/02/2020"}, (), "column day: it does not show whether the day"),
        (lambda row: row | {"pid": row["pid"] + row["vid"]}, (), "each of 24 patients has a single visit"),
        (
            lambda row: row | {"dx": row["dx"] + ";I10"},
            (),
            "48 of 48 cells of codes hold several, with ';'",
        ),
        (
            lambda row: row | {"dx": row["dx"] + ("|I10" if row["vid"].endswith("1") else "")},
            (),
            r"24 of 48 cells of codes hold several, with '\|'",
        ),
        (lambda row: row, ("--code-system", "icd9"), "most are codes of ICD-10-CM.*: is it --code-system icd10"),
    ],
    ids=["no-dates", "seconds", "day-or-month", "patient-is-visit", "list-of-codes", "some-lists", "other-edition"],
)
def test_a_mistake_for_all_rows_is_named(tmp_path, change, options, message):
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, change, *options)
    assert not (tmp_path / "task").exists()


def test_the_account_comes_before_the_failure(tmp_path):
    source = write_table(tmp_path / "table.csv", small_table(lambda row: row | {"pid": row["pid"] + row["vid"]}))
    command = ["-m", "data.prepare", "table", "--input", source, *OPTIONS]
    result = run_ready([*command, "--output", tmp_path / "task"], cwd=ROOT)
    assert result.returncode == 1
    *account, last = result.stderr.strip().splitlines()
    assert last.startswith("error: no patient of table has 2 visits with a usable code: each of 24 patients")
    assert any("diagnoses" in line and "48" in line for line in account)


def test_column_forms_are_checked_before_reading():
    with pytest.raises(ValueError, match="--date-format must be a format"):
        ColumnForms(date_format="tomorrow")


def table_rows():
    rows = [["Person", "Stay", "When", "Rank", "Dx", "Sex", "Years", "Letter"]]
    for person in range(1, 9):
        for stay, day in (("a", "2021-02-03"), ("b", "2021-03-05 11:00:00")):
            for rank, code in ((2, "i50.9"), (1, "E119" if stay == "a" else "N17.9")):
                note = f"{stay} letter,\nof person {'xyzuvwkl'[person - 1] * 6}" if rank == 1 else ""
                rows.append([f"p{person}", f"{person}{stay}", day, rank, code, "male", "61.0", note])
    return [*rows, ["", "9", "2021-01-01", 1, "I10", "", "", ""], ["p1", "1a", "2021-02-03", 3, "", "", "", ""]]


def test_a_table_of_ones_own(tmp_path):
    source = write_csv(tmp_path / "mine.csv", table_rows())
    more = ("--position", "Rank", "--sex", "Sex", "--age", "Years")
    (task,) = run("table", "--input", source, *COLUMN_OPTIONS, *more, "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "p1")
    assert row["history"] == [{"codes": ["E11.9", "I50.9"], "days_before": 30}]
    assert (row["targets"], row["age"], row["sex"]) == (["N17.9", "I50.9"], 61, "M")
    assert dropped(task, "diagnoses") == {"row without a patient or visit": 1, "no code in the row": 1}
    assert task.info["options"]["columns"]["code"] == "Dx"
    assert_adds_up(task)
    notes = ("--kind", "coding", "--text", "Letter")
    (temporal,) = run("table", "--input", source, *COLUMN_OPTIONS, *notes, "--output", tmp_path / "u", *EVEN)
    assert temporal.info["kind"] == "coding"
    row = next(row for row in every_row(temporal) if row["example_id"] == "p3:3b")
    assert (row["text"], row["targets"]) == ("b letter,\nof person zzzzzz", ["I50.9", "N17.9"])
    assert temporal.info["accounting"]["notes"] == {"read": 16, "added": {}, "used": 16, "dropped": {}}
    assert not [event for event in temporal.info["changed"] if "read as one" in event]


def test_a_table_as_parquet_with_lists_of_codes(tmp_path):
    rows = [
        {"pid": person, "day": float(visit * 10), "codes": "I50.9; e11.9 ;;J18.9" if visit else "I10;Q00.00.0"}
        for person in range(8)
        for visit in (0, 1)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "mine.parquet")
    names = ("--patient", "pid", "--time", "day", "--code", "codes", "--code-separator", ";", "--code-system", "icd10")
    (task,) = run("table", "--input", tmp_path / "mine.parquet", *names, "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "3")
    assert row["history"] == [{"codes": ["I10"], "days_before": 10}]
    assert row["targets"] == ["I50.9", "E11.9", "J18.9"]
    assert dropped(task, "diagnoses") == {"no code in the row": 8, "not a code of icd10cm": 8}
    (first,) = run(
        "table", "--input", tmp_path / "mine.parquet", *names, "--primary-only", "--output", tmp_path / "u", *EVEN
    )
    assert example_of(first, "3")["targets"] == ["I50.9"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--code", "Dx", "--code-system", "icd10"), "a table needs --visit or --time"),
        (("--code", "Diag", "--visit", "Stay", "--code-system", "icd10"), "has no column diag; found person, stay"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd10", "--kind", "coding"), "needs --text"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd10", "--primary-only"), "needs --position"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd10", "--separator", "ab"), "must be one character"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd9"), "most are codes of ICD-10-CM"),
    ],
)
def test_tables_that_cannot_be(tmp_path, options, message):
    source = write_csv(tmp_path / "mine.csv", table_rows())
    with pytest.raises(ValueError, match=message):
        run("table", "--input", source, "--patient", "Person", *options, "--output", tmp_path / "t")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match="is not a valid Parquet file"):
        run("table", "--input", tmp_path / "bad.parquet", *COLUMN_OPTIONS, "--output", tmp_path / "t")
    assert not (tmp_path / "t").exists()
