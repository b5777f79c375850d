"""Drugs and labs of Diabetes-130: of past encounters alone, everything counted."""

import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run, write_csv

HEADER = "encounter_id,patient_nbr,gender,age,diag_1,diag_2,diag_3,max_glu_serum,A1Cresult,metformin,insulin,glyburide"


def write_table(path):
    rows = [HEADER.split(",")]
    for patient in range(1, 13):
        about = [patient, "Female", "[60-70)", "428", "250.01", "?"]
        rows += [
            [10 * patient, *about, ">200", "Norm", "Steady", "Up", "No"],
            [10 * patient + 1, *about, "None", ">8", "No", "Down", "Canary"],
            [10 * patient + 2, *about, ">300", "None", "No", "No", "Steady"],
        ]
    return write_csv(path, rows)


def test_events_are_those_of_the_encounters_before(tmp_path):
    path = write_table(tmp_path / "diabetic_data.csv")
    options = ("--events", "drugs,labs", "--min-event-patients", 3, *EVEN)
    (task,) = run("diabetes130", "--input", path, *options, "--output", tmp_path / "task")
    assert dict(task.events.select("event", "name").iter_rows()) == {
        "drug:insulin": "insulin",
        "drug:metformin": "metformin",
        "lab:a1cresult:high": "A1C high",
        "lab:max_glu_serum:high": "glucose in serum high",
    }
    for row in every_row(task):
        assert [visit["events"] for visit in row["history"]] == [
            ["drug:insulin", "drug:metformin", "lab:max_glu_serum:high"],
            ["drug:insulin", "lab:a1cresult:high"],
        ]
    assert dropped(task, "events") == {
        "lab within its range, or a word that says nothing of a drug": 24,
        "of the last visit, which is to be predicted": 24,
    }
    assert_adds_up(task)


def test_a_table_without_these_columns_and_procedures_are_refused(tmp_path, capsys):
    rows = [["encounter_id", "patient_nbr", "gender", "age", "diag_1", "diag_2", "diag_3"]]
    rows += [[number, number // 2, "Male", "[50-60)", "428", "?", "?"] for number in range(2, 12)]
    path = write_csv(tmp_path / "few.csv", rows)
    with pytest.raises(ValueError, match=r"few\.csv has none of the columns of labs, such as a1cresult"):
        run("diabetes130", "--input", path, "--events", "labs", *EVEN, "--output", tmp_path / "task")
    with pytest.raises(SystemExit):
        run("diabetes130", "--input", path, "--events", "procedures", "--output", tmp_path / "task")
    assert (
        "diabetes130 tells no procedures of a visit that could be read; it has drugs, labs" in capsys.readouterr().err
    )
