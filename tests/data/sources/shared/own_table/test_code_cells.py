"""Cells of codes as people write them: the code's name behind it, several in a cell, a line for each."""

import csv

import pytest
from own_table import read_patients

from data.ledger import Ledger
from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.table_columns import TableColumns

NAMES = {
    "I10": "Essential (primary) hypertension",
    "E11.9": "Type 2 diabetes mellitus, without complications",
    "J18.9": "Pneumonia, unspecified organism",
    "N17.9": "Acute kidney failure",
}
CODES = list(NAMES)
WITH_NAMES = "cell with words beside its code, which are left out"


def write(path, cells):
    """A patient for each cell."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["pid", "day", "dx"], *([f"P{row}", "2020-01-01", c] for row, c in enumerate(cells))]
        )
    return path


def read(path, ledger=None, system="icd10", **more):
    columns = TableColumns(patient="pid", time="day", code="dx")
    patients = read_patients(path, columns, ledger or Ledger(), system, **more)
    return [list(patient.visits[0].codes) for patient in patients]


@pytest.mark.parametrize(
    "form", ["{} - {}", "{}: {}", "[{}] {}", "{} {}", "{} – {}", "({}), {}", "{}* | {}", "{1} [{0}]", "{1} ({0})"]
)
def test_the_name_beside_a_code_is_left_out_and_counted(tmp_path, form):
    cells = [form.format(code, name) for code, name in NAMES.items()] + ["I50.9"]
    ledger = Ledger()
    assert read(write(tmp_path / "t.csv", cells), ledger) == [[code] for code in [*CODES, "I50.9"]]
    assert ledger.record()["changed"] == {WITH_NAMES: 4}


def test_the_german_certainty_may_stand_at_the_code(tmp_path):
    cells = ["I10G", "E11.9 G", "J18.9V", "N17.9Z", "I50.9A", "I48.9"]
    ledger = Ledger()
    assert read(write(tmp_path / "t.csv", cells), ledger, "icd10who") == [["I10"], ["E11.9"], ["I48.9"]]
    assert ledger.record()["changed"] == {TAKEN_BACK: 3}


TAKEN_BACK = "code that words beside it take back (excluded, suspected, history of), not read"


@pytest.mark.parametrize(
    "words",
    [
        "excluded",
        "(ruled out)",
        "- suspected",
        "R/O, seen 3 May",
        "A",
        "V Verdacht",
        "Z",
        "descartado ayer",
        "Z.n. Infarkt",
    ],
)
def test_what_takes_a_code_back_is_not_read_and_counted(tmp_path, words):
    cells = [f"{code} {words}" for code in CODES] + ["I50.9"]
    ledger = Ledger()
    assert read(write(tmp_path / "t.csv", cells), ledger) == [["I50.9"]]
    assert ledger.record()["changed"] == {TAKEN_BACK: 4}
    assert ledger.record()["dropped"] == {"no code in the row": 4}


def test_a_code_whose_own_name_says_so_is_read(tmp_path):
    cells = ["Z87.01 Personal history of pneumonia", "Z80.3 - Family history of breast cancer", "I10 G Hypertonie"]
    assert read(write(tmp_path / "t.csv", cells)) == [["Z87.01"], ["Z80.3"], ["I10"]]


def test_few_words_for_many_codes_are_no_names(tmp_path):
    cells = [f"{code} left side" for code in CODES] + ["I50.9"]
    ledger = Ledger()
    assert read(write(tmp_path / "t.csv", cells), ledger) == [["I50.9"]]
    assert ledger.record()["dropped"] == {"not a code of icd10cm": 4}


@pytest.mark.parametrize(
    ("system", "cell"),
    [
        ("icd10", "I10 - Hypertension / E11.9 - Diabetes"),
        ("icd10", "I10 Hypertension + E11.9 Diabetes"),
        ("icd10", "I10 or I11.0 hypertension"),
        ("icd10who", "E10.3† H36.0* Diabetic retinopathy"),
        ("icd10who", "I20-I25 Ischaemic heart diseases"),
        ("icd10", "E11 65 Diabetes"),
        ("icd9", "41401 - Coronary disease / 0389 - Septicemia"),
    ],
)
def test_a_further_code_among_the_words_is_not_lost_in_silence(tmp_path, system, cell):
    """The cell is none that is known, and counted so."""
    ledger = Ledger()
    plain = "428.0" if system == "icd9" else "J18.9"
    resolved = read(write(tmp_path / "t.csv", [cell, plain, plain]), ledger, system)
    assert resolved == [[plain], [plain]]
    assert sum(ledger.record()["dropped"].values()) == 1


def test_numbers_and_abbreviations_in_a_name_are_no_codes(tmp_path):
    cells = ["D51.9 Vitamin B12 deficiency anemia", "E11.9 Type 2 diabetes", "J10.1 Influenza, H1N1 of 2009"]
    assert read(write(tmp_path / "t.csv", cells)) == [["D51.9"], ["E11.9"], ["J10.1"]]


def test_the_seventh_character_behind_a_space_is_no_certainty(tmp_path):
    assert read(write(tmp_path / "t.csv", ["S72.001 A", "I10"])) == [["S72.001A"], ["I10"]]


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


@pytest.mark.parametrize("mark", [" ", "/", "^", "~", "&", " & "])
def test_lists_with_any_mark_are_refused_until_it_is_said(tmp_path, mark):
    cells = [mark.join(CODES[:3]), *CODES, CODES[0], CODES[1]]
    path = write(tmp_path / "t.csv", cells)
    with pytest.raises(
        ValueError, match=r"1 of 7 cells of codes hold several, with .* between them; say so with --code"
    ):
        read(path)
    assert read(path, code_separator=mark.strip() or " ")[0] == CODES[:3]


def test_the_british_letters_of_dagger_and_asterisk_are_no_certainty(tmp_path):
    cells = ["E112 D", "N083 A", "E113D", "H360-A", "I509"]
    codes = [["E11.2"], ["N08.3"], ["E11.3"], ["H36.0"], ["I50.9"]]
    assert read(write(tmp_path / "t.csv", cells), system="icd10who") == codes
    german = ["E11.2 A", "N08.3 V", "I50.9 G", "E11.3 D"]
    assert read(write(tmp_path / "g.csv", german), system="icd10who") == [["I50.9"]]


def test_codes_that_end_in_a_mark_are_codes(tmp_path):
    """Four characters and a hyphen are how British hospitals fill the fifth place."""
    path = write(tmp_path / "t.csv", [f"{code.replace('.', '')}-" for code in (*CODES, "N39.0", "K21.9") * 3])
    assert guess_table(path, TableGuess()).code == ["dx"]
    assert {code for codes in read(path, system="icd10who") for code in codes} == {*CODES, "N39.0", "K21.9"}


def test_a_decimal_comma_is_no_list(tmp_path):
    path = write(tmp_path / "table.csv", ["I50,9", "E11,9", "F17,210", "S72,001A"])
    assert read(path) == [["I50.9"], ["E11.9"], ["F17.210"], ["S72.001A"]]
    assert guess_table(path, TableGuess(patient="pid", time="day")).code_separator is None


def test_lists_as_python_writes_them_are_refused_until_it_is_said(tmp_path):
    path = write(tmp_path / "table.csv", ["['I50.9', 'E11.9']", "['I10', 'J18.9']"])
    with pytest.raises(ValueError, match="2 of 2 cells of codes hold several, with ',' between them"):
        read(path)
    assert read(path, code_separator=",") == [["I50.9", "E11.9"], ["I10", "J18.9"]]


def test_a_column_of_codes_that_are_all_taken_back_is_said(tmp_path):
    with pytest.raises(ValueError, match="words behind the codes of column dx take all of them back"):
        read(write(tmp_path / "table.csv", ["I50.9 V", "E11.9 ruled out"]))


def test_letters_of_a_national_edition_are_left_out_and_are_no_certainty(tmp_path):
    """Swedish codes have further letters than the German A, G, V and Z."""
    cells = ["I48.9A", "I214B", "R52.2C", "M54.5G", "I50.9", "Q99.9XX"]
    ledger = Ledger()
    resolved = read(write(tmp_path / "t.csv", cells), ledger, system="icd10who")
    assert resolved[:5] == [["I48.9"], ["I21.4"], ["R52.2"], ["M54.5"], ["I50.9"]]
    shortened = "code with more digits than the edition has, replaced by the code above it"
    assert ledger.record()["changed"] == {shortened: 4}


@pytest.mark.parametrize("mark", [" / ", " + ", " & ", " und ", " and ", "; ", "  "])
def test_further_undotted_codes_among_names_are_said(tmp_path, mark):
    several = "cell of several codes with their names, none of which is read (--code-separator says what is between)"
    cells = [f"{code} - {name}" for code, name in NAMES.items()] * 7
    cells.append(f"E119 Type 2 diabetes{mark}N179 Acute kidney failure")
    ledger = Ledger()
    assert sorted(read(write(tmp_path / "t.csv", cells), ledger)) == sorted([code] for code in CODES * 7)
    assert ledger.record()["changed"] == {WITH_NAMES: 28, several: 1}


@pytest.mark.parametrize(
    "cell",
    [
        "Z95.5 - History of coronary artery stent placement",
        "I25.2 - History of MI",
        "C61 - Prostate cancer, no evidence of metastasis",
        "E66.9 - Obesity with family history of diabetes",
    ],
)
def test_words_about_another_disease_take_nothing_back(tmp_path, cell):
    assert read(write(tmp_path / "t.csv", [cell, "I10 - Hypertension"])) == [[cell.split()[0]], ["I10"]]


@pytest.mark.parametrize("words", ["Flu not confirmed", "h/o pneumonia", "Grippe nicht bestätigt", "flu (denied)"])
def test_what_was_not_confirmed_or_is_past_is_taken_back(tmp_path, words):
    assert read(write(tmp_path / "t.csv", [f"J18.9 {words}", "I10 - Hypertension"])) == [["I10"]]
