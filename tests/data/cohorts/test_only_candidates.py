"""`--only-candidates`: a task of the codes of a list and of no others."""

import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run, write_csv


def test_only_candidates_drops_the_other_codes_everywhere(tmp_path):
    rows = [["pid", "vid", "dx"]]
    for patient in range(16):
        for visit in range(3):
            codes = ["I10", "E11.9", "N17.9"] if patient else ["N17.9"]
            rows += [[f"p{patient:02d}", visit, code] for code in codes if visit < 2 or code == "N17.9"]
    source = write_csv(tmp_path / "t.csv", rows)
    (tmp_path / "list.txt").write_text("I10\nE11.9\n")
    options = ("--input", source, "--patient", "pid", "--visit", "vid", "--code", "dx", "--code-system", "icd10", *EVEN)
    (task,) = run(
        *("table", *options, "--candidates", tmp_path / "list.txt", "--only-candidates", "--output", tmp_path / "t")
    )
    assert_adds_up(task)
    for row in every_row(task):
        assert row["targets"] == ["E11.9", "I10"]
        assert [visit["codes"] for visit in row["history"]] == [["E11.9", "I10"]]
    assert dropped(task, "diagnoses") == {"code that is not in the list of --candidates": 16 * 3}
    assert dropped(task, "visits") == {"no code of the list of --candidates": 16 + 2}
    assert dropped(task, "patients") == {"no visit left: no code of the list of --candidates": 1}
    assert task.info["outside_candidates"]["test"]["targets"] == 0
    with pytest.raises(ValueError, match="--only-candidates needs --candidates FILE"):
        run("table", *options, "--only-candidates", "--output", tmp_path / "u")
    (tmp_path / "list.txt").write_text("J18.9\n")
    with pytest.raises(ValueError, match="no patient has a code of"):
        run("table", *options, "--candidates", tmp_path / "list.txt", "--only-candidates", "--output", tmp_path / "u")
