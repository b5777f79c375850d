"""Codes that no edition knows may be anything that somebody typed: they leave a task as counts only."""

import json

import numpy as np
import pytest
from prepare_case import run

from data.inspection.inspect_task import main as inspect_task
from data.ledger import LONGEST_CODE, UnknownCodes, code_form
from mera.runs.predictions import predictions_for_task, read_predictions, write_predictions
from mera.runs.records import task_record

NAME = "Mrs Zyxquander HIV pos tel 555-1234"


def test_only_forms_of_codes_with_several_patients_are_listed():
    unknown = UnknownCodes()
    for raw, rows, patients in [
        (" q99.zz", 4, 3),
        ("Q99.ZZ", 5, 2),  # the same form, together 5 patients
        ("M79.79", 12, 5),
        ("F17.1", 90, 4),
        (NAME, 50, 40),
    ]:
        unknown.add(raw, rows, patients)
    assert unknown.listed() == {"M79.79": 12, "Q99.ZZ": 9}
    assert unknown.counts() == {"distinct": 5, "rows": 161}


@pytest.mark.parametrize(
    "raw",
    [
        NAME,
        "Zyxquander",
        "SMITH1",
        "Ann 5",
        "José1",
        "2011-01-01",
        "555-1234",
        "10023771",
        "A00-B99-C12",
        "ABC",
        "",
        "E11.9 diabetes",
        "I10\nI11",
        "١٢٣",
    ],
)
def test_no_name_number_or_date_has_the_form_of_a_code(raw):
    assert code_form(raw) is None


def test_forms_of_codes_are_short_and_in_upper_case():
    assert [code_form(raw) for raw in ("m79.79", "F17.1 ", "GZB0ZZZ", "A00-B99", "4019")] == [
        "M79.79",
        "F17.1",
        "GZB0ZZZ",
        "A00-B99",
        "4019",
    ]
    assert code_form("1234.5" + "-A" * LONGEST_CODE) is None


@pytest.fixture
def task_with_free_text(tmp_path):
    rows = ["pid,vid,t,dx"]
    for patient in range(20):
        for visit in range(3):
            rows += [f"{patient},{patient}{visit},201{visit}-01-01,{code}" for code in ("I10", "E11.9")]
        rows.append(f"{patient},{patient}1,2011-01-01,Q99.ZZ")
    rows.append(f"7,71,2011-01-01,{NAME}")
    source = tmp_path / "a.csv"
    source.write_text("\n".join(rows) + "\n")
    options = ["--patient", "pid", "--visit", "vid", "--time", "t", "--code", "dx", "--code-system", "icd10"]
    (task,) = run("table", "--input", source, "--output", tmp_path / "task", *options)
    return task


def test_free_text_in_the_code_column_stays_out_of_every_output(task_with_free_text, tmp_path, capsys):
    task = task_with_free_text
    assert task.info["unknown_codes"] == {"Q99.ZZ": 20}
    assert task.info["unknown_code_counts"] == {"distinct": 2, "rows": 21}
    assert "Zyxquander" not in (task.path / "task.json").read_text()
    record = task_record(task, "test")
    assert "unknown_codes" not in record
    assert record["unknown_code_counts"] == {"distinct": 2, "rows": 21}
    assert "Q99" not in json.dumps(record)
    inspect_task([str(task.path)])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Zyxquander" not in printed
    assert "2 codes that the edition does not know, in 21 rows; the most frequent: Q99.ZZ (20)" in printed


def test_runs_of_before_lose_their_lists_when_they_are_read(task_with_free_text, tmp_path):
    task = task_with_free_text
    scores = np.zeros((len(task.splits["test"]), len(task.codes)), dtype=np.float32)
    old = task_record(task, "test") | {"unknown_codes": {NAME: 3, "Q99.ZZ": 20}}
    del old["unknown_code_counts"]
    folder = write_predictions(tmp_path / "run", predictions_for_task(task, "test", scores, None, {"task": old}))
    assert NAME in (folder / "manifest.json").read_text()
    record = read_predictions(folder).manifest["task"]
    assert "unknown_codes" not in record
    assert record["unknown_code_counts"] == {"distinct": 2, "rows": 23}
