"""What spreadsheets, SQL shells and other programs leave in and around a table."""

import openpyxl
import pytest
from own_table import read_patients

from data.ledger import Ledger
from data.sources.shared.own_table.table_columns import TableColumns


def visits_of(path, **more):
    columns = TableColumns(patient="pid", time="day", code="icd")
    ledger = Ledger()
    patients = read_patients(path, columns, ledger, "icd10", **more)
    return {each.patient_id: [list(visit.codes) for visit in each.visits] for each in patients}, ledger.record()


def test_what_stands_around_a_table_of_an_export(tmp_path):
    """A line under the header, a separator behind each row, texts as formulas, editions before codes."""
    plain = "pid,day,icd\n007,2020-01-01,I10\n008,2020-01-02,E11.9\n"
    forms = {
        "underlined": plain.replace("icd\n", "icd\n---,----------,-----\n"),
        "one more": plain.replace("I10\n", "I10,\n").replace("E11.9\n", "E11.9,\n"),
        "formulas": plain.replace("007", '="007"').replace("I10", '="I10"'),
        "quoted": plain.replace("007", '"=""007"""').replace("I10", '"=""I10"""'),
        "editions": plain.replace("I10", "ICD10CM:I10").replace("E11.9", "icd-10|E119"),
        "returns": plain.replace("I10\n", "I10,\r\n").replace("E11.9\n", "E11.9,\r\n").replace("icd\n", "icd\r\n"),
    }
    for name, text in forms.items():
        path = tmp_path / f"{name}.csv"
        path.write_bytes(text.encode())
        visits, record = visits_of(path)
        assert visits == {"007": [["I10"]], "008": [["E11.9"]]}, name
        changed = {
            "underlined": {"row that repeats the header or underlines it, left out": 1},
            "formulas": {"quote that encloses nothing, read as it stands": 4},
        }
        assert record["changed"] == changed.get(name, {}), name


def test_a_code_under_the_name_of_the_other_edition_is_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("pid,day,icd\n007,2020-01-01,I10\n007,2020-01-01,ICD9:V58\n")
    visits, record = visits_of(path)
    assert visits == {"007": [["I10"]]}
    assert record["accounting"]["diagnoses"]["dropped"] == {"not a code of icd10cm": 1}


def test_merged_cells_stand_for_every_row(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    for row in ([], ["", "pid", "day", "icd"]):
        sheet.append(row)
    for patient in ("007", "008"):
        for number, code in enumerate(("I10", "E11.9", "N17.9")):
            sheet.append(["", *((patient, "2020-01-01") if number == 0 else (None, None)), code])
    for cells in ("B3:B5", "C3:C5", "B6:B8", "C6:C8"):
        sheet.merge_cells(cells)
    book.save(tmp_path / "t.xlsx")
    assert visits_of(tmp_path / "t.xlsx")[0] == {name: [["E11.9", "I10", "N17.9"]] for name in ("007", "008")}


def test_names_of_rows_shift_no_column(tmp_path):
    """R writes the names of rows without a name of their own; the last value of the first row is empty."""
    path = tmp_path / "t.csv"
    path.write_text("pid,day,icd,death\n1,p1,2020-01-01,I10,\n2,p2,2020-02-02,E11.9,2020-03-03\n")
    with pytest.raises(ValueError, match="5 fields where the first line has 4"):
        visits_of(path)


def test_a_quote_within_a_name_of_a_column_opens_nothing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('pid,icd,height 5",day\n007,I10,1,2020-01-01\n008,E11.9,1,2020-01-02\n')
    assert visits_of(path)[0] == {"007": [["I10"]], "008": [["E11.9"]]}


def test_merged_cells_beside_the_table_change_nothing(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["", "pid", "day", "icd"], *([None, f"00{n}", "2020-01-01", "I10"] for n in range(1, 5))):
        sheet.append(row)
    for cells in ("A2:A5", "H2:H4", "C4:C5"):
        sheet.merge_cells(cells)
    book.save(tmp_path / "t.xlsx")
    assert visits_of(tmp_path / "t.xlsx")[0] == {f"00{n}": [["I10"]] for n in range(1, 5)}
