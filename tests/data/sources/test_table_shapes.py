"""One cohort in the shapes in which hospitals export it: the same patients, or a sentence that says what to add."""

import random
from datetime import date, timedelta

import openpyxl
import polars as pl
import pytest
from own_table import read_patients
from prepare_case import EVEN, assert_adds_up, run

from data.ledger import Ledger
from data.prepare.new_patients import read_new_patients
from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.table_columns import TableColumns
from data.table_files.columns import ColumnForms

CODES = ["E11.9", "I10", "J18.9", "N17.9", "I50.9", "E78.5", "M54.50", "Z95.1"]
WAYS = ("one-row-a-code", "list", "wide", "undotted", "excel-german", "american", "latin-1", "xlsx", "xlsx-wide")


def visits():
    """(patient, day, sex, age, codes in their order), 40 patients of 1 to 4 visits."""
    draw = random.Random(0)
    for patient in range(40):
        day = date(2020, 1, 1) + timedelta(days=draw.randrange(300))
        for _ in range(draw.randint(1, 4)):
            yield f"Pätient-{patient:02}", day, "FM"[patient % 2], 30 + patient, draw.sample(CODES, draw.randint(1, 5))
            day += timedelta(days=draw.randint(1, 200))


def a_row_a_code():
    return [
        {"pid": pid, "day": day, "sex": sex, "age": age, "seq": place, "dx": code}
        for pid, day, sex, age, codes in visits()
        for place, code in enumerate(codes, start=1)
    ]


def a_row_a_visit(wide):
    rows = []
    for pid, day, sex, age, codes in visits():
        dx = (
            {f"DIAG{place}": code for place, code in enumerate([*codes, *[None] * (6 - len(codes))], start=1)}
            if wide
            else {"dx": ";".join(codes)}
        )
        rows.append({"pid": pid, "day": day, "sex": sex, "age": age} | dx)
    return rows


def save(path, rows, separator=",", encoding="utf-8", date_format="%Y-%m-%d", mark=""):
    written = [row | {"day": row["day"].strftime(date_format)} for row in rows]
    quoted = "always" if separator == "," else "necessary"
    text = pl.DataFrame(written, infer_schema_length=None).write_csv(separator=separator, quote_style=quoted)
    path.write_bytes((mark + text).encode(encoding))
    return path


def save_workbook(path, rows):
    book = openpyxl.Workbook()
    book.active.append(["an export", None])
    sheet = book.create_sheet("stays")
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    book.save(path)
    return path


def shape(name, folder):
    """The file of that shape, its columns and what else must be said of it."""
    long = TableColumns(patient="pid", time="day", code="dx", position="seq", sex="sex", age="age")
    short = TableColumns(patient="pid", time="day", code="dx", sex="sex", age="age")
    wide = TableColumns(patient="pid", time="day", code="DIAG*", sex="sex", age="age")
    path = folder / "table.csv"
    match name:
        case "one-row-a-code":
            return save(path, a_row_a_code()), long, {}
        case "list":
            return save(path, a_row_a_visit(wide=False)), short, {"code_separator": ";"}
        case "wide":
            return save(path, a_row_a_visit(wide=True)), wide, {}
        case "undotted":
            rows = [row | {"dx": row["dx"].replace(".", "").lower()} for row in a_row_a_code()]
            return save(path, rows), long, {}
        case "excel-german":
            return save(path, a_row_a_code(), separator=";", date_format="%d.%m.%Y", mark="\ufeff"), long, {}
        case "american":
            return save(path, a_row_a_code(), date_format="%m/%d/%Y"), long, {}
        case "latin-1":
            return save(path, a_row_a_code(), encoding="latin-1"), long, {"forms": ColumnForms(encoding="latin-1")}
        case "xlsx":
            return save_workbook(folder / "table.xlsx", a_row_a_code()), long, {}
        case "xlsx-wide":
            return save_workbook(folder / "table.xlsx", a_row_a_visit(wide=True)), wide, {}
    raise AssertionError(name)


