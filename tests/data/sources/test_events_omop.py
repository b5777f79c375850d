"""Procedures, drugs and measurements of OMOP: named by their concepts, of past visits alone, everything counted."""

import omop_tables as omop
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run, write_csv

OPTIONS = ("--code-system", "icd10", "--events", "procedures,drugs,labs", "--min-event-patients", 3, *EVEN)
EXPECTED = {
    "procedure:71001": "Electrocardiogram",
    "procedure:local_bypass": "Local Bypass",
    "drug:C03CA": "Sulfonamides, plain",
    "drug:metoprolol": "metoprolol",
    "drug:lasix": "lasix",
    "lab:73001:high": "Creatinine high",
    "lab:73002:low": "Sodium low",
}


def write_omop(folder, tables):
    for name, rows in tables.items():
        write_csv(folder / f"{name}.csv", rows)
    return folder


def test_events_are_those_of_the_visits_before(tmp_path):
    folder = write_omop(tmp_path / "cdm", omop.tables() | omop.event_tables())
    (task,) = run("omop", "--input", folder, *OPTIONS, "--output", tmp_path / "task")
    assert dict(task.events.select("event", "name").iter_rows()) == EXPECTED
    assert all([visit["events"] for visit in row["history"]] == [sorted(EXPECTED)] for row in every_row(task))
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    assert b"canary" not in stored.lower()
    assert dropped(task, "events") == {
        "lab of which nothing says whether it is in range": 12,
        "lab within its range": 12,
        "of the last visit, which is to be predicted": 36,
        "procedure of after the next visit began": 12,
        "procedure without a code or a name": 12,
        "procedure without a patient or visit": 12,
    }
    assert_adds_up(task)
    assert {"drug_exposure.csv", "measurement.csv", "procedure_occurrence.csv"} <= set(task.info["inputs"])


def test_without_ancestors_a_drug_is_in_the_class_of_its_name(tmp_path):
    tables = omop.tables() | omop.event_tables()
    del tables["concept_ancestor"]
    folder = write_omop(tmp_path / "cdm", tables)
    (task,) = run("omop", "--input", folder, *OPTIONS, "--output", tmp_path / "task")
    drugs = {"drug:furosemide", "drug:metoprolol", "drug:lasix"}
    assert set(task.events.filter(kind="drug")["event"]) == drugs
