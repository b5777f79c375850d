"""MIMIC-IV-ED: tables in the published form, counted by hand."""

import pytest
from mimic_ed_tables import stay, tables
from prepare_case import EVEN, assert_adds_up, dropped, every_row, example_of, run, write_csv


def prepared(tmp_path, content, *options, name="t"):
    for table, rows in content.items():
        write_csv(tmp_path / f"m-{name}" / "ed" / f"{table}.csv.gz", rows)
    (task,) = run("mimic-ed", "--input", tmp_path / f"m-{name}", "--output", tmp_path / name, *EVEN, *options)
    assert_adds_up(task)
    return task


def test_a_stay_is_a_visit(tmp_path):
    hosp = tmp_path / "m-t" / "ed"
    row = example_of(prepared(tmp_path, tables(), "--hosp", hosp), "3")
    assert (row["age"], row["sex"], row["targets"]) == (60, "F", ["R07.9", "I10"])
    assert row["history"] == [{"codes": ["R07.9", "I10"], "days_before": 31}]
    without = example_of(prepared(tmp_path, tables(), "--primary-only", name="u"), "3")
    assert (without["age"], without["targets"]) == (None, ["R07.9"])


def test_the_triage_is_the_note(tmp_path):
    content = tables()
    content["triage"][1][2:] = ["", "", "", "", "", "", "", "", ""]
    content["triage"][2][-1] = ""
    task = prepared(tmp_path, content, "--kind", "coding")
    texts = {row["example_id"]: row["text"] for row in every_row(task)}
    assert "1:11" not in texts
    assert texts["1:12"] == (
        "Acuity 3, temperature 98.1, heart rate 80, respiratory rate 16, oxygen saturation 99, systolic blood pressure "
        "120."
    )
    assert texts["2:21"].startswith("Chief complaint: Chest pain bbbbb. Acuity 3, temperature 98.1")
    assert dropped(task, "visits") == {"without a triage note": 1}
    assert dropped(task, "notes") == {"empty": 1}
    past = prepared(tmp_path, content, "--past-notes", name="u")
    assert example_of(past, "2")["history"][0]["text"] == texts["2:21"]


def test_ed_counts_every_trouble(tmp_path):
    content = tables()
    content["edstays"] += [
        stay(1, 11, "2130-01-10"),
        stay("", 991, "2130-01-10"),
        [*stay(1, 992, "")[:3], "", "", "F", "", "", ""],
        stay(2, 993, "2131-01-10"),
        stay(13, 994, "2130-01-10"),
    ]
    content["patients"][2][-1] = "2130-12-01"
    content["diagnosis"] += [[2, 993, 1, "I10", 10, ""], [1, 11, 3, "NOCODE", 10, ""], [1, 11, 4, "I10", 11, ""]]
    task = prepared(tmp_path, content, "--hosp", tmp_path / "m-t" / "ed")
    assert dropped(task, "visits") == {
        "without a patient or stay id": 1,
        "duplicate stay": 1,
        "without a time": 1,
        "death before admission": 1,
        "without a usable code": 1,
    }
    assert dropped(task, "diagnoses") == {
        "icd_version is neither 9 nor 10": 1,
        "not a code of icd10cm": 1,
        "visit dropped or not listed": 1,
    }
    without = {name: rows for name, rows in content.items() if name != "triage"}
    with pytest.raises(FileNotFoundError, match=r"holds neither triage\.csv"):
        prepared(tmp_path, without, "--kind", "coding", name="u")
