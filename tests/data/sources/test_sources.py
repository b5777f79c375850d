"""eICU, DE-SynPUF, MEDS and the user's own table: small files in their format, counted by hand; then the real ones."""

import zipfile
from datetime import datetime

import polars as pl
import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, run, split_of, write_csv
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


DATES = ["CLM_FROM_DT", "CLM_THRU_DT", "CLM_ADMSN_DT"]
CODES = [f"ICD9_DGNS_CD_{number}" for number in range(1, 11)]
CLAIM_HEADER = ["DESYNPUF_ID", "CLM_ID", "SEGMENT", *DATES, "ADMTNG_ICD9_DGNS_CD", *CODES]


def write_sample(folder, number, patients):
    claims, people = [CLAIM_HEADER], [["DESYNPUF_ID", "BENE_BIRTH_DT", "BENE_DEATH_DT", "BENE_SEX_IDENT_CD"]]
    for patient in patients:
        people.append([patient, "19300601", "", "2"])
        for visit, date in enumerate(("20080101", "20090301"), start=1):
            codes = ["4019", f"{visit}9620".zfill(5)[:3], "V4501", *[""] * 7]
            claims.append([patient, f"{patient}{visit}", "1", date, date, "" if visit == 1 else date, "7802", *codes])
    claims.append([patients[0], f"{patients[0]}2", "2", "20090301", "20090301", "20090301", "", "E9330", *[""] * 9])
    claims.append(["", "", "1", "", "", "", "", *[""] * 10])
    folder.mkdir(exist_ok=True)
    write_csv(folder / f"DE1_0_2008_Beneficiary_Summary_File_Sample_{number}.csv", people)
    plain = write_csv(folder / f"DE1_0_2008_to_2010_Inpatient_Claims_Sample_{number}.csv", claims)
    with zipfile.ZipFile(plain.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, plain.name)
    plain.unlink()


