"""MEDS: small data sets in its format, counted by hand."""

from datetime import datetime

import polars as pl
import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, run, split_of


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


def test_a_visit_begins_with_its_first_event_and_nothing_is_told_of_after(tmp_path):
    folder = write_meds(tmp_path / "meds")
    more = [
        (4, datetime(2020, 1, 3), "DIAGNOSIS//ICD//10//A419//RULE_OUT", 104),
        (1, datetime(2020, 2, 20), "LAB//1//mg", 201),
        (1, datetime(2020, 2, 21), "ICD10CM/C34.90", 101),
        (2, datetime(2020, 3, 5), "ICD10CM/C34.90", 102),
        (3, datetime(2020, 3, 2, 12), "MEDS_DEATH", None),
    ]
    table = pl.DataFrame(more, schema=["subject_id", "time", "code", "hadm_id"], orient="row")
    table.write_parquet(folder / "data" / "train" / "2.parquet")
    (task,) = run("meds", "--input", folder, "--visit-column", "hadm_id", "--output", tmp_path / "t", *EVEN)
    row = example_of(task, "1")
    assert row["history"] == [{"codes": ["E11.9", "I50.9"], "days_before": 48}], "since the lab of 20 February"
    assert dropped(task, "diagnoses")["event of after the next visit began"] == 2
    assert dropped(task, "diagnoses")["diagnosis that is ruled out, suspected or refuted behind its code"] == 1
    assert dropped(task, "visits")["death before admission"] == 1
    assert not [row for row in every_row(task) if row["patient_id"] == "3"]
    assert_adds_up(task)


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


def test_without_a_first_diagnosis_there_is_no_primary_only(tmp_path):
    folder = write_meds(tmp_path / "meds")
    with pytest.raises(ValueError, match="meds marks no diagnosis as the first of its visit; leave --primary-only out"):
        run("meds", "--input", folder, "--primary-only", "--output", tmp_path / "t")


def test_births_and_sexes_that_contradict_or_cannot_be_are_left_out_and_counted(tmp_path):
    folder = write_meds(tmp_path / "meds")
    events = pl.DataFrame(
        [
            (1, datetime(1935, 5, 1), "MEDS_BIRTH"),  # another one, 25 years before the first
            (2, None, "GENDER//M"),
            (2, datetime(1960, 5, 1), "MEDS_BIRTH"),  # the same again
        ],
        schema=["subject_id", "time", "code"],
        orient="row",
    )
    path = folder / "data" / "train" / "0.parquet"
    first = pl.read_parquet(path)
    born_late = (pl.col("subject_id") == 3) & (pl.col("code") == "MEDS_BIRTH")
    born_early = (pl.col("subject_id") == 4) & (pl.col("code") == "MEDS_BIRTH")
    years = pl.when(born_late).then(datetime(2021, 5, 1)).when(born_early).then(datetime(1800, 5, 1))
    first = first.with_columns(time=years.otherwise("time"))
    pl.concat([first, events.cast(first.select(events.columns).schema)], how="diagonal").write_parquet(path)
    (task,) = run("meds", "--input", folder, "--output", tmp_path / "t", *EVEN)
    people = {subject: (example_of(task, subject)["age"], example_of(task, subject)["sex"]) for subject in "12345"}
    assert people == {"1": (None, "F"), "2": (59, None), "3": (None, "F"), "4": (None, "F"), "5": (59, "F")}
    assert task.info["changed"]["patient whose rows of their own differ, in what is left out"] == 2
    assert task.info["changed"]["age below 0 or above 120, left out"] == 6, "three visits each of two patients"
    assert_adds_up(task)
