"""Which columns are taken for codes in tables whose columns are called alike, hold little, or hold the same twice."""

import polars as pl
import pytest

from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.named_codes import bare_codes

CODES = ("I10", "E11.9", "I50.9", "N17.9", "J18.9", "M54.5")


def write(tmp_path, columns, rows=90):
    """`columns`: name -> its cell of a row's number; patient, day and those."""
    table = {
        "pid": [f"P{row // 3:03}" for row in range(rows)],
        "day": [f"2020-{1 + row % 3:02}-{1 + row % 28:02}" for row in range(rows)],
        **{name: [cell(row) for row in range(rows)] for name, cell in columns.items()},
    }
    pl.DataFrame(table).write_csv(tmp_path / "t.csv")
    return tmp_path / "t.csv"


def code(row, shift=0):
    return CODES[(row + shift) % len(CODES)]


def taken(tmp_path, columns):
    return guess_table(write(tmp_path, columns), TableGuess()).code


def test_the_last_columns_of_a_row_are_taken_whatever_little_they_hold(tmp_path):
    few = {3: "I10", 40: "LOCAL-7", 77: "E11.9"}
    columns = {"diag1": code, "diag2": lambda row: code(row, 1), "diag3": lambda row: few.get(row, "")}
    assert taken(tmp_path, columns) == ["diag*"]


def test_two_editions_side_by_side_are_no_row(tmp_path):
    columns = {"icd10": code, "icd9": lambda row: "" if row % 2 else "4280"}
    assert taken(tmp_path, columns | {"icd9": lambda row: "" if row else "LOCAL"}) == ["icd10"]


def test_local_codes_take_no_column_of_diagnoses_away(tmp_path, capsys):
    columns = {
        "main_diagnosis": lambda row: f"LOC{row}" if row % 3 == 0 else code(row),
        "other_diagnosis_1": lambda row: code(row, 2),
        "other_diagnosis_2": lambda row: code(row, 3),
        "icd_free": lambda row: code(row) if row % 3 == 0 else f"words {row}",
    }
    assert taken(tmp_path, columns)[0] == "main_diagnosis"
    assert "further columns that are called as diagnoses are: icd_free (--code reads them)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("clinic_code", lambda row: f"D5{row % 9}"),
        ("atc_code", lambda row: f"C0{row % 9 + 1}"),
        ("postcode_district", lambda row: f"M{10 + row % 60}"),
        ("ward_code", lambda row: f"B{10 + row % 60}"),
    ],
)
def test_codes_of_other_things_are_no_diagnoses(tmp_path, name, cell):
    assert taken(tmp_path, {name: cell, "icd_code": code}) == ["icd_code"]


def test_categories_beside_their_codes_are_read_once(tmp_path, capsys):
    columns = {
        "diag_3_01": lambda row: code(row)[:3],
        "diag_3_02": lambda row: code(row, 2)[:3] if row % 2 else "",
        "diag_4_01": lambda row: code(row).replace(".", ""),
        "diag_4_02": lambda row: code(row, 2).replace(".", "") if row % 2 else "",
    }
    assert taken(tmp_path, columns) == ["diag_4_*"]
    assert "with the categories of other columns' codes: diag_3_01, diag_3_02" in capsys.readouterr().err


def test_categories_alone_are_taken(tmp_path):
    columns = {"dx1": lambda row: code(row)[:3], "dx2": lambda row: code(row, 2)[:3]}
    assert taken(tmp_path, columns) == ["dx*"]


def test_the_principal_diagnosis_comes_first_and_the_admitting_one_is_not_taken(tmp_path):
    columns = {
        "admtng_icd_dgns_cd": lambda row: code(row, 4),
        "secondary_diagnosis": lambda row: code(row, 1),
        "primary_diagnosis": code,
    }
    assert taken(tmp_path, columns) == ["primary_diagnosis", "secondary_diagnosis"]


def test_a_name_in_two_scripts(tmp_path):
    assert taken(tmp_path, {"主病名ICD10": code, "部門コード": lambda row: f"A0{row % 9}"}) == ["主病名icd10"]


