"""The preparation of papers (`--rules`) and MDACE's evidence, on MIMIC-III and IV as written by hand."""

import json

import pytest
from mimic3_notes import write_mimic3
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, run, write_csv

from data.prepare.sources import source_named


def prepared(tmp_path, *options, name="t", source="mimic3"):
    (task,) = run(source, "--kind", "coding", "--output", tmp_path / name, *EVEN, *options)
    assert_adds_up(task)
    return task


def test_mullenbach_takes_all_notes_in_the_order_of_the_file(tmp_path, capsys):
    folder = write_mimic3(tmp_path / "m3")
    task = prepared(tmp_path, "--input", folder, "--rules", "mullenbach")
    printed = " ".join(capsys.readouterr().out.split())
    assert "notes prepared by the rules of mullenbach; the targets are diagnoses alone" in printed
    assert example_of(task, "1")["text"].endswith(
        "second addendum first addendum an early report first addendum an error"
    )
    assert example_of(task, "9")["text"] == "addendum alone"
    assert dropped(task, "notes") == {
        "not a discharge summary": 1,
        "without an admission or patient id": 1,
        "admission dropped or not listed": 1,
    }
    assert task.info["options"]["rules"] == "mullenbach"
    assert task.info["options"]["min_code_count"] == 1


def test_edin_drops_codes_of_fewer_than_ten_admissions(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    patients = [*range(1, 9)]
    diagnoses = [["ROW_ID", "SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"]]
    diagnoses += [[1, patient, patient * 10, 1, "4280"] for patient in patients] + [[1, 9, 90, 1, "4280"]]
    write_csv(folder / "DIAGNOSES_ICD.csv.gz", diagnoses)
    with pytest.raises(ValueError, match="has a note with a usable code"):
        prepared(tmp_path, "--input", folder, "--rules", "edin")
    assert len(every_row(prepared(tmp_path, "--input", folder, "--rules", "mullenbach"))) == 9


def test_near_copies_and_admissions_after_death_stay(tmp_path):
    admissions = [["subject_id", "hadm_id", "admittime", "deathtime"]]
    patients = [["subject_id", "gender", "anchor_age", "anchor_year", "dod"]]
    diagnoses = [["subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"]]
    notes = [["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "text"]]
    for patient in range(12):
        admissions.append([patient, patient + 100, "2130-01-10 08:00:00", ""])
        patients.append([patient, "F", 60, 2130, "2129-01-01" if patient == 3 else ""])
        diagnoses.append([patient, patient + 100, 1, "I10", 10])
        notes.append([f"{patient}-DS-1", patient, patient + 100, "DS", 1, "2130-01-12 00:00:00", "The same 12 Words"])
    notes.append(["0-DS-2", 0, 100, "DS", 2, "2130-01-11 00:00:00", "another"])
    notes.append(["0-DS-3", 0, 100, "DS", 3, "2130-01-11 00:00:00", "another"])
    for name, rows in (("admissions", admissions), ("patients", patients), ("diagnoses_icd", diagnoses)):
        write_csv(tmp_path / "hosp" / f"{name}.csv", rows)
    options = ("--input", tmp_path / "hosp", "--notes", write_csv(tmp_path / "discharge.csv", notes))
    task = prepared(tmp_path, *options, "--rules", "edin", source="mimic4")
    assert len(every_row(task)) == 12
    assert example_of(task, "0")["text"] == "the same words another"
    assert dropped(task, "notes") == {"repeats another of its admission": 1}
    with pytest.raises(ValueError, match=r"^all \d patients of the validation split have notes that are nearly"):
        prepared(tmp_path, *options, source="mimic4", name="u")


def test_rules_are_for_coding(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    with pytest.raises(ValueError, match="--rules is for --kind coding"):
        run("mimic3", "--input", folder, "--rules", "edin", "--output", tmp_path / "t")
    assert "edin" in source_named("mimic3").help


def chart(folder, hadm, notes):
    folder.mkdir(exist_ok=True)
    content = {
        "hadm_id": hadm,
        "comment": "",
        "notes": [
            {
                "note_id": note,
                "category": "Discharge summary",
                "description": "Report",
                "annotations": [
                    {
                        "begin": begin,
                        "end": end,
                        "code": code,
                        "code_system": system,
                        "description": "",
                        "type": "Human",
                    }
                    for begin, end, code, system in annotations
                ],
            }
            for note, annotations in notes.items()
        ],
    }
    (folder / f"{hadm}-ICD-9.json").write_text(json.dumps(content))


def test_the_evidence_lies_where_the_coders_saw_it(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    charts = tmp_path / "charts"
    report = "Admission Date:  [**2130-1-10**]"
    notes = {
        1: [(0, len(report), "428.0", "ICD-9-CM"), (10, 5, "428.0", "ICD-9-CM"), (0, 9999, "428.0", "ICD-9-CM")],
        91: [(0, 6, "401.9", "ICD-9-CM"), (0, 6, "39.95", "ICD-9-PCS")],
        92: [(6, 14, "4019", "ICD-9-CM")],  # repeats note 90, which is in the text
        93: [(0, 3, "428.0", "ICD-9-CM")],  # of nursing
        89: [(3, 8, "250.00", "ICD-9-CM"), (3, 8, "NOCODE", "ICD-9-CM")],
    }
    chart(charts, 10, notes)
    chart(charts, 20, {"2": [(0, 14, "428.0", "ICD-9-CM"), (0, 14, "428.0", "ICD-9-CM")]})
    task = prepared(tmp_path, "--input", folder, "--evidence", charts)
    row = example_of(task, "1")
    assert [(span["code"], row["text"][span["start"] : span["end"]]) for span in row["evidence"]] == [
        ("428.0", report),
        ("401.9", "addendum"),
        ("401.9", "second"),
    ]
    assert [span["code"] for span in example_of(task, "2")["evidence"]] == ["428.0"]
    assert task.info["changed"] == {
        "evidence for a code that is not ICD-9-CM, left out": 1,
        "evidence for a code that its admission lacks, left out": 1,
        "evidence for a code that no edition knows, left out": 1,
        "evidence in a note that is not in the text, left out": 1,
        "evidence without a place in its text left out": 2,
    }
    assert "charts/" in task.info["inputs"]


def test_spaces_before_a_note_do_not_move_its_evidence(tmp_path):
    folder = write_mimic3(tmp_path / "m3")
    rows = [["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "CATEGORY", "DESCRIPTION", "ISERROR", "TEXT"]]
    for patient in range(1, 9):
        text = f"  \n  heart failure of number {'abcdefgh'[patient - 1] * 5}"
        rows.append([patient, patient, patient * 10, "2130-01-20", "", "Discharge summary", "Report", "", text])
    write_csv(folder / "NOTEEVENTS.csv.gz", rows)
    chart(tmp_path / "charts", 30, {3: [(5, 18, "428.0", "ICD-9-CM"), (0, 18, "428.0", "ICD-9-CM")]})
    row = example_of(prepared(tmp_path, "--input", folder, "--evidence", tmp_path / "charts"), "3")
    assert [row["text"][span["start"] : span["end"]] for span in row["evidence"]] == ["heart failure"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no chart of MDACE"),
        ('{"notes": [{"note_id": 1}]}', "is no chart of MDACE"),
        ("[" * 100_000, "is no chart of MDACE"),
        ('{"notes": []}', "holds no evidence for codes of ICD-9-CM; take MDACE's folder ICD-9"),
    ],
)
def test_other_json_is_refused(tmp_path, content, message):
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "1.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, "--input", write_mimic3(tmp_path / "m3"), "--evidence", tmp_path / "charts")


def test_evidence_needs_the_notes_as_they_are(tmp_path):
    options = ("--input", write_mimic3(tmp_path / "m3"), "--evidence", tmp_path)
    with pytest.raises(ValueError, match="--evidence counts characters of the notes as they are"):
        prepared(tmp_path, *options, "--rules", "edin")
    with pytest.raises(FileNotFoundError, match=r"holds no \.json file"):
        prepared(tmp_path, *options)