def expected():
    patients = {}
    for pid, day, sex, age, codes in visits():
        patients.setdefault(pid, []).append((day, sex, age, tuple(codes)))
    return patients


@pytest.mark.parametrize("name", WAYS)
def test_every_shape_gives_the_same_cohort(name, tmp_path):
    path, columns, more = shape(name, tmp_path)
    patients = read_patients(path, columns, Ledger(), "icd10", **more)
    read = {
        patient.patient_id: [
            (date(1970, 1, 1) + timedelta(days=visit.day), patient.sex, visit.age, visit.codes)
            for visit in patient.visits
        ]
        for patient in patients
    }
    assert read == expected()


@pytest.mark.parametrize("name", WAYS)
def test_new_patients_have_all_their_visits_as_history(name, tmp_path):
    path, columns, more = shape(name, tmp_path)
    new = read_new_patients(path, columns, system="icd10cm", **more)
    assert len(new.rows) == 40
    for pid, row in zip(new.patient_ids, new.rows, strict=True):
        own = expected()[pid]
        assert [tuple(visit["codes"]) for visit in row["history"]] == [codes for *_, codes in own]
        assert [visit["days_before"] for visit in row["history"]] == [(own[-1][0] - day).days for day, *_ in own]
        assert (row["sex"], row["age"], row["text"]) == (own[-1][1], own[-1][2], None)


def test_days_are_counted_to_the_day_that_is_named(tmp_path):
    path, columns, _ = shape("one-row-a-code", tmp_path)
    to_last = read_new_patients(path, columns, system="icd10cm")
    at = read_new_patients(path, columns, system="icd10cm", at="2024-01-01")
    for pid, row in zip(at.patient_ids, at.rows, strict=True):
        assert [visit["days_before"] for visit in row["history"]] == [
            (date(2024, 1, 1) - day).days for day, *_ in expected()[pid]
        ]
    assert to_last.rows != at.rows
    with pytest.raises(ValueError, match="--at lies before the last visit"):
        read_new_patients(path, columns, system="icd10cm", at="2020-06-01")
    with pytest.raises(ValueError, match="--at must be a date as 2026-01-31"):
        read_new_patients(path, columns, system="icd10cm", at="tomorrow")


def test_a_visit_without_a_code_is_counted(tmp_path):
    rows = [{"pid": "1", "day": date(2020, 1, 1), "a": "I10", "b": None}]
    rows.append({"pid": "1", "day": date(2020, 2, 1), "a": None, "b": None})
    rows.append({"pid": "2", "day": date(2020, 2, 1), "a": None, "b": "E11.9"})
    ledger = Ledger()
    columns = TableColumns(patient="pid", time="day", code=["a", "b"])
    patients = read_patients(save(tmp_path / "t.csv", rows), columns, ledger, "icd10")
    assert [visit.codes for patient in patients for visit in patient.visits] == [("I10",), ("E11.9",)]
    account = ledger.record()["accounting"]
    assert account["visits"]["read"] == 3
    assert account["visits"]["dropped"]["without a usable code"] == 1
    assert account["diagnoses"]["dropped"]["no code in the row"] == 1


def test_the_command_reads_wide_tables(tmp_path):
    path, _, _ = shape("xlsx-wide", tmp_path)
    options = ("--patient", "pid", "--time", "day", "--code", "DIAG*", "--code-system", "icd10", "--sex", "sex")
    task = run("table", "--input", path, *options, *EVEN, "--primary-only", "--output", tmp_path / "task")[0]
    assert_adds_up(task)
    assert task.info["options"]["columns"]["code"] == [f"diag{place}" for place in range(1, 7)]
    firsts = {pid: own[-1][3][0] for pid, own in expected().items() if len(own) > 1}
    rows = [row for split in task.splits.values() for row in split]
    assert {row["patient_id"]: row["targets"] for row in rows} == {pid: [code] for pid, code in firsts.items()}


