"""Procedures, drugs and labs of MIMIC: one token each, of past visits alone, everything counted."""

import hashlib

import pytest
from mimic_events import write_mimic4
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run, write_csv

from data.prepare.patient_sample import sample_patients
from data.task import load_task, without_events

ALL = ("--events", "procedures,drugs,labs", "--min-event-patients", 3)


def prepared(tmp_path, *options, name="task"):
    folder = tmp_path / "hosp"
    if not folder.exists():
        write_mimic4(folder)
    (task,) = run("mimic4", "--input", folder, "--code-system", "icd10", *EVEN, *options, "--output", tmp_path / name)
    return task


EXPECTED = {
    "drug:furosemide": "furosemide",
    "drug:visit-a": "visit-a",
    "drug:visit-b": "visit-b",
    "lab:50912:high": "Creatinine high",
    "lab:51006:abnormal": "Urea Nitrogen (Urine) abnormal",
    "procedure:10:0BH17EZ": "Insertion of Endotracheal Airway into Trachea",
    "procedure:9:9671": "Miscellaneous diagnostic and therapeutic procedures (96.71)",
}


@pytest.mark.parametrize("every_visit", [True, False])
def test_events_are_those_of_the_visits_before_and_no_canary_is_stored(tmp_path, every_visit):
    task = prepared(tmp_path, *ALL, *["--every-visit"] * every_visit)
    assert dict(task.events.select("event", "name").iter_rows()) == EXPECTED
    assert task.events["train_patients"].to_list() == sorted(task.events["train_patients"].to_list())
    rows = every_row(task)
    assert len(rows) == (18 if every_visit else 12)
    for row in rows:
        target = int(row["example_id"][-1])
        assert len(row["history"]) == target
        for number, visit in enumerate(row["history"]):
            others = set(EXPECTED) - {"drug:visit-a", "drug:visit-b"}
            assert visit["events"] == sorted(others | {f"drug:visit-{'ab'[number]}"})
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    assert b"canary" not in stored.lower()
    assert b"visit-c" not in stored
    assert dropped(task, "events") == {
        "drug of after the next visit began": 12,
        "lab of after the next visit began": 12,
        "lab without a patient or visit": 1,
        "lab within its range, or not flagged": 36,
        # furosemide, visit-c, the canaries of drug, lab and procedure, two labs, two procedures
        "of the last visit, which is to be predicted": 12 * 9,
        "solution that carries a drug": 36,
    }
    assert task.info["events"] == {
        "kinds": ["procedures", "drugs", "labs"],
        "min_patients": 3,
        "vocabulary": {"drug": 3, "lab": 2, "procedure": 2},
        "visits_with_events": 24,
        "visits_without_events": 0,
    }
    assert_adds_up(task)
    assert {"prescriptions.csv", "procedures_icd.csv", "labevents.csv"} <= set(task.info["inputs"])


def test_rare_events_are_counted_and_a_kind_can_stand_alone(tmp_path):
    folder = write_mimic4(tmp_path / "hosp")
    with (folder / "prescriptions.csv").open("a", encoding="utf-8") as file:
        file.write("1,10,2150-01-11 00:00:00,MAIN,Rarecillin,IV\n")
    task = prepared(tmp_path, "--events", "drugs", "--min-event-patients", 3)
    assert set(task.events["kind"]) == {"drug"}
    assert dropped(task, "events")["in the past visits of fewer than 3 training patients"] == 1
    assert_adds_up(task)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_without_the_option_a_task_has_no_trace_of_events(tmp_path):
    plain, with_events = prepared(tmp_path, name="plain"), prepared(tmp_path, *ALL, name="events")
    assert not plain.has_events
    assert with_events.has_events
    assert not without_events(with_events).has_events
    assert "events" not in (plain.path / "task.json").read_text()
    assert "events.parquet" not in files_of(plain.path)
    assert plain.fingerprint != with_events.fingerprint
    bare = [
        row | {"history": [{key: visit[key] for key in ("codes", "days_before")} for visit in row["history"]]}
        for row in every_row(with_events)
    ]
    assert bare == every_row(plain)


