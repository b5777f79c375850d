"""Notes in exactly the published formats: NOTEEVENTS, MIMIC-IV-Note discharge, MIMIC-CXR reports and their joins."""

import csv
import gzip
import zipfile

import pytest
from mimic3_notes import summary, write_mimic3
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, run, write_csv

from data.sources.mimic_cxr import find_sections, report_text
from data.table_files.note_stream import NoteStream


def test_mimic3_summaries_come_first_then_addenda_each_oldest_first(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    (task,) = run("mimic3", "--input", folder, "--kind", "coding", "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "1")
    early, report, first, second = row["text"].split("\n\n", 1)[0], summary(1, ""), "first addendum", "second addendum"
    assert early == "an early report"
    assert row["text"].endswith(f"\n\n{first}\n\n{second}")
    assert report.strip() in row["text"]
    assert '"MEDICINE"' in row["text"]
    assert (row["targets"], row["history"], row["age"], row["sex"]) == (["428.0", "401.9"], [], 59, "F")
    assert dropped(task, "notes") == {
        "not a discharge summary": 1,
        "marked as an error": 1,
        "without an admission or patient id": 1,
        "admission dropped or not listed": 1,
        "addendum without a summary": 1,
        "repeats another of its admission": 1,
    }
    assert task.info["accounting"]["notes"]["used"] == 8 + 3
    assert dropped(task, "visits") == {"without a discharge summary": 2}
    assert dropped(task, "patients") == {"without a discharge summary": 1}
    assert "NOTEEVENTS.csv.gz" in task.info["inputs"]
    assert_adds_up(task)


def read_csv(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(("flag", "enters"), [("1.0", False), ("True", False), ("y", False), ("0.0", True), ("", True)])
def test_notes_filed_in_error_never_enter(tmp_path, flag, enters):
    folder = write_mimic3(tmp_path / "m3")
    path = folder / "NOTEEVENTS.csv.gz"
    rows = read_csv(path)
    rows.append(
        [98, "1.0", "10.0", "2130-01-24T00:00:00Z", "nan", "", "Discharge summary", "Addendum", "", flag, "late"]
    )
    write_csv(path, rows, csv.QUOTE_ALL)
    (task,) = run("mimic3", "--input", folder, "--kind", "coding", "--output", tmp_path / "t", *EVEN)
    assert example_of(task, "1")["text"].endswith("\n\nlate") == enters
    assert dropped(task, "notes")["marked as an error"] == 2 - enters


def test_times_of_notes_that_cannot_be_read_are_counted(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    path = folder / "NOTEEVENTS.csv.gz"
    rows = read_csv(path)
    rows[1][3] = "20 Jan"
    write_csv(path, rows, csv.QUOTE_ALL)
    (task,) = run("mimic3", "--input", folder, "--kind", "coding", "--output", tmp_path / "t", *EVEN)
    assert task.info["unreadable"] == {
        "NOTEEVENTS, charttime or chartdate": {"meaning": "a date or time", "values": 1, "forms": ["99 Aaa"]}
    }


def test_diagnosis_tasks_never_hold_a_note(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    with pytest.raises(ValueError, match="no patient of mimic3 has 2 visits"):
        run("mimic3", "--input", folder, "--output", tmp_path / "t")


def write_mimic4(folder):
    admissions = [["subject_id", "hadm_id", "admittime", "dischtime", "deathtime"]]
    patients = [["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"]]
    diagnoses = [["subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"]]
    notes = [["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text"]]
    for patient in range(10000001, 10000009):
        patients.append([patient, "M", 50, 2150, "2008 - 2010", ""])
        stay = patient + 10000000
        admissions.append([patient, stay, "2151-01-10 08:00:00", "2151-01-20 18:00:00", ""])
        diagnoses += [[patient, stay, 1, "I509", 10], [patient, stay, 2, "E119  ", 10]]
        words = " ".join(f"{word}{chr(97 + patient % 10) * 4}" for word in "abcdefghij")
        notes.append(
            [f"{patient}-DS-2", patient, stay, "DS", 2, "2151-01-21 00:00:00", "", f" \nName:  ___ \n{words}\n"]
        )
    stay = 20000001
    notes.append(["10000001-AD-1", 10000001, stay, "AD", 1, "2151-01-20 00:00:00", "", "addendum text"])
    notes.append(["10000001-XX-1", 10000001, stay, "XX", 1, "2151-01-20 00:00:00", "", "other"])
    write_csv(folder / "hosp" / "admissions.csv.gz", admissions)
    write_csv(folder / "hosp" / "patients.csv.gz", patients)
    write_csv(folder / "hosp" / "diagnoses_icd.csv.gz", diagnoses)
    write_csv(folder / "note" / "discharge.csv.gz", notes)
    return folder


def test_mimic4_discharge_notes(tmp_path):
    folder = write_mimic4(tmp_path / "m4")
    options = ("mimic4", "--input", folder, "--kind", "coding")
    (task,) = run(*options, "--notes", folder, "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "10000001")
    assert row["text"].startswith("Name:  ___ \na")
    assert row["text"].endswith("\n\naddendum text")
    assert (row["targets"], row["age"]) == (["I50.9", "E11.9"], 51)
    assert dropped(task, "notes") == {"not a discharge summary": 1}
    assert_adds_up(task)
    (again,) = run(*options, "--notes", folder / "note" / "discharge.csv.gz", "--output", tmp_path / "u", *EVEN)
    assert again.fingerprint == task.fingerprint
    with pytest.raises(ValueError, match="--kind coding needs --notes"):
        run(*options, "--output", tmp_path / "v")
    with pytest.raises(FileNotFoundError, match=r"holds neither discharge\.csv nor"):
        run(*options, "--notes", folder / "hosp", "--output", tmp_path / "v")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column row_id"),
        (b"row_id,text\n", "has a header but no rows"),
        (b"row_id,text\n1,a,b\n", "has 3 fields in row 2, its header 2"),
        (b'row_id,text\n1,"never closed\n', "line 2: a quote is opened or closed wrongly"),
        (b"row_id,text\n1,caf\xe9\n", "is not a CSV in UTF-8"),
        (b"row_id,text\n1,a\x00b\n", "row 2 holds binary data"),
        (gzip.compress(b"row_id,text\n1,a\n" * 50, mtime=0)[:-12], "is cut off"),
        (b"\x1f\x8b" + b"nonsense" * 9, "is a damaged gzip file"),
    ],
)
def test_damaged_note_files(tmp_path, content, message):
    (tmp_path / "notes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        list(NoteStream(tmp_path / "notes.csv", "notes", ["row_id", "text"]))
    assert str(tmp_path / "notes.csv") in str(caught.value)
    with pytest.raises(FileNotFoundError, match="notes not found"):
        NoteStream(tmp_path / "none.csv", "notes", ["text"])


def test_huge_notes_are_read(tmp_path):
    write_csv(tmp_path / "notes.csv.gz", [["row_id", "text"], [1, "word " * 200_000]])
    ((row_id, text),) = NoteStream(tmp_path / "notes.csv.gz", "notes", ["row_id", "text"])
    assert (row_id, len(text)) == ("1", 1_000_000)
    assert csv.field_size_limit() == 131_072


REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // eval for pneumonia

 COMPARISON:  None.

 FINDINGS:

 The lungs are clear of{words}. Note: no effusion.
 Heart size is normal.

 IMPRESSION:

 No acute process{words}.
"""


def test_sections_of_a_report():
    found = find_sections(REPORT.format(words=" x"))
    assert found == {
        "findings": "The lungs are clear of x. Note: no effusion. Heart size is normal.",
        "impression": "No acute process x.",
    }
    assert report_text(REPORT.format(words=""), ["impression"]) == "Impression: No acute process."
    assert report_text("FINAL REPORT\n INDICATION: cough\n") is None
    assert report_text(" FINDINGS AND IMPRESSION: all well") == "Findings: all well"
    assert report_text(" IMPRESSION:\n\n") is None


def write_cxr(folder, as_zip):
    """One study in each patient's admission; patient 1 has a second one there, and three that match nothing."""
    hosp = write_mimic4(folder)
    studies = {patient: [(patient * 10 + 1, "21510111", "93001.5")] for patient in range(10000001, 10000009)}
    studies[10000001] += [
        (900, "21510120", "180000"),  # the last minute of the stay
        (901, "21510120", "180001"),
        (902, "21500101", "120000"),
        (903, None, None),  # not in the metadata
        (904, "21510112", "120000"),  # a report without sections
    ]
    metadata = [["dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime"]]
    files = {}
    for patient, of_patient in studies.items():
        for study, date, time in of_patient:
            words = "".join(f" {word}{chr(97 + study % 13) * 3}{chr(97 + study % 11) * 2}" for word in "abcdefgh")
            text = "FINAL REPORT\n INDICATION: cough\n" if study == 904 else REPORT.format(words=words)
            files[f"files/p{str(patient)[:2]}/p{patient}/s{study}.txt"] = text
            if date is not None:
                metadata += [[f"d{study}-{view}", patient, study, view, date, time] for view in ("PA", "LATERAL")]
    write_csv(folder / "mimic-cxr-2.0.0-metadata.csv.gz", metadata)
    if as_zip:
        with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return folder / "mimic-cxr-reports.zip", hosp
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "files", hosp


def prepare_cxr(tmp_path, name, reports, *codes):
    metadata = next(tmp_path.glob(f"{name}/mimic-cxr-2.0.0-metadata*"))
    options = ("mimic-cxr", "--reports", reports, "--metadata", metadata, *codes)
    return run(*options, "--output", tmp_path / f"{name}-task", *EVEN)[0]


def test_reports_take_the_codes_of_the_admission_they_lie_in(tmp_path):
    tasks = []
    for name in ("zip", "tree"):
        reports, hosp = write_cxr(tmp_path / name, as_zip=name == "zip")
        tasks.append(prepare_cxr(tmp_path, name, reports, "--hosp", hosp))
    task = tasks[0]
    assert task.fingerprint == tasks[1].fingerprint
    assert {row["example_id"] for row in every_row(task) if row["patient_id"] == "10000001"} == {
        "10000001:100000011",
        "10000001:900",
    }
    row = next(row for row in every_row(task) if row["example_id"] == "10000001:900")
    assert (row["targets"], row["sex"], row["age"], row["history"]) == (["I50.9", "E11.9"], "M", 51, [])
    assert row["text"].startswith("Findings: The lungs are clear of")
    assert task.info["join"] == {
        "rule": "study time within admittime and dischtime of a hosp admission",
        "studies": 13,
        "unmatched": 3,
        "unmatched_share": 0.2308,
    }
    assert dropped(task, "visits") == {
        "without a time in the metadata": 1,
        "inside no admission": 2,
        "without findings or impression": 1,
    }
    assert task.info["accounting"]["diagnoses"]["added"] == {"stay with several studies": 2}
    assert_adds_up(task)


@pytest.mark.parametrize(("clock", "form"), [("1e308", "9a+999"), ("inf", "aaa"), ("-5", "-9"), ("236000", "999999")])
def test_a_clock_that_is_none_is_counted_and_its_study_has_no_time(tmp_path, clock, form):
    reports, hosp = write_cxr(tmp_path / "odd", as_zip=True)
    metadata = tmp_path / "odd" / "mimic-cxr-2.0.0-metadata.csv.gz"
    rows = gzip.decompress(metadata.read_bytes()).decode().replace("180000", clock)
    metadata.write_bytes(gzip.compress(rows.encode()))
    task = prepare_cxr(tmp_path, "odd", reports, "--hosp", hosp)
    assert dropped(task, "visits")["without a time in the metadata"] == 2
    (odd,) = task.info["unreadable"].values()
    assert odd == {"meaning": "a time of day as hhmmss", "values": 2, "forms": [form]}
    assert_adds_up(task)


def test_reports_with_the_codes_of_an_ed_stay(tmp_path):
    reports, _ = write_cxr(tmp_path / "ed-case", as_zip=True)
    ed = tmp_path / "ed"
    stays = [["subject_id", "hadm_id", "stay_id", "intime", "outtime", "gender", "race", "arrival_transport"]]
    diagnoses = [["subject_id", "stay_id", "seq_num", "icd_code", "icd_version", "icd_title"]]
    for patient in range(10000001, 10000009):
        stays.append([patient, "", patient + 5, "2151-01-11 01:00:00", "2151-01-11 12:00:00", "F", "WHITE", "WALK IN"])
        diagnoses.append([patient, patient + 5, 1, "R05", 10, "COUGH"])
    write_csv(ed / "edstays.csv.gz", stays)
    write_csv(ed / "diagnosis.csv", diagnoses)
    task = prepare_cxr(tmp_path, "ed-case", reports, "--ed", ed, "--sections", "impression")
    row = example_of(task, "10000002")
    assert (row["targets"], row["sex"], row["age"]) == (["R05"], "F", None)
    assert row["text"].startswith("Impression: No acute")
    assert task.info["join"]["unmatched"] == 5
    assert_adds_up(task)


def test_cxr_options_that_cannot_be(tmp_path):
    reports, hosp = write_cxr(tmp_path / "c", as_zip=True)
    with pytest.raises(ValueError, match="needs one of --hosp and --ed"):
        prepare_cxr(tmp_path, "c", reports)
    with pytest.raises(FileNotFoundError, match="reports not found"):
        prepare_cxr(tmp_path, "c", tmp_path / "none.zip", "--hosp", hosp)
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="is a damaged or protected zip file"):
        prepare_cxr(tmp_path, "c", tmp_path / "bad.zip", "--hosp", hosp)
    with pytest.raises(FileNotFoundError, match="holds no reports named"):
        prepare_cxr(tmp_path, "c", hosp / "hosp", "--hosp", hosp)