def test_a_file_in_another_encoding_names_the_option(tmp_path):
    path, columns, _ = shape("latin-1", tmp_path)
    with pytest.raises(ValueError, match=r"is not a CSV in UTF-8 .* --encoding cp1252"):
        read_patients(path, columns, Ledger(), "icd10")
    with pytest.raises(ValueError, match="--encoding must be one that Python knows"):
        read_patients(path, columns, Ledger(), "icd10", forms=ColumnForms(encoding="nothing"))


def test_sheets_that_are_not_read_are_counted_and_a_title_is_no_header(tmp_path):
    columns = TableColumns(patient="pid", time="day", code="dx")
    book = openpyxl.Workbook()
    for title, header in (("2022", ["pid", "day", "dx"]), ("2023", ["pid", "date", "dx"])):
        sheet = book.create_sheet(title)
        for row in (header, ["1", date(2020, 1, 1), "I10"], ["1", date(2020, 2, 1), "E11.9"]):
            sheet.append(row)
    book.save(tmp_path / "years.xlsx")
    ledger = Ledger()
    read_patients(tmp_path / "years.xlsx", columns, ledger, "icd10")
    assert ledger.record()["changed"] == {"row of the sheet 2023, which is not read": 2}
    book = openpyxl.Workbook()
    for row in (["Stays of Dr Smith"], ["pid", "day", "dx"], ["1", date(2020, 1, 1), "I10"]):
        book.active.append(row)
    book.save(tmp_path / "title.xlsx")
    with pytest.raises(ValueError, match="the first row of sheet Sheet is a title and no header; take such rows out"):
        read_patients(tmp_path / "title.xlsx", columns, ledger, "icd10")
    with pytest.raises(ValueError, match="is a title and no header") as refused:
        guess_table(tmp_path / "title.xlsx", TableGuess())
    assert "Smith" not in str(refused.value)


def test_spreadsheets_that_cannot_be_read(tmp_path):
    columns = TableColumns(patient="pid", time="day", code="dx")
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"no spreadsheet")
    with pytest.raises(ValueError, match="is not a spreadsheet that can be read"):
        read_patients(broken, columns, Ledger(), "icd10")

    book = openpyxl.Workbook()
    for title in ("2019", "2020"):
        sheet = book.create_sheet(title)
        sheet.append(["pid", "day", "dx"])
        sheet.append(["1", date(2020, 1, 1), "I10"])
    book.save(tmp_path / "two.xlsx")
    with pytest.raises(ValueError, match="has the columns in 2 sheets"):
        read_patients(tmp_path / "two.xlsx", columns, Ledger(), "icd10")

    book = openpyxl.Workbook()
    book.active.append(["pid", "day", "dx"])
    book.active.append(["1", date(2020, 1, 1), "V58.1"])
    book.active.append(["1", date(2020, 2, 1), 428.0])
    book.save(tmp_path / "numbers.xlsx")
    with pytest.raises(ValueError, match="column dx is stored as numbers, so codes have lost their zeros"):
        read_patients(tmp_path / "numbers.xlsx", columns, Ledger(), "icd9")
    book = openpyxl.Workbook()
    book.active.append(["else"])
    book.active.append(["1"])
    book.save(tmp_path / "else.xlsx")
    with pytest.raises(ValueError, match="has no column pid, dx, day; found else"):
        read_patients(tmp_path / "else.xlsx", columns, Ledger(), "icd9")


