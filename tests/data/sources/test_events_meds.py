"""Procedures and drugs of MEDS: by what their codes begin with, of past visits alone, everything counted."""

from datetime import datetime

import polars as pl
import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run

FIRST, LAST = datetime(2020, 1, 3, 9), datetime(2020, 3, 3, 9)
EXPECTED = {
    "procedure:10:0BH17EZ": "Medical and Surgical, Respiratory System, Insertion (0BH17EZ)",
    "procedure:9:9671": "Mechanical ventilation",
    "procedure:cpt4:93000": "CPT4 93000",
    "drug:furosemide": "furosemide",
    "drug:heparin": "heparin",
    "drug:atc:C03CA": "ATC C03CA",
    "drug:aspirin": "aspirin",
}
CODES = (
    *("PROCEDURE//ICD//10//0BH17EZ", "ICD9Proc/96.71", "CPT4/93000", "MEDICATION//START//Furosemide 40 mg"),
    *("MEDICATION//Heparin Sodium//Administered", "ATC/C03CA01", "RxNorm/1191", "NDC/9999"),
    *("MEDICATION//START//unk", "LAB//50912//mg/dL", "PROCEDURE//ICD//10//I10"),
)


def write_meds(folder):
    rows = []
    for subject in range(1, 11):
        rows += [
            (subject, None, "GENDER//F", None),
            (subject, datetime(1960, 5, 1), "MEDS_BIRTH", None),
            (subject, FIRST, "ICD10CM/I50.9", 100 + subject),
            (subject, LAST, "ICD10CM/N17.9", 200 + subject),
            *((subject, FIRST, code, 100 + subject) for code in CODES),
            (subject, LAST, "MEDICATION//START//Canarycillin", 200 + subject),
            (subject, datetime(2020, 3, 4), "MEDICATION//START//Canarylate", 100 + subject),
            (subject, FIRST, "MEDICATION//START//Canary", None),
        ]
    (folder / "data").mkdir(parents=True)
    pl.DataFrame(rows, schema=["subject_id", "time", "code", "hadm_id"], orient="row").write_parquet(
        folder / "data" / "0.parquet"
    )
    descriptions = {"ICD9Proc/96.71": "Mechanical ventilation", "RxNorm/1191": "Aspirin", "NDC/9999": None}
    (folder / "metadata").mkdir()
    pl.DataFrame({"code": list(descriptions), "description": list(descriptions.values())}).write_parquet(
        folder / "metadata" / "codes.parquet"
    )
    return folder


BOTH = ("--events", "procedures,drugs", "--min-event-patients", 3, *EVEN)


def test_events_are_those_of_the_visits_before(tmp_path):
    folder = write_meds(tmp_path / "meds")
    (task,) = run("meds", "--input", folder, "--visit-column", "hadm_id", *BOTH, "--output", tmp_path / "task")
    assert dict(task.events.select("event", "name").iter_rows()) == EXPECTED
    assert all([visit["events"] for visit in row["history"]] == [sorted(EXPECTED)] for row in every_row(task))
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    assert b"canary" not in stored.lower()
    assert dropped(task, "events") == {
        "drug of after the next visit began": 10,
        "drug without a code or a name": 20,
        "drug without a patient or visit": 10,
        "of the last visit, which is to be predicted": 10,
        "procedure without a code or a name": 10,
    }
    assert_adds_up(task)
    assert "metadata/codes.parquet" in task.info["inputs"]


def test_days_are_visits(tmp_path):
    folder = write_meds(tmp_path / "meds")
    (task,) = run("meds", "--input", folder, *BOTH, "--output", tmp_path / "task")
    # What names no visit is of the day all the same, and what came a day later is of no visit's day.
    assert set(task.events["event"]) == {*EXPECTED, "drug:canary"}
    assert dropped(task, "events")["visit dropped, without a usable code, or not listed"] == 10
    assert_adds_up(task)


def test_labs_are_refused_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("meds", "--input", tmp_path, "--events", "labs", "--output", tmp_path / "task")
    assert "meds tells no labs of a visit that could be read; it has procedures, drugs" in capsys.readouterr().err
