"""eICU: small files in its format, counted by hand; then the demo."""

import polars as pl
from prepare_case import EVEN, assert_adds_up, dropped, example_of, run, write_csv
from shared_data import shared_data


def write_eicu(folder):
    patients = [
        [
            "patientunitstayid",
            "patienthealthsystemstayid",
            "gender",
            "age",
            "hospitaladmitoffset",
            "hospitaldischargeyear",
            "uniquepid",
        ]
    ]
    diagnoses = [["diagnosisid", "patientunitstayid", "diagnosisoffset", "icd9code", "diagnosispriority"]]
    patients += [
        ["1", "10", "Female", "> 89", "-50", "2015", "002-1"],
        ["2", "10", "Female", "> 89", "-900", "2015", "002-1"],  # later in the same hospital stay
        ["3", "11", "Female", "88", "-5", "2014", "002-1"],
    ]
    diagnoses += [
        ["1", "1", "9", "401.9, I10", "Other"],
        ["2", "1", "5", "428.0, I50.9", "Primary"],
        ["3", "2", "7", "I48.91, 427.31", "Major"],  # in the other's place
        ["4", "2", "7", "486, 486, J18.9", "Major"],
        ["5", "3", "7", "038.9, 584.9, N17.9", "Major"],
        ["6", "3", "7", "", "Major"],
        ["7", "3", "7", "no code", "Major"],
        ["8", "99", "7", "401.9, I10", "Major"],
    ]
    for person in range(2, 10):
        for visit in (1, 2):
            stay = f"{person}{visit}"
            patients.append([stay, f"9{stay}", "Male", "60", "-1", "2014", f"002-{person}"])
            diagnoses.append([f"7{stay}", stay, "1", "401.9, I10", "Primary"])
    write_csv(folder / "patient.csv.gz", patients)
    write_csv(folder / "diagnosis.csv.gz", diagnoses)
    return folder


def test_eicu_hospital_stays_in_either_edition(tmp_path):
    folder = write_eicu(tmp_path / "eicu")
    (task,) = run("eicu", "--input", folder, "--output", tmp_path / "nine", *EVEN)
    row = example_of(task, "002-1")
    assert row["history"] == [{"codes": ["038.9", "584.9"], "days_before": None}]
    assert (row["targets"], row["age"], row["sex"]) == (["428.0", "427.31", "486", "401.9"], 90, "F")
    assert dropped(task, "diagnoses") == {
        "ICU stay dropped or not listed": 1,
        "no code in the row": 1,
        "not a code of icd9cm, or not of either edition": 1,
    }
    assert task.info["changed"] == {"hospital stays whose order within a year is not known, taken by their id": 16}
    assert_adds_up(task)
    (task,) = run("eicu", "--input", folder, "--code-system", "icd10", "--output", tmp_path / "ten", *EVEN)
    assert example_of(task, "002-1")["targets"] == ["I50.9", "I48.91", "J18.9", "I10"]


def test_eicu_unit_stays_are_ordered_within_the_hospital_stay(tmp_path):
    folder = write_eicu(tmp_path / "eicu")
    (task,) = run("eicu", "--input", folder, "--visit", "unit", "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "002-1")
    assert [visit["codes"] for visit in row["history"]] == [["038.9", "584.9"], ["428.0", "401.9"]]
    assert row["targets"] == ["427.31", "486"]
    (task,) = run("eicu", "--input", folder, "--primary-only", "--output", tmp_path / "p", *EVEN)
    assert example_of(task, "002-1")["targets"] == ["428.0"]


def test_eicu_stays_end_with_death_and_ages_order_a_year(tmp_path):
    header = (
        "patientunitstayid patienthealthsystemstayid gender age hospitaladmitoffset hospitaldischargeyear uniquepid"
    )
    patients = [[*header.split(), "hospitaldischargestatus"]]
    diagnoses = [["patientunitstayid", "diagnosisoffset", "icd9code", "diagnosispriority"]]
    stays = [("41", 62, "Expired", "410.9"), ("42", 62, "Alive", "428.0"), ("43", 61, "Alive", "401.9")]
    for person in range(1, 9):
        for stay, age, status, code in [*stays, ("44", 62, "Expired", "486")] if person == 1 else stays:
            name = f"{person}{stay}"
            patients.append([name, name, "Male", age, "-1", "2014.0", f"002-{person}", status])
            diagnoses.append([name, "1.0", code, "Primary"])
    write_csv(tmp_path / "in" / "patient.csv", patients)
    write_csv(tmp_path / "in" / "diagnosis.csv", diagnoses)
    (task,) = run("eicu", "--input", tmp_path / "in", "--output", tmp_path / "t", *EVEN)
    for person in ("002-1", "002-2"):
        row = example_of(task, person)
        assert [visit["codes"] for visit in row["history"]] == [["401.9"], ["428.0"]]
        assert (row["targets"], row["age"]) == (["410.9"], 62)
    assert dropped(task, "visits") == {"death before admission": 1}
    assert_adds_up(task)


def test_what_was_entered_after_an_icu_stay_is_not_in_the_history_of_the_next(tmp_path):
    folder = write_eicu(tmp_path / "eicu")
    table = pl.read_csv(folder / "patient.csv.gz", infer_schema=False)
    (folder / "patient.csv.gz").unlink()
    table.with_columns(unitdischargeoffset=pl.lit("5")).write_csv(folder / "patient.csv")
    (task,) = run("eicu", "--input", folder, "--visit", "unit", "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "002-1")
    assert [visit["codes"] for visit in row["history"]] == [["428.0"]], "of the stays before, what came after minute 5"
    assert row["targets"] == ["427.31", "486"], "of the last, what came at minute 7 too"
    lost = dropped(task, "diagnoses")
    assert lost["diagnosis of after the end of a visit that another follows"] == 4
    (task,) = run("eicu", "--input", folder, "--output", tmp_path / "u", *EVEN)
    assert "diagnosis of after the end of a visit that another follows" not in dropped(task, "diagnoses")


def test_eicu_stays_of_an_unknown_end_are_counted(tmp_path):
    folder = write_eicu(tmp_path / "eicu")
    table = pl.read_csv(folder / "patient.csv.gz", infer_schema=False)
    table = table.with_columns(hospitaldischargestatus=pl.lit("Dead"))
    (folder / "patient.csv.gz").unlink()
    table.write_csv(folder / "patient.csv")
    (task,) = run("eicu", "--input", folder, "--output", tmp_path / "t", *EVEN)
    assert task.info["changed"]["hospitaldischargestatus is neither Alive nor Expired, taken as alive"] == 19


def test_eicu_demo_in_full(tmp_path):
    (task,) = run("eicu", "--input", shared_data("eicudemo"), "--output", tmp_path / "t")
    assert {unit: record["read"] for unit, record in task.info["accounting"].items()} == {
        "diagnoses": 24_978,
        "visits": 2_174,
        "patients": 1_841,
    }
    assert task.info["unknown_codes"] == {}
    assert_adds_up(task)
