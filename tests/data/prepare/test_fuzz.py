"""Raw files of any bytes: a task comes out whole, or one sentence and nothing on disk; never a traceback."""

import tempfile
from pathlib import Path

import polars as pl
from damaged_files import RULES, damaged, whole_or_refused
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from data.inspection import summary

DIABETES = "\n".join(
    [
        "encounter_id,patient_nbr,gender,age,diag_1,diag_2,diag_3",
        *(f"{number},{number // 2},Male,[50-60),428,25{number % 3}.01,V27" for number in range(2, 26)),
    ]
)
ADMISSIONS = "\n".join(
    [
        "subject_id,hadm_id,admittime,dischtime,deathtime",
        *(
            f"{number // 2},{number},21{number:02d}-01-01 00:00:00,21{number:02d}-01-05 00:00:00,"
            for number in range(2, 26)
        ),
    ]
)
PATIENTS = "\n".join(["subject_id,gender,dob,dod", *(f"{number},F,2060-01-01 00:00:00," for number in range(1, 13))])
DIAGNOSES = "\n".join(
    ["subject_id,hadm_id,seq_num,icd9_code", *(f"{number // 2},{number},1,4280" for number in range(2, 26))]
)
NOTES = "\n".join(
    [
        "row_id,subject_id,hadm_id,chartdate,charttime,category,description,iserror,text",
        *(
            f'{number},{number // 2},{number},2130-01-01,,Discharge summary,Report,,"{chr(95 + number) * 9} said\nso"'
            for number in range(2, 26)
        ),
    ]
)
TABLE = "\n".join(
    [
        "pid;vid;day;dx;note",
        *(
            f'{number // 2};{number};2020-01-{number:02d};I10;"a ""b"" {chr(95 + number) * 9}"'
            for number in range(2, 26)
        ),
    ]
)


@given(damaged(DIABETES))
@RULES
def test_diabetes130(content):
    whole_or_refused({"d.csv": content}, "diabetes130", "--input", "@d.csv")


MIMIC3 = ("ADMISSIONS.csv", "PATIENTS.csv", "DIAGNOSES_ICD.csv", "NOTEEVENTS.csv")


@given(st.sampled_from(MIMIC3), st.data())
@RULES
def test_mimic3_coding(which, data):
    texts = dict(zip(MIMIC3, (ADMISSIONS, PATIENTS, DIAGNOSES, NOTES), strict=True))
    files = {name: text.encode() for name, text in texts.items()} | {which: data.draw(damaged(texts[which]))}
    whole_or_refused(files, "mimic3", "--input", "@", "--kind", "coding")


@given(damaged(TABLE), st.sampled_from([",", ";", "\t", '"', "|"]))
@RULES
def test_table(content, separator):
    columns = (
        "--patient",
        "pid",
        "--visit",
        "vid",
        "--time",
        "day",
        "--code",
        "dx",
        "--text",
        "note",
        "--kind",
        "coding",
    )
    options = ("--separator", separator, "--code-system", "icd10")
    whole_or_refused({"t.csv": content}, "table", "--input", "@t.csv", *columns, *options)


def parquet_bytes():
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        rows = [(number // 2, number, "I10") for number in range(2, 26)]
        pl.DataFrame(rows, schema=["pid", "vid", "dx"], orient="row").write_parquet(file.name)
        return Path(file.name).read_bytes()


@given(st.data())
@RULES
def test_parquet(data):
    content = bytearray(parquet_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else bytes(content)
    columns = ("--patient", "pid", "--visit", "vid", "--code", "dx", "--code-system", "icd10")
    whole_or_refused({"t.parquet": content}, "table", "--input", "@t.parquet", *columns)


def test_the_undamaged_files_are_fine(monkeypatch):
    monkeypatch.setattr(summary, "Console", lambda: Console(quiet=True))
    assert whole_or_refused({"d.csv": DIABETES.encode()}, "diabetes130", "--input", "@d.csv") is None
    mimic3 = dict(zip(MIMIC3, (text.encode() for text in (ADMISSIONS, PATIENTS, DIAGNOSES, NOTES)), strict=True))
    assert whole_or_refused(mimic3, "mimic3", "--input", "@", "--kind", "coding") is None
    columns = ("--patient", "pid", "--visit", "vid", "--code", "dx", "--code-system", "icd10")
    assert (
        whole_or_refused({"t.csv": TABLE.encode()}, "table", "--input", "@t.csv", *columns, "--separator", ";") is None
    )
    assert whole_or_refused({"t.parquet": parquet_bytes()}, "table", "--input", "@t.parquet", *columns) is None
