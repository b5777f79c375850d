"""Columns of codes by name and by pattern."""

from dataclasses import replace

import pytest

from data.sources.shared.own_table.table_columns import TableColumns


def in_file(tmp_path, code):
    path = tmp_path / "table.csv"
    path.write_text("pid,DIAG2,day,DIAG1,Proc\n")
    return TableColumns(patient="pid", time="day", code=code).in_file(path, None, None).code


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("DIAG*", ["diag2", "diag1"]),
        (["Proc", "diag?"], ["Proc", "diag2", "diag1"]),
        (["DIAG[1]"], "diag1"),
        (["DIAG2", "DIAG1"], ["DIAG2", "DIAG1"]),
        ("DIAG2", "DIAG2"),
    ],
)
def test_patterns_name_columns_in_the_order_of_the_file(code, names, tmp_path):
    assert in_file(tmp_path, code) == names


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("CODE*", "has no column that matches --code 'CODE\\*'"),
        (["DIAG1", "DIAG?"], "--code names a column twice"),
        (["Proc", "proc"], "--code names a column twice"),
    ],
)
def test_patterns_that_name_no_columns(code, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        in_file(tmp_path, code)


def test_a_pattern_that_takes_in_something_else_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("pid,day,DIAG1,DIAG2,DIAG_YEAR,DIAG_DRG\n")
    columns = TableColumns(patient="pid", time="day", code="DIAG*")
    with pytest.raises(
        ValueError, match=r"'DIAG\*' takes in diag_year, diag_drg, whose names are not those of diagnoses"
    ):
        columns.in_file(path, None, None)
    assert replace(columns, code="DIAG[0-9]*").in_file(path, None, None).code == ["diag1", "diag2"]


def test_visits_need_an_id_or_a_time():
    with pytest.raises(ValueError, match="a table needs --visit or --time"):
        TableColumns(patient="pid", code="dx")
