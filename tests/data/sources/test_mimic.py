"""The MIMIC adapters: small tables with every kind of trouble, counted by hand; then the demos."""

import gzip
import json

import polars as pl
import pytest
from prepare_case import accounting, assert_adds_up, every_row, example_of, run
from shared_data import shared_data

MIMIC_ADMISSIONS = """SUBJECT_ID,HADM_ID,ADMITTIME,DEATHTIME
1,11,2130-01-10 08:00:00,
1,12,2130-03-01 23:00:00,
1,12,2130-03-01 23:00:00,
1,13,2131-01-01 01:00:00,2130-12-31 20:00:00
1,14,,
2,21,2150-05-05 00:00:00,
2,22,2150-06-06 00:00:00,
"""
MIMIC3_PATIENTS = """SUBJECT_ID,GENDER,DOB,DOD
1,F,2070-01-11 00:00:00,
2,M,1850-01-01 00:00:00,2150-06-01 00:00:00
"""
MIMIC3_DIAGNOSES = """SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE
1,11,2,4280
1,11,1,25001
1,11,3,25001
1,12,1,4019
1,13,1,4019
1,99,1,4019
1,12,2,
2,21,1,E9500
2,22,1,4019
"""


def write_mimic3(folder, extra_patients=6):
    admissions, patients, diagnoses = MIMIC_ADMISSIONS, MIMIC3_PATIENTS, MIMIC3_DIAGNOSES
    for patient in range(3, 3 + extra_patients):
        patients += f"{patient},M,2100-06-01 00:00:00,\n"
        for visit in (1, 2):
            admissions += f"{patient},{patient}{visit},2160-0{visit}-01 00:00:00,\n"
            diagnoses += f"{patient},{patient}{visit},1,4280\n"
    folder.mkdir()
    (folder / "ADMISSIONS.csv").write_text(admissions)
    (folder / "PATIENTS.csv.gz").write_bytes(gzip.compress(patients.encode()))
    (folder / "diagnoses_icd.csv").write_text(diagnoses)
    return folder


def test_mimic3_orders_dates_and_counts(tmp_path):
    folder = write_mimic3(tmp_path / "mimic")
    fractions = ("--fractions", 0.5, 0.25, 0.25)
    (task,) = run("mimic3", "--input", folder, "--output", tmp_path / "task", *fractions)
    row = example_of(task, "1")
    assert row["example_id"] == "1:12"
    assert row["history"] == [{"codes": ["250.01", "428.0"], "days_before": 50}]
    assert (row["targets"], row["age"], row["sex"]) == (["401.9"], 60, "F")
    assert accounting(task)["visits"]["dropped"] == {
        "death before admission": 2,
        "duplicate admission": 1,
        "patient: fewer than 2 visits": 1,
        "without an admission time": 1,
    }
    assert accounting(task)["diagnoses"]["dropped"] == {
        "no code in the row": 1,
        "patient: fewer than 2 visits": 1,
        "repeated in its visit": 1,
        "visit dropped or not listed": 3,
    }
    assert accounting(task)["patients"]["dropped"] == {"fewer than 2 visits": 1}
    assert_adds_up(task)
    assert set(task.info["inputs"]) == {"ADMISSIONS.csv", "PATIENTS.csv.gz", "diagnoses_icd.csv"}


def test_patients_without_a_row_of_their_own_are_counted(tmp_path):
    """A table of patients that was copied by half reads like a whole one."""
    folder = write_mimic3(tmp_path / "mimic")
    whole = gzip.decompress((folder / "PATIENTS.csv.gz").read_bytes()).decode().splitlines(keepends=True)
    (folder / "PATIENTS.csv.gz").write_bytes(gzip.compress("".join(whole[:-3]).encode()))
    (task,) = run("mimic3", "--input", folder, "--output", tmp_path / "task", "--fractions", 0.5, 0.25, 0.25)
    assert task.info["changed"]["patient without a row of their own, whose age and sex are not known"] == 3
    assert sum(row["age"] is None for row in every_row(task)) == 3