def test_patients_are_known_by_their_values_where_one_column_fits(tmp_path, capsys):
    columns = {"sex": lambda row: "FM"[row // 3 % 2], "doctor": lambda row: f"D{row % 7}", "icd": code}
    path = write(tmp_path, columns)
    path.write_text(path.read_text().replace("pid", "Kennung", 1))
    guess = guess_table(path, TableGuess())
    assert (guess.patient, guess.time) == ("kennung", "day")
    assert "taken by its values: kennung for the patients' ids (--patient says otherwise)" in capsys.readouterr().err
    path = write(tmp_path, columns | {"Ref": lambda row: f"R{row // 12}-{row // 3 % 2}"}, rows=360)
    path.write_text(path.read_text().replace("pid", "Kennung", 1))
    with pytest.raises(ValueError, match="no column seems to hold the patients' ids; name it with --patient"):
        guess_table(path, TableGuess())


@pytest.mark.parametrize(
    ("columns", "codes"),
    [
        ({"dxccs1": lambda row: f"{100 + row % 60}", "dx1": lambda row: f"{400 + row % 30}.9"}, ["dx1"]),
        ({"dx_cost": lambda row: f"{1000 + row}", "dx": code}, ["dx"]),
        ({"dx_days": lambda row: f"{100 + row % 30}", "dx": lambda row: f"{400 + row % 30}.9"}, ["dx"]),
        ({"diag_year": lambda row: f"{2010 + row % 9}", "diag": code}, ["diag"]),
        ({"col1": code, "col2": lambda row: "MF"[row % 2], "col3": lambda row: 30 + row % 40}, ["col1"]),
        ({"item1": code, "item2": lambda row: f"words {row}", "item3": lambda row: 30 + row}, ["item1"]),
        ({"clinical_code": code}, ["clinical_code"]),
        ({"cie10_servicio": code}, ["cie10_servicio"]),
        ({"problemcode": code, "level": lambda row: f"B{10 + row % 60}"}, ["problemcode"]),
        ({"admit_dx": lambda row: code(row, 2), "discharge_dx": code}, ["discharge_dx"]),
        ({"discharge_diagnosis": code}, ["discharge_diagnosis"]),
        ({"account_diag_code": code}, ["account_diag_code"]),
        ({"diag": code, "diag_dept": lambda row: f"{200 + row % 60}"}, ["diag"]),
        ({"condition": code, "postcode": lambda row: f"B{10 + row % 60}"}, ["condition"]),
        ({"problem": code, "clinic_code": lambda row: f"D5{row % 9}"}, ["problem"]),
        ({"diagnosen": lambda row: f"{code(row)} {'GV'[row % 2]}, {code(row, 1)} G"}, ["diagnosen"]),
        ({"主病名ICD10": code, "副病名1ICD10": lambda row: code(row, 1)}, ["主病名icd10", "副病名1icd10"]),
        ({f"dx{n}": lambda row, n=n: (4019, 25000, 41401, 311)[(row + n) % 4] for n in (1, 2, 3)}, ["dx*"]),
        ({"icd10": code, "q01": lambda row: row % 4, "q02": lambda row: row % 3}, ["icd10"]),
        ({"diagnosis": code, "b12": lambda row: 300 + row}, ["diagnosis"]),
    ],
)
def test_numbers_and_other_columns_of_a_row_are_no_codes(tmp_path, columns, codes):
    assert taken(tmp_path, columns) == codes


def test_the_columns_of_a_row_may_be_of_other_types(tmp_path):
    path = write(tmp_path, {"dx1": code, "dx2": lambda row: 3})
    pl.read_csv(path, infer_schema_length=100).write_parquet(tmp_path / "t.parquet")
    assert guess_table(tmp_path / "t.parquet", TableGuess()).code == ["dx1"]


def test_long_cells_are_looked_at_once(tmp_path):
    """Names before a code in brackets are looked for at the end alone: a note of one line took a second."""
    found = bare_codes(pl.Series([f"note {'of a long stay ' * 4000}", "Heart failure [I50.9]"]), None).codes
    assert found.to_list()[1] == "I50.9"
