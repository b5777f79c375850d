"""Cells of codes as people write them: the code's name behind it, several in a cell, a line for each."""

import csv

import pytest

from data.ledger import Ledger
from data.prepare.table_guess import TableGuess, guess_table
from data.sources.shared.own_table.table_columns import TableColumns
from data.sources.table import read_user_table

NAMES = {
    "I10": "Essential (primary) hypertension",
    "E11.9": "Type 2 diabetes mellitus, without complications",
    "J18.9": "Pneumonia, unspecified organism",
    "N17.9": "Acute kidney failure",
}
CODES = list(NAMES)
WITH_NAMES = "cell with words behind its code, which are left out"


def write(path, cells):
    """A patient for each cell."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["pid", "day", "dx"], *([f"P{row}", "2020-01-01", c] for row, c in enumerate(cells))]
        )
    return path


def read(path, ledger=None, system="icd10", **more):
    columns = TableColumns(patient="pid", time="day", code="dx")
    patients, _, _ = read_user_table(path, columns, ledger or Ledger(), system, **more)
    return [list(patient.visits[0].codes) for patient in patients]


@pytest.mark.parametrize("form", ["{} - {}", "{}: {}", "[{}] {}", "{} {}", "{} – {}", "({}), {}", "{}* | {}"])
def test_the_name_behind_a_code_is_left_out_and_counted(tmp_path, form):
    cells = [form.format(code, name) for code, name in NAMES.items()] + ["I50.9"]
    ledger = Ledger()
    assert read(write(tmp_path / "t.csv", cells), ledger) == [[code] for code in [*CODES, "I50.9"]]
    assert ledger.record()["changed"] == {WITH_NAMES: 4}


@pytest.mark.parametrize("words", ["excluded", "(ruled out)", "- suspected"])
def test_words_that_say_something_else_of_a_code_are_not_its_name(tmp_path, words):
    cells = [f"{code} {words}" for code in CODES] + ["I50.9"]
    ledger = Ledger()
    assert read(write(tmp_path / "t.csv", cells), ledger) == [["I50.9"]]
    assert ledger.record()["dropped"] == {"not a code of icd10cm": 4}


def both(code, other, mark):
    return f"{code} - {NAMES[code]}{mark}{other} - {NAMES[other]}"


@pytest.mark.parametrize(("mark", "said"), [(";", "';'"), ("\n", r"'\\n'"), ("|", r"'\|'"), ("; ", "';'")])
def test_several_codes_with_their_names_are_refused_until_their_mark_is_said(tmp_path, mark, said):
    path = write(tmp_path / "t.csv", [both(code, CODES[place - 1], mark) for place, code in enumerate(CODES)])
    with pytest.raises(
        ValueError, match=rf"4 of 4 cells of codes hold several, .*say so with --code-separator {said}$"
    ):
        read(path)
    expected = [[code, CODES[place - 1]] for place, code in enumerate(CODES)]
    assert read(path, code_separator=mark.strip(" ")) == expected
    guess = guess_table(
        write(tmp_path / "many.csv", [both(a, b, mark) for a in CODES for b in CODES * 5]), TableGuess()
    )
    assert (guess.code, guess.code_separator) == (["dx"], mark.strip(" "))


def test_a_line_for_each_code_of_a_cell(tmp_path):
    path = write(tmp_path / "t.csv", ["I10\r\nE11.9", "J18.9\nI10\n"])
    assert read(path, code_separator="\n") == [["I10", "E11.9"], ["J18.9", "I10"]]
    assert guess_table(path, TableGuess()).as_options()[-2:] == ["--code-separator", r"\n"]


def test_categories_of_icd9_are_codes_where_their_column_is_called_so(tmp_path):
    path = write(tmp_path / "t.csv", ["428", "250", "401", "486", "584"])
    assert guess_table(path, TableGuess()).code_system == "icd9"
    other = write(tmp_path / "o.csv", ["428", "250", "401", "486", "584"])
    other.write_text(other.read_text().replace("dx", "amount"))
    with pytest.raises(ValueError, match="no column seems to hold ICD codes"):
        guess_table(other, TableGuess())