@pytest.mark.parametrize("turned", [False, True])
def test_rows_of_a_patient_that_contradict_each_other_are_left_out_and_counted(tmp_path, turned):
    """Neither the order of the rows nor that of the alphabet says which is right."""
    folder = write_mimic3(tmp_path / "mimic")
    header, *rows = gzip.decompress((folder / "PATIENTS.csv.gz").read_bytes()).decode().splitlines()
    both = [rows[0], rows[0].translate(str.maketrans("FM", "MF"))]
    lines = [header, *(both[::-1] if turned else both), *rows[1:], rows[1]]
    (folder / "PATIENTS.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (task,) = run("mimic3", "--input", folder, "--output", tmp_path / "task", "--fractions", 0.5, 0.25, 0.25)
    assert task.info["changed"]["patient whose rows of their own differ, in what is left out"] == 1
    assert [row["sex"] for row in every_row(task)].count(None) == 1
    assert None not in [row["age"] for row in every_row(task)]


def test_admissions_whose_times_contradict_are_counted(tmp_path):
    folder = write_mimic3(tmp_path / "mimic")
    header, *rows = (folder / "ADMISSIONS.csv").read_text().splitlines()
    ends = [f"{row},{'2159-01-01' if row.startswith('5,51,') else '2161-01-01'}" for row in rows]
    again = "6,61,2160-03-03 00:00:00,,2161-01-01"
    (folder / "ADMISSIONS.csv").write_text("\n".join([f"{header},DISCHTIME", *ends, again]))
    (task,) = run("mimic3", "--input", folder, "--output", tmp_path / "task", "--fractions", 0.5, 0.25, 0.25)
    changed = task.info["changed"]
    assert changed["visit that ends on a day before it begins, read as it stands"] == 1
    assert changed["admission that stands there with several times, of which the first counts"] == 1
    assert changed["visit that ended after the patient's next one began, in whose history its codes stand"] == 6


def test_mimic3_row_order_does_not_matter(tmp_path):
    folder = write_mimic3(tmp_path / "mimic")
    fractions = ("--fractions", 0.5, 0.25, 0.25)
    (first,) = run("mimic3", "--input", folder, "--output", tmp_path / "a", *fractions)
    for name in ("ADMISSIONS.csv", "diagnoses_icd.csv"):
        header, *rows = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([header.lower(), *reversed(rows)]))
    (second,) = run("mimic3", "--input", folder, "--output", tmp_path / "b", *fractions)
    assert first.fingerprint == second.fingerprint
    assert first.info["accounting"] == second.info["accounting"]
    assert first.info["inputs"] != second.info["inputs"]


def test_mimic_ages_over_89_become_90(tmp_path):
    folder = write_mimic3(tmp_path / "mimic")
    patients = MIMIC3_PATIENTS.replace("2150-06-01 00:00:00", "")
    for patient in range(3, 9):
        patients += f"{patient},M,2100-06-01 00:00:00,\n"
    (folder / "PATIENTS.csv.gz").write_bytes(gzip.compress(patients.encode()))
    (task,) = run("mimic3", "--input", folder, "--output", tmp_path / "a", "--fractions", 0.5, 0.25, 0.25)
    assert example_of(task, "2")["age"] == 90
    assert example_of(task, "3")["age"] == 59  # the 60th birthday is in June


def write_mimic4(folder, version_of_visit=("9", "10")):
    hosp = folder / "hosp"
    hosp.mkdir(parents=True)
    admissions = ["subject_id,hadm_id,admittime,deathtime"]
    patients = ["subject_id,gender,anchor_age,anchor_year,dod"]
    diagnoses = ["subject_id,hadm_id,seq_num,icd_code,icd_version"]
    codes = {"9": ("4019", "25000", "36570"), "10": ("I10", "E119", "I509")}
    for patient in range(1, 9):
        patients.append(f"{patient},F,60,2150,")
        for visit, version in enumerate(version_of_visit, start=1):
            admissions.append(f"{patient},{patient}{visit},215{visit}-01-01 00:00:00,")
            diagnoses += [
                f"{patient},{patient}{visit},{number},{code},{version}" for number, code in enumerate(codes[version])
            ]
    (hosp / "admissions.csv").write_text("\n".join(admissions))
    (hosp / "patients.csv").write_text("\n".join(patients))
    (hosp / "diagnoses_icd.csv").write_text("\n".join(diagnoses))
    return folder