def test_desynpuf_samples_are_put_together(tmp_path):
    for number, patients in ((1, ["A1", "A2", "A3"]), (2, ["B1", "B2", "B3"])):
        write_sample(tmp_path / f"s{number}", number, patients)
    (task,) = run("desynpuf", "--input", tmp_path / "s1", tmp_path / "s2", "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "A1")
    assert row["targets"] == ["401.9", "296", "V45.01", "E933.0"]
    assert row["history"] == [{"codes": ["401.9", "196", "V45.01"], "days_before": 425}]
    assert (row["age"], row["sex"]) == (78, "F")
    assert len(split_of(task)) == 6
    assert len(task.info["inputs"]) == 4
    assert dropped(task, "diagnoses") == {"claim without an id": 20, "no code in the row": 12 * 7 + 2 * 9}
    assert_adds_up(task)
    claims = next((tmp_path / "s1").glob("*Claims*"))
    (twice,) = run("desynpuf", "--input", tmp_path / "s1", claims, tmp_path / "s2", "--output", tmp_path / "u", *EVEN)
    assert every_row(twice) == every_row(task)
    assert dropped(twice, "diagnoses")["claim read twice"] == 70
    with pytest.raises(FileNotFoundError, match=r"no file named \*Inpatient_Claims\*"):
        run("desynpuf", "--input", tmp_path, "--output", tmp_path / "v")


def test_desynpuf_in_full(tmp_path):
    (task,) = run("desynpuf", "--input", shared_data("desynpuf"), "--output", tmp_path / "t")
    assert task.info["accounting"]["visits"]["read"] == 66_705
    assert task.info["rows_read"] == 10 * 66_773
    assert task.info["unknown_codes"] == {}
    assert_adds_up(task)


def write_meds(folder, with_visits=False):
    events = []
    for subject in range(1, 9):
        events += [
            (subject, None, "GENDER//F", None),
            (subject, datetime(1960, 5, 1), "MEDS_BIRTH", None),
            (subject, datetime(2020, 1, 3, 8), "DIAGNOSIS//ICD//10//I509", 100 + subject),
            (subject, datetime(2020, 1, 3, 9), "ICD10CM/E11.9", 100 + subject),
            (subject, datetime(2020, 1, 3, 9), "LAB//50912//mg/dL", 100 + subject),
            (subject, datetime(2020, 1, 3, 9), "PROCEDURE//ICD//10//0BH17EZ", 100 + subject),
            (subject, datetime(2020, 3, 3, 9), "ICD10CM//I10", 200 + subject),
            (subject, datetime(2020, 3, 4, 9), "ICD10CM/N17.9", 200 + subject),
        ]
    columns = ["subject_id", "time", "code", "hadm_id"]
    table = pl.DataFrame(events, schema=columns, orient="row").with_columns(numeric_value=pl.lit(None, pl.Float32))
    (folder / "data" / "train").mkdir(parents=True)
    (folder / "metadata").mkdir()
    table[:33].write_parquet(folder / "data" / "train" / "0.parquet")
    table[33:].write_parquet(folder / "data" / "train" / "1.parquet")
    splits = ["train"] * 4 + ["tuning"] * 2 + ["held_out"] * 2
    pl.DataFrame({"subject_id": range(1, 9), "split": splits}).write_parquet(
        folder / "metadata" / "subject_splits.parquet"
    )
    return folder


def test_meds_days_are_visits(tmp_path):
    folder = write_meds(tmp_path / "meds")
    (task,) = run("meds", "--input", folder, "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "1")
    assert [visit["codes"] for visit in row["history"]] == [["E11.9", "I50.9"], ["I10"]]
    assert [visit["days_before"] for visit in row["history"]] == [61, 1]
    assert (row["targets"], row["age"], row["sex"]) == (["N17.9"], 59, "F")
    assert dropped(task, "diagnoses") == {"event that is no ICD diagnosis": 32}
    assert_adds_up(task)


def test_meds_visit_column_and_given_splits(tmp_path):
    folder = write_meds(tmp_path / "meds")
    options = ("--visit-column", "hadm_id", "--protocol", "given")
    (task,) = run("meds", "--input", folder, *options, "--output", tmp_path / "t")
    row = example_of(task, "1")
    assert row["history"] == [{"codes": ["E11.9", "I50.9"], "days_before": 60}]
    assert row["targets"] == ["I10", "N17.9"]
    assert split_of(task) == {
        str(subject): "train" if subject < 5 else "validation" if subject < 7 else "test" for subject in range(1, 9)
    }
    assert set(task.info["inputs"]) == {
        "data/train/0.parquet",
        "data/train/1.parquet",
        "metadata/subject_splits.parquet",
    }
    with pytest.raises(ValueError, match=r"0.parquet has no column visit_id; found subject_id, time"):
        run("meds", "--input", folder, "--visit-column", "visit_id", "--output", tmp_path / "u")
    with pytest.raises(FileNotFoundError, match=r"no \.parquet shards"):
        run("meds", "--input", tmp_path / "nowhere", "--output", tmp_path / "u")


def test_meds_diagnoses_that_are_not_read_are_named(tmp_path):
    forms = ["HOSPITAL_DIAGNOSIS//ICD10CM//I50.9", "ED_DIAGNOSIS//ICD//10//E119", "ICD10GM/E11.90", "LAB//1//mg"]
    read = ["DIAGNOSIS//ICD//10//I10//POA", "ICD10CM:N17.9", "icd10cm/j18.9 ", "DIAGNOSIS//ICD10_E785"]
    events = [
        (subject, datetime(2020, visit, 3), form, float("nan") if visit == 3 else float(visit))
        for subject in range(8)
        for visit in (1, 2, 3)
        for form in [*forms, *read]
    ]
    (tmp_path / "in" / "data").mkdir(parents=True)
    (tmp_path / "in" / "metadata").mkdir()
    pl.DataFrame(events, schema=["subject_id", "time", "code", "hadm_id"], orient="row").write_parquet(
        tmp_path / "in" / "data" / "0.parquet"
    )
    splits = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    pl.DataFrame({"subject_id": range(8), "split": splits}).write_parquet(
        tmp_path / "in" / "metadata" / "subject_splits.parquet"
    )
    options = ("--visit-column", "hadm_id", "--protocol", "given")
    (task,) = run("meds", "--input", tmp_path / "in", *options, "--output", tmp_path / "t")
    assert example_of(task, "0")["targets"] == ["E78.5", "I10", "J18.9", "N17.9"]
    assert split_of(task)["4"] == "validation"
    assert dropped(task, "diagnoses") == {
        "diagnosis under the prefix HOSPITAL_DIAGNOSIS, not asked for": 24,
        "diagnosis under the prefix ED_DIAGNOSIS, not asked for": 24,
        "diagnosis in the edition ICD10GM, which is not read": 24,
        "event that is no ICD diagnosis": 24,
        "no hadm_id": 32,
    }
    assert_adds_up(task)
    more = ("--diagnosis-prefix", "hospital_diagnosis", "ED_DIAGNOSIS")
    (task,) = run("meds", "--input", tmp_path / "in", *options, *more, "--output", tmp_path / "u")
    assert example_of(task, "0")["targets"] == ["E11.9", "E78.5", "I10", "I50.9", "J18.9", "N17.9"]


def test_meds_subjects_of_several_splits_are_refused(tmp_path):
    folder = write_meds(tmp_path / "meds")
    path = folder / "metadata" / "subject_splits.parquet"
    splits = pl.read_parquet(path)
    pl.concat([splits, splits.head(2).with_columns(split=pl.lit("held_out"))]).write_parquet(path)
    with pytest.raises(ValueError, match="puts 2 subjects into several splits; a patient belongs to one"):
        run("meds", "--input", folder, "--protocol", "given", "--output", tmp_path / "t")


def test_a_prefix_that_may_be_a_text_is_not_shown(tmp_path):
    folder = write_meds(tmp_path / "meds")
    for path in (folder / "data").rglob("*.parquet"):
        table = pl.read_parquet(path)
        named = pl.when(pl.col("code").str.contains("ICD")).then(pl.lit("Zyxquander Diagnosis 1//ICD10CM//E11.9"))
        table.with_columns(code=named.otherwise("code")).write_parquet(path)
    with pytest.raises(ValueError, match="diagnosis under the prefix another, not asked for") as caught:
        run("meds", "--input", folder, "--output", tmp_path / "t")
    assert "ZYX" not in str(caught.value).upper()


def table_rows():
    rows = [["Person", "Stay", "When", "Rank", "Dx", "Sex", "Years", "Letter"]]
    for person in range(1, 9):
        for stay, date in (("a", "2021-02-03"), ("b", "2021-03-05 11:00:00")):
            for rank, code in ((2, "i50.9"), (1, "E119" if stay == "a" else "N17.9")):
                note = f"{stay} letter,\nof person {'xyzuvwkl'[person - 1] * 6}" if rank == 1 else ""
                rows.append([f"p{person}", f"{person}{stay}", date, rank, code, "male", "61.0", note])
    return [*rows, ["", "9", "2021-01-01", 1, "I10", "", "", ""], ["p1", "1a", "2021-02-03", 3, "", "", "", ""]]


COLUMNS = ("--patient", "Person", "--visit", "Stay", "--time", "when", "--code", "Dx", "--code-system", "icd10")


def test_a_table_of_ones_own(tmp_path):
    source = write_csv(tmp_path / "mine.csv", table_rows())
    more = ("--position", "Rank", "--sex", "Sex", "--age", "Years")
    (task,) = run("table", "--input", source, *COLUMNS, *more, "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "p1")
    assert row["history"] == [{"codes": ["E11.9", "I50.9"], "days_before": 30}]
    assert (row["targets"], row["age"], row["sex"]) == (["N17.9", "I50.9"], 61, "M")
    assert dropped(task, "diagnoses") == {"row without a patient or visit": 1, "no code in the row": 1}
    assert task.info["options"]["columns"]["code"] == "Dx"
    assert_adds_up(task)
    (temporal,) = run(
        "table", "--input", source, *COLUMNS, "--kind", "coding", "--text", "Letter", "--output", tmp_path / "u", *EVEN
    )
    assert temporal.info["kind"] == "coding"
    row = next(row for row in every_row(temporal) if row["example_id"] == "p3:3b")
    assert (row["text"], row["targets"]) == ("b letter,\nof person zzzzzz", ["I50.9", "N17.9"])
    assert temporal.info["accounting"]["notes"] == {"read": 16, "added": {}, "used": 16, "dropped": {}}


def test_a_table_as_parquet_with_lists_of_codes(tmp_path):
    rows = [
        {"pid": person, "day": float(visit * 10), "codes": "I50.9; e11.9 ;;J18.9" if visit else "I10;Q00.00.0"}
        for person in range(8)
        for visit in (0, 1)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "mine.parquet")
    names = ("--patient", "pid", "--time", "day", "--code", "codes", "--code-separator", ";", "--code-system", "icd10")
    (task,) = run("table", "--input", tmp_path / "mine.parquet", *names, "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "3")
    assert row["history"] == [{"codes": ["I10"], "days_before": 10}]
    assert row["targets"] == ["I50.9", "E11.9", "J18.9"]
    assert dropped(task, "diagnoses") == {"no code in the row": 8, "not a code of icd10cm": 8}
    (first,) = run(
        "table", "--input", tmp_path / "mine.parquet", *names, "--primary-only", "--output", tmp_path / "u", *EVEN
    )
    assert example_of(first, "3")["targets"] == ["I50.9"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--code", "Dx", "--code-system", "icd10"), "a table needs --visit or --time"),
        (("--code", "Diag", "--visit", "Stay", "--code-system", "icd10"), "has no column diag; found person, stay"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd10", "--kind", "coding"), "needs --text"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd10", "--primary-only"), "needs --position"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd10", "--separator", "ab"), "must be one character"),
        (("--code", "Dx", "--visit", "Stay", "--code-system", "icd9"), "most are codes of ICD-10-CM"),
    ],
)
def test_tables_that_cannot_be(tmp_path, options, message):
    source = write_csv(tmp_path / "mine.csv", table_rows())
    with pytest.raises(ValueError, match=message):
        run("table", "--input", source, "--patient", "Person", *options, "--output", tmp_path / "t")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match="is not a valid Parquet file"):
        run("table", "--input", tmp_path / "bad.parquet", *COLUMNS, "--output", tmp_path / "t")
    assert not (tmp_path / "t").exists()