def test_flags_beside_the_codes_are_no_codes(tmp_path):
    """A pattern such as dx* catches them, and 1, 8 and 16 would be read as 001, 008 and 016 of ICD-9."""
    rows = [
        {"pid": f"P{visit % 40}", "day": f"2020-01-{visit // 40 + 1:02}", "dx1": code, "dx1_flag": poa, "dx2": "401.9"}
        for visit, (code, poa) in enumerate([("428.0", "Y"), ("250.00", "N"), ("414.01", "1")] * 40)
    ]
    path = tmp_path / "wide.csv"
    pl.DataFrame(rows).with_columns(dx_n=pl.lit(16)).write_csv(path)

    def read(*code):
        columns = TableColumns(patient="pid", time="day", code=list(code))
        return read_patients(path, columns, Ledger(), "icd9")

    with pytest.raises(ValueError, match=r"no value of dx1_flag, dx_n is as long as a code; name the columns"):
        read("dx*")
    codes = {code for patient in read("dx?") for visit in patient.visits for code in visit.codes}
    assert codes == {"428.0", "250.00", "414.01", "401.9"}


def test_an_id_that_begins_anew_each_year_is_counted(tmp_path):
    rows = [
        {"pid": f"P{patient}", "case": number, "day": f"{2020 + number // 2}-0{1 + number}-01", "dx": "I10"}
        for patient in range(9)
        for number in (1, 2, 3)
    ]
    rows += [{"pid": "P0", "case": 1, "day": "2023-07-01", "dx": "E11.9"}]
    path, ledger = tmp_path / "cases.csv", Ledger()
    pl.DataFrame(rows).write_csv(path)
    read_patients(path, TableColumns(patient="pid", visit="case", time="day", code="dx"), ledger, "icd10")
    assert ledger.record()["changed"]["visit whose rows lie more than 100 days apart, read as one"] == 1


@pytest.mark.parametrize(("kind", "is_refused"), [(pl.Float32, True), (pl.Float64, False)])
def test_ids_that_their_floats_cannot_tell_apart_are_refused(tmp_path, kind, is_refused):
    rows = [
        {"pid": 200_001_000 + patient, "day": date(2020, 1, 1 + visit), "dx": "I10"}
        for patient in range(9)
        for visit in (0, 1)
    ]
    path, columns = tmp_path / "ids.parquet", TableColumns(patient="pid", time="day", code="dx")
    pl.DataFrame(rows).with_columns(pl.col("pid").cast(kind)).write_parquet(path)
    if is_refused:
        with pytest.raises(ValueError, match="column pid holds whole numbers too large for the floats"):
            read_patients(path, columns, Ledger(), "icd10")
    else:
        assert len(read_patients(path, columns, Ledger(), "icd10")) == 9


def codes_of(path, code, **more):
    """The codes of each visit, in their order."""
    columns = TableColumns(patient="pid", time="day", code=code)
    patients = read_patients(path, columns, Ledger(), "icd10", **more)
    return [list(visit.codes) for patient in patients for visit in patient.visits]


def merged_header(path):
    """40 patients with two diagnoses under one merged cell, and under another a word for each."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["pid", "day", "diagnoses", None, None, "ward", None])
    for patient in range(40):
        sheet.append([f"P{patient}", date(2020, 1, 1), CODES[patient % 4], "words", CODES[4 + patient % 4], "A1", "A2"])
    sheet.merge_cells("C1:E1")
    book.save(path)
    return path


def test_a_merged_header_hides_no_codes(tmp_path):
    path = merged_header(tmp_path / "merged.xlsx")
    said = r"column 5 beside diagnoses has no name, and codes as well; read them too with --code diagnoses 'column 5'"
    with pytest.raises(ValueError, match=said):
        codes_of(path, "diagnoses")
    assert codes_of(path, ["diagnoses", "column 5"])[:2] == [["E11.9", "I50.9"], ["I10", "E78.5"]]
    assert guess_table(path, TableGuess()).code == ["diagnoses", "column 5"]


def test_columns_without_a_name_that_hold_no_codes_are_let_be(tmp_path):
    """An index, words beside the codes, and separators at the end of every line."""
    path = tmp_path / "export.csv"
    path.write_text(";pid;day;dx;;\n" + "".join(f"{row};P{row};2020-01-01;I10;Hypertonie;\n" for row in range(9)))
    assert codes_of(path, "dx") == [["I10"]] * 9