def test_the_order_of_rows_changes_no_byte(tmp_path):
    digests = []
    for seed in (1, 2):
        folder = write_mimic4(tmp_path / str(seed) / "hosp", seed=seed)
        output = tmp_path / str(seed) / "task"
        (task,) = run("mimic4", "--input", folder, "--code-system", "icd10", *EVEN, *ALL, "--output", output)
        digests.append({name: digest for name, digest in files_of(task.path).items() if name != "task.json"})
        digests[-1]["fingerprint"] = task.fingerprint
    assert digests[0] == digests[1]


def test_a_changed_table_of_events_is_refused(tmp_path):
    task = prepared(tmp_path, *ALL)
    other = task.events.with_columns(name=task.events["name"].reverse())
    other.write_parquet(task.path / "events.parquet")
    with pytest.raises(ValueError, match=r"changed after it was made: events\.parquet no longer match"):
        load_task(task.path)
    (task.path / "events.parquet").unlink()
    with pytest.raises(ValueError, match="only some parts have events of past visits"):
        load_task(task.path)


def test_a_sample_keeps_the_events(tmp_path):
    task = prepared(tmp_path, *ALL)
    sample = sample_patients(task, tmp_path / "sample", 3, None, 0)
    assert set(sample.events["event"]) == set(EXPECTED)
    assert sample.events["train_patients"].max() == 3


def test_mimic3_has_no_ranges_so_a_lab_is_abnormal(tmp_path):
    folder = tmp_path / "mimic3"
    admissions = [["subject_id", "hadm_id", "admittime", "deathtime"]]
    people = [["subject_id", "gender", "dob", "dod"]]
    diagnoses = [["subject_id", "hadm_id", "seq_num", "icd9_code"]]
    labs = [["subject_id", "hadm_id", "itemid", "charttime", "valuenum", "flag"]]
    for patient in range(1, 9):
        people.append([patient, "M", "2090-01-01 00:00:00", ""])
        for visit in (0, 1):
            about = [patient, 10 * patient + visit]
            admissions.append([*about, f"2150-0{visit + 1}-01 00:00:00", ""])
            diagnoses.append([*about, 1, "4280"])
            charted = f"2150-0{visit + 1}-02 00:00:00"
            labs += [[*about, 50912, charted, 3, "abnormal"], [*about, 50912, charted, 1, ""]]
    for name, rows in (("ADMISSIONS", admissions), ("PATIENTS", people), ("DIAGNOSES_ICD", diagnoses)):
        write_csv(folder / f"{name}.csv", rows)
    write_csv(folder / "LABEVENTS.csv.gz", labs)
    write_csv(folder / "D_LABITEMS.csv", [["itemid", "label", "fluid"], [50912, "Creatinine", "Blood"]])
    (task,) = run(
        *("mimic3", "--input", folder, "--events", "labs", "--min-event-patients", 2, *EVEN),
        *("--output", tmp_path / "task"),
    )
    assert dict(task.events.select("event", "name").iter_rows()) == {"lab:50912:abnormal": "Creatinine abnormal"}
    assert dropped(task, "events")["lab within its range, or not flagged"] == 16


def test_what_cannot_be_asked_for(tmp_path, capsys):
    folder = write_mimic4(tmp_path / "hosp")
    for asked, sentence in (
        ("drugs,notes", "kinds of events are procedures, drugs, labs, with commas between them"),
        (",", "kinds of events are procedures, drugs, labs"),
    ):
        with pytest.raises(SystemExit):
            run("mimic4", "--input", folder, "--events", asked, "--output", tmp_path / "task")
        assert sentence in capsys.readouterr().err
    with pytest.raises(
        ValueError, match="procedures, drugs and labs are for --kind diagnosis: a coding task has no history"
    ):
        run("mimic4", "--input", folder, "--kind", "coding", "--events", "drugs", "--output", tmp_path / "task")
    with pytest.raises(ValueError, match="--min-event-patients must be at least 1, got 0"):
        prepared(tmp_path, "--events", "drugs", "--min-event-patients", 0)
    (folder / "labevents.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds neither labevents\.csv nor labevents\.csv\.gz"):
        prepared(tmp_path, "--events", "labs")
