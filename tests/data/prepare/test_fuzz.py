"""Raw files of any bytes: a task comes out whole, or one sentence and nothing on disk; never a traceback."""

import gzip
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepare_case import EVEN, assert_adds_up, run
from rich.console import Console

from data.inspection import summary
from data.task import load_task

RULES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

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

ODD = (
    b"\x00", b'"', b"'", b",", b";", b"\t", b"\n", b"\r\n", b"\r", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b"1e308",
    b"\\", b"-9223372036854775809",
    b"nan", b"9" * 40, b"x" * 70_000, b'"' * 3, "—é漢".encode(), b",,,,,,", b"0000-00-00",
)  # fmt: skip
PIECES = st.one_of(st.binary(max_size=12), st.sampled_from(ODD))


@st.composite
def damaged(draw, text):
    """The file with a few pieces put in, cut out or repeated, and maybe another delimiter, encoding, or gzip."""
    content = text.encode()
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(content)))
        end = min(len(content), place + draw(st.sampled_from([0, 0, 1, 5, 200])))
        content = content[:place] + draw(PIECES) + content[end:]
    how = draw(st.sampled_from(["", "", "", "semicolons", "utf-16", "gzip", "gzip cut", "random", "twice"]))
    if how == "semicolons":
        content = content.replace(b",", b";")
    elif how == "utf-16":
        content = content.decode("latin-1").encode("utf-16")
    elif how.startswith("gzip"):
        content = gzip.compress(content)
        content = content[: draw(st.integers(0, len(content)))] if how == "gzip cut" else content
    elif how == "random":
        content = draw(st.binary(max_size=300))
    elif how == "twice":
        content += content
    return content


def whole_or_refused(files, *arguments):
    """Prepare from `files`; either a task that can be read and adds up, or one sentence and no trace of a task."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        output = folder / "out" / "task"
        arguments = [
            str(folder / argument[1:]) if str(argument).startswith("@") else argument for argument in arguments
        ]
        try:
            (task,) = run(*arguments, "--output", output, *EVEN)
        except (ValueError, OSError) as error:
            message = str(error)
            assert message
            assert "Traceback" not in message
            assert not list(folder.glob("out/*"))
            assert not list(folder.glob("out/.*"))
            return message
        assert_adds_up(load_task(task.path))
        return None


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
