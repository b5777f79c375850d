"""What `mera prepare` advises where the numbers of the account show what went wrong."""

import csv

import pytest
from prepare_case import EVEN, run

from data.editions.code_list import CodeList


@pytest.mark.parametrize(("share", "is_said"), [(0.05, False), (0.5, True)])
def test_codes_of_a_national_edition_that_lose_digits_are_said(tmp_path, capsys, share, is_said):
    """`S72.00` is of the German edition; the WHO's has S72.0."""
    path, num_cut = tmp_path / "t.csv", round(100 * share)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pid", "day", "icd"])
        for row in range(100):
            writer.writerow([f"P{row // 2}", f"202{row % 2}-01-01", "S72.00" if row < num_cut else "I10"])
    columns = ("--patient", "pid", "--time", "day", "--code", "icd", "--code-system", "icd10who")
    (task,) = run("table", "--input", path, *columns, *EVEN, "--output", tmp_path / "task")
    said = " ".join(capsys.readouterr().out.split())
    assert task.info["changed"][CodeList.ancestor_change] == num_cut
    assert (f"{num_cut} of 100 codes lost digits that the edition does not have" in said) == is_said


@pytest.mark.parametrize("is_said", [True, False])
def test_notes_that_hold_their_codes_are_said(tmp_path, capsys, is_said):
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["icd", "note"])
        for row in range(60):
            writer.writerow(["I10", f"Note {row} {chr(97 + row % 26) * 40}{' (I10)' if is_said else ''}"])
    columns = ("--code", "icd", "--text", "note", "--kind", "coding", "--code-system", "icd10")
    run("table", "--input", path, *columns, *EVEN, "--output", tmp_path / "task")
    assert ("60 of 60 notes hold one of their own codes" in " ".join(capsys.readouterr().out.split())) == is_said
    (masked,) = run("table", "--input", path, *columns, *EVEN, "--mask-codes", "--output", tmp_path / "masked")
    assert "hold one of their own codes:" not in capsys.readouterr().out
    assert not [row for split in masked.splits.values() for row in split if "I10" in row["text"]]
