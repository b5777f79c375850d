"""DE-SynPUF: small files in its format, counted by hand; then a real sample."""

import zipfile

import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, run, split_of, write_csv
from shared_data import shared_data

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
