"""Where several columns could be the same, their names decide; and what a guess leaves alone by name."""

import pytest

from data.prepare.table_guess import TableGuess, guess_table


@pytest.mark.parametrize(
    ("name", "values", "taken"),
    [
        ("lab", ("W", "U"), False),
        ("sex", ("W", "U"), True),
        ("lab", ("F", "M"), True),
        ("lab", ("unknown", "U"), False),
        ("geschl", ("weiblich", "U"), True),
    ],
)
def test_letters_that_may_be_a_sex_need_a_name_that_says_so(tmp_path, name, values, taken):
    path = tmp_path / "t.csv"
    rows = [f"P{row},2020-01-0{1 + row % 9},I10,{values[row % 2]}" for row in range(40)]
    path.write_text(f"pid,day,dx,{name}\n" + "\n".join(rows) + "\n")
    assert guess_table(path, TableGuess()).sex == (name if taken else None)


@pytest.mark.parametrize(
    ("kind", "header", "right"),
    [
        ("patient", ("patient_zip", "pt_id"), "pt_id"),
        ("patient", ("id", "mrn"), "mrn"),
        ("patient", ("patient_group", "patient_id"), "patient_id"),
        ("patient", ("pathology_id", "patient"), "patient"),
        ("time", ("follow_up_date", "admitted"), "admitted"),
        ("time", ("diagnosis_date", "aufnahme"), "aufnahme"),
        ("age", ("mother_age", "age"), "age"),
        ("position", ("number_of_children", "seq_num"), "seq_num"),
    ],
)
def test_of_columns_that_could_be_the_same_the_better_name_is_taken(tmp_path, kind, header, right):
    """The other one comes first in the file, and its values would do."""
    values = {
        "patient": lambda row: f"X{row // 2}",
        "time": lambda row: f"202{row % 3}-03-0{1 + row % 9}",
        "age": lambda row: 40 + row % 30,
        "position": lambda row: 1 + row % 4,
    }
    columns = {"pid": lambda row: f"P{row // 4}", "day": lambda row: f"202{row % 4}-01-01"}
    columns.pop({"patient": "pid", "time": "day"}.get(kind, ""), None)
    columns = (
        {name: values[kind] for name in header} | columns | {"icd": lambda row: ("I10", "E11.9", "J18.9")[row % 3]}
    )
    path = tmp_path / "t.csv"
    rows = [",".join(str(of_row(row)) for of_row in columns.values()) for row in range(80)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    assert getattr(guess_table(path, TableGuess()), kind) == right


@pytest.mark.parametrize("name", ["cause_of_death_icd", "family_history_icd", "excluded_icd", "ward_code", "paciente"])
def test_codes_that_are_no_diagnosis_of_the_visit_are_not_taken(tmp_path, name):
    path = tmp_path / "t.csv"
    codes = ("I10", "E11.9", "J18.9", "N17.9")
    rows = [f"P{row // 2:04},202{row % 2}-01-01,{codes[row % 4]},{codes[row % 3]}" for row in range(60)]
    ids = "pid" if name != "paciente" else "nhc"
    path.write_text("\n".join([f"{ids},day,icd,{name}", *rows]) + "\n")
    assert guess_table(path, TableGuess()).code == ["icd"]


def test_columns_of_two_versions_are_not_taken_together(tmp_path):
    path = tmp_path / "t.csv"
    nine, ten = ("428.0", "401.9", "486", "584.9", "V10.3"), ("I50.9", "I10", "J18.9", "N17.9", "Z85.3")
    more = (
        ("428.1", "428.2", "428.3", "401.0", "401.1", "402.0"),
        ("I50.1", "I50.2", "I50.3", "I11.0", "I11.9", "I12.0"),
    )
    nine, ten = (*nine, *more[0]), (*ten, *more[1])
    rows = [f"P{row // 2},202{row % 2}-01-01,{nine[row % 11]},{ten[row % 11]}" for row in range(66)]
    path.write_text("\n".join(["pid,day,icd9_code,icd10_code", *rows]) + "\n")
    with pytest.raises(ValueError, match="icd9_code is of ICD-9 and icd10_code of ICD-10; name those of one edition"):
        guess_table(path, TableGuess())


def spanish(path, sexes):
    rows = [
        f"P{row // 2:04},202{row % 2}-01-01,I10,{sexes[row // 2 % 2]},{'Paciente con tos. ' * 9}" for row in range(60)
    ]
    path.write_text("\n".join(["paciente,ingreso,cie10,sexo,informe", *rows]) + "\n")
    return path


def test_hombre_and_mujer_by_their_letters_are_said_as_an_option(tmp_path):
    guess = guess_table(spanish(tmp_path / "t.csv", "HM"), TableGuess())
    assert (guess.sex, guess.sex_values, guess.patient, guess.code) == ("sexo", "F=M,M=H", "paciente", ["cie10"])
    assert guess.as_options()[-2:] == ["--sex-values", "F=M,M=H"]
    assert guess_table(spanish(tmp_path / "v.csv", "VM"), TableGuess()).sex_values == "F=M,M=V"
    assert guess_table(spanish(tmp_path / "f.csv", "FM"), TableGuess()).sex_values is None
    said = TableGuess(sex_values="F=H,M=M")
    assert guess_table(spanish(tmp_path / "s.csv", "HM"), said).sex_values == "F=H,M=M"


def test_notes_that_nothing_reads_are_left_out_and_said(tmp_path, capsys):
    path = spanish(tmp_path / "t.csv", "FM")
    assert guess_table(path, TableGuess(), with_notes=False).text is None
    assert "not taken: notes: informe (--past-notes reads them" in capsys.readouterr().err
    assert guess_table(path, TableGuess()).text == "informe"
