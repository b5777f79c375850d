"""Notes in a table of one's own: which rows are one note, and whose it is."""

import pytest
from prepare_case import EVEN, every_row, run, write_csv

COLUMNS = ("--patient", "Person", "--visit", "Stay", "--time", "when", "--code", "Dx", "--code-system", "icd10")


def test_notes_of_one_visit_are_joined_and_counted(tmp_path):
    table = [["Person", "Stay", "When", "Rank", "Dx", "Sex", "Years", "Letter"]]
    for person in range(1, 9):
        letter = f"a letter of {30 * 'xyzuvwkl'[person - 1]}"  # a near-copy would leave train
        texts = (letter, "another", "another") if person > 2 else (letter, letter, "")
        table += [[f"p{person}", f"{person}a", "2021-02-03", 1, "I10", "", "", text] for text in texts]
    source = write_csv(tmp_path / "mine.csv", table)
    notes = ("--kind", "coding", "--text", "Letter")
    (task,) = run("table", "--input", source, *COLUMNS, *notes, "--output", tmp_path / "u", *EVEN)
    assert sum(row["text"].endswith("\n\nanother") for row in every_row(task)) == 6
    assert task.info["changed"]["note of a visit that has others, with which it is read as one"] == 6


def test_notes_without_ids_are_told_apart_by_their_words(tmp_path):
    """A row a code, the note in two columns: rows of one note are one visit, of a patient of its own."""
    rows = [["history", "course", "icd"]]
    for number in range(12):
        note = [f"History of person {'xyzuvwklmnop'[number] * 30}", f"Course {number}" if number else ""]
        rows += [[*note, "I10"], [*note, "E11.9"]]
    source = write_csv(tmp_path / "mine.csv", rows)
    command = ("table", "--input", source, "--code", "icd", "--code-system", "icd10", *EVEN)
    (task,) = run(*command, "--text", "history+course", "--kind", "coding", "--output", tmp_path / "t")
    found = every_row(task)
    assert len({row["patient_id"] for row in found}) == len(found) == 12
    assert all(row["targets"] == ["E11.9", "I10"] for row in found)
    assert min(row["text"] for row in found).endswith("\n\nCourse 6")
    with pytest.raises(ValueError, match="a table needs --patient, whose visits they are; notes with their codes do"):
        run(*command, "--output", tmp_path / "u")
    with pytest.raises(ValueError, match="a table needs --patient"):
        run(*command, "--text", "history", "--past-notes", "--output", tmp_path / "u")