def test_mimic4_translates_one_version_into_the_other(tmp_path):
    folder = write_mimic4(tmp_path / "mimic")
    options = ("--fractions", 0.5, 0.25, 0.25)
    (task,) = run("mimic4", "--input", folder, "--code-system", "to-icd10", "--output", tmp_path / "ten", *options)
    assert task.info["ontology"] == "icd10cm"
    assert task.codes == ["E11.9", "I10", "I50.9"]
    row = example_of(task, "1")
    assert row["history"] == [{"codes": ["I10", "E11.9"], "days_before": 365}]
    assert row["age"] == 62
    assert task.info["dropped"] == {"no icd10cm code for it in the GEM": 8}
    assert task.info["changed"] == {"icd9cm code translated by the GEM": 16}
    assert_adds_up(task)
    (task,) = run("mimic4", "--input", folder, "--code-system", "to-icd9", "--output", tmp_path / "nine", *options)
    assert task.info["ontology"] == "icd9cm"
    assert task.codes == ["250.00", "365.70", "401.9", "428.9"]
    assert task.info["options"]["code_system"] == "to-icd9"
    assert_adds_up(task)


def test_mimic4_mixed_versions_need_a_choice_and_one_version_none(tmp_path):
    with pytest.raises(ValueError, match=r"mix ICD-9 \(24 rows\) and ICD-10 \(24 rows\); choose with --code-system"):
        run("mimic4", "--input", write_mimic4(tmp_path / "mixed"), "--output", tmp_path / "a")
    folder = write_mimic4(tmp_path / "ten", version_of_visit=("10", "10"))
    options = ("--fractions", 0.5, 0.25, 0.25)
    (task,) = run("mimic4", "--input", folder / "hosp", "--output", tmp_path / "b", *options)
    assert task.info["ontology"] == "icd10cm"
    assert task.info["options"]["code_system"] == "icd10"


def test_mimic4_keeping_one_version_counts_the_other(tmp_path):
    folder = write_mimic4(tmp_path / "mimic", version_of_visit=("9", "10", "10"))
    options = ("--fractions", 0.5, 0.25, 0.25)
    (task,) = run("mimic4", "--input", folder, "--code-system", "icd10", "--output", tmp_path / "a", *options)
    assert task.info["dropped"] == {"icd9cm row, not asked for": 24}
    assert accounting(task)["visits"]["dropped"] == {"without a usable code": 8}
    assert_adds_up(task)
    with pytest.raises(ValueError, match="no patient of mimic4 has 2 visits with a usable code"):
        run("mimic4", "--input", folder, "--code-system", "icd9", "--output", tmp_path / "b")


def test_mimic3_demo_in_full(tmp_path):
    (task,) = run("mimic3", "--input", shared_data("mimic3demo"), "--output", tmp_path / "task")
    assert {unit: record["read"] for unit, record in accounting(task).items()} == {
        "diagnoses": 1761,
        "visits": 129,
        "patients": 100,
    }
    assert accounting(task)["patients"]["used"] == 14
    assert task.info["unknown_codes"] == {}
    assert_adds_up(task)


@pytest.mark.parametrize(
    ("code_system", "ontology", "patients", "reason", "lost"),
    [
        ("icd9", "icd9cm", 28, "icd10cm row, not asked for", 2313),
        ("icd10", "icd10cm", 25, "icd9cm row, not asked for", 2193),
        ("to-icd9", "icd9cm", 48, "no icd9cm code for it in the GEM", 17),
        ("to-icd10", "icd10cm", 48, "no icd10cm code for it in the GEM", 31),
    ],
)
def test_mimic4_demo_in_full(tmp_path, code_system, ontology, patients, reason, lost):
    folder = shared_data("mimic4demo")
    (task,) = run("mimic4", "--input", folder, "--code-system", code_system, "--output", tmp_path / "task")
    assert {unit: record["read"] for unit, record in accounting(task).items()} == {
        "diagnoses": 4506,
        "visits": 275,
        "patients": 100,
    }
    assert task.info["ontology"] == ontology
    assert accounting(task)["patients"]["used"] == patients
    assert task.info["dropped"][reason] == lost
    assert_adds_up(task)
    table = pl.read_parquet(task.path / "codes.parquet")
    assert table["definition"].null_count() == 0
    assert json.loads((task.path / "task.json").read_text())["unknown_codes"] == {}
