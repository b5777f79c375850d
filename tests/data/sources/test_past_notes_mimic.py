"""Notes of past visits of MIMIC-III and MIMIC-IV: discharge summaries, and only what was charted in time."""

import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, note, run, write_csv

from data.cohorts.notes.plain_text import plain_text


def write_mimic(folder, version):
    """Eight patients with three admissions; discharge summaries of the first and last, one of them charted late."""
    admissions = [["subject_id", "hadm_id", "admittime", "deathtime"]]
    patients = [["subject_id", "gender", "anchor_age", "anchor_year", "dob", "dod"]]
    diagnoses = [["subject_id", "hadm_id", "seq_num", "icd9_code", "icd_code", "icd_version"]]
    columns = (
        "row_id,note_id,subject_id,hadm_id,chartdate,charttime,category,description,iserror,note_type,note_seq,text"
    )
    notes = [columns.split(",")]

    def add(patient, stay, time, text, addendum=False):
        number = len(notes)
        kind = ("Addendum", "AD") if addendum else ("Report", "DS")
        date = time.split()[0] if time else ""
        charted = "" if version == 3 else time
        about = [number, f"{patient}-{number}", patient, stay, date, charted, "Discharge summary", kind[0], "", kind[1]]
        notes.append([*about, number, text])

    for patient in range(1, 9):
        patients.append([patient, "F", 50, 2150, "2100-01-01 00:00:00", ""])
        for visit in range(3):
            stay = patient * 10 + visit
            admissions.append([patient, stay, f"2150-0{visit + 1}-10 08:00:00", ""])
            diagnoses.append([patient, stay, 1, "4280", "4280", 9])
        add(patient, patient * 10, "2150-01-20 00:00:00", note(patient, 0))
        add(patient, patient * 10 + 2, "2150-03-20 00:00:00", note(patient, 2))
    add(1, 10, "2150-01-25 00:00:00", "in time", addendum=True)
    add(1, 10, "2150-02-11 00:00:00", "too late: canary-1-1", addendum=True)
    add(2, 20, "", "undated: canary-2-1", addendum=True)
    add(3, 31, "2150-03-11 00:00:00", "the summary came after the next admission began: canary-3-2")
    tables = {
        3: ("ADMISSIONS.csv", "PATIENTS.csv", "DIAGNOSES_ICD.csv", "NOTEEVENTS.csv"),
        4: ("hosp/admissions.csv", "hosp/patients.csv", "hosp/diagnoses_icd.csv", "note/discharge.csv"),
    }[version]
    for name, rows in zip(tables, (admissions, patients, diagnoses, notes), strict=True):
        write_csv(folder / name, rows)
    return folder


@pytest.mark.parametrize("version", [3, 4])
def test_mimic_visits_stay_without_a_note_and_late_notes_are_not_told(tmp_path, version):
    folder = write_mimic(tmp_path / "mimic", version)
    options = (f"mimic{version}", "--input", folder, "--every-visit", *EVEN)
    notes = () if version == 3 else ("--notes", folder / "note")
    (task,) = run(*options, *notes, "--past-notes", "--output", tmp_path / "task")
    (plain,) = run(*options, "--output", tmp_path / "plain")
    assert [row["targets"] for row in every_row(task)] == [row["targets"] for row in every_row(plain)]
    assert plain.info["accounting"]["visits"] == task.info["accounting"]["visits"]
    last = [row for row in every_row(task) if row["example_id"] == "1:12"]
    assert [visit["text"] for visit in last[0]["history"]] == [plain_text(f"{note(1, 0)}\n\nin time").text, None]
    assert example_of(task, "2")["history"][0]["text"] == plain_text(note(2, 0)).text
    assert [visit["text"] for visit in example_of(task, "3")["history"]][1:] in ([], [None])
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    for leak in ("canary-1-1", "canary-2-1", "canary-3-2", *(f"canary-{patient}-2" for patient in range(1, 9))):
        assert leak.encode() not in stored
    assert dropped(task, "notes") == {
        "charted after the next admission began": 2,
        "without a time, so perhaps of after the next admission": 1,
        "of the last visit, which is to be predicted": 8,
    }
    assert task.info["past_notes"] == {
        "visits_with_a_note": 8,
        "visits_with_several_notes": 1,
        "visits_without_a_note": 8,
    }
    assert any("NOTE" in name.upper() or "discharge" in name for name in task.info["inputs"])
    assert_adds_up(task)
    with pytest.raises(ValueError, match="--notes is read with --kind coding, or with --past-notes"):
        run(*options, "--notes", folder, "--output", tmp_path / "u")
    if version == 4:
        with pytest.raises(ValueError, match="--past-notes needs --notes"):
            run(*options, "--past-notes", "--output", tmp_path / "u")
