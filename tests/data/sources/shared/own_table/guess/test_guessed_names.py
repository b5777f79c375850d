"""Where several columns could be the same, their names decide; and what a guess leaves alone by name."""

import pytest

from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table


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
        ("patient", ("zip", "NUHSA"), "nuhsa"),
        ("patient", ("ward_no", "numero_historia"), "numero_historia"),
        ("patient", ("bed", "DESYNPUF_ID"), "desynpuf_id"),
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


def table(path, columns, rows=60):
    """`columns`: name -> a function of the number of the row."""
    lines = [",".join(str(of_row(row)) for of_row in columns.values()) for row in range(rows)]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")
    return path


CODES = ("I10", "E11.9", "J18.9", "N17.9")
BASE = {
    "pid": lambda row: f"P{row // 2:03}",
    "day": lambda row: f"202{row % 2}-01-{1 + row % 28:02}",
    "icd": lambda row: CODES[row % 4],
}


def columns_with(**more):
    return {name: of_row for name, of_row in (BASE | more).items() if of_row is not None}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("attendance_date", "referral_date"),
        ("outpatient_visit_date", "booking_date"),
        ("registration_date", "letter_date"),
        ("opnamedatum", "einddatum"),
        ("admission", "enddate"),
    ],
)
def test_a_word_within_a_word_says_nothing(tmp_path, right, wrong):
    path = table(tmp_path / "t.csv", columns_with(day=None, **{wrong: BASE["day"], right: BASE["day"]}))
    assert guess_table(path, TableGuess()).time == right


def test_other_dates_that_could_be_meant_are_said(tmp_path, capsys):
    assert guess_table(table(tmp_path / "t.csv", columns_with(seen_date=BASE["day"])), TableGuess()).time == "day"
    assert "not taken: other columns of times: seen_date (--time)" in capsys.readouterr().err


def test_times_that_cannot_be_read_are_not_replaced_by_ids(tmp_path):
    """Visits in the order of their ids would be in any order."""
    more = {"vid": lambda row: f"V{(row * 37) % 60}", "day": lambda row: f"{10 + row % 18}.03.2{row % 2}"}
    message = "column day seems to hold the times of the visits, and their form is none that is known .*--date-format"
    with pytest.raises(ValueError, match=message):
        guess_table(table(tmp_path / "t.csv", columns_with(**more)), TableGuess())
    said = guess_table(tmp_path / "t.csv", TableGuess(visit="vid"))
    assert (said.visit, said.time) == ("vid", None), "who names the visits means their order"
    path = table(tmp_path / "v.csv", columns_with(vid=more["vid"], day=None))
    assert (guess_table(path, TableGuess()).visit, guess_table(path, TableGuess()).time) == ("vid", None)


@pytest.mark.parametrize(
    ("name", "letters", "taken", "values"),
    [
        ("gender", "VM", None, None),
        ("geslacht", "VM", "geslacht", "F=V,M=M"),
        ("sexo", "VM", "sexo", "F=M,M=V"),
        ("koen", "KM", "koen", None),
        ("sex", "12", "sex", None),
        ("sex", "13", None, None),
    ],
)
def test_letters_and_numbers_of_the_sexes(tmp_path, capsys, name, letters, taken, values):
    path = table(tmp_path / "t.csv", columns_with(**{name: lambda row: letters[row // 2 % 2]}))
    guess = guess_table(path, TableGuess())
    assert (guess.sex, guess.sex_values) == (taken, values)
    assert (f"not taken: sexes by their names: {name}" in capsys.readouterr().err) == (taken is None)
    said = guess_table(path, TableGuess(sex_values=f"F={letters[0]},M={letters[1]}"))
    assert (said.sex, said.sex_values) == (name, f"F={letters[0]},M={letters[1]}")


def test_ids_of_which_most_have_both_sexes_are_no_patients(tmp_path):
    more = {"personnel_id": lambda row: f"D{row % 5}", "sex": lambda row: "FM"[row // 2 % 2], "pid": None}
    path = table(tmp_path / "t.csv", columns_with(**more, nhs_number=BASE["pid"]))
    assert guess_table(path, TableGuess()).patient == "nhs_number"
    path = table(tmp_path / "u.csv", columns_with(patient=more["personnel_id"], sex=more["sex"], pid=None))
    with pytest.raises(ValueError, match="no column seems to hold the patients' ids"):
        guess_table(path, TableGuess())


def test_numbers_of_groups_are_no_ages(tmp_path):
    path = table(tmp_path / "t.csv", columns_with(age_group=lambda row: row % 18))
    assert guess_table(path, TableGuess()).age is None
    ranges = table(tmp_path / "r.csv", columns_with(age_group=lambda row: f"{row % 9}0-{row % 9}9"))
    assert guess_table(ranges, TableGuess()).age == "age_group"


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (("dp", "dr", "das1", "das2"), ["dp", "dr", "das1", "das2"]),
        (("hdia", "bdia1", "bdia2"), ["hdia", "bdia1", "bdia2"]),
        (("hauptdiagnose", "nd1", "nd2"), ["hauptdiagnose", "nd1", "nd2"]),
        (("admit_dx", "dx1", "dx2"), ["dx*"]),
        (("admission_diagnosis",), ["admission_diagnosis"]),
        (("icd", "cid_morte"), ["icd"]),
    ],
)
def test_columns_of_codes_in_several_countries(tmp_path, columns, taken):
    more = {name: lambda row, at=at: CODES[(row + at) % 4] for at, name in enumerate(columns)}
    assert guess_table(table(tmp_path / "t.csv", columns_with(icd=None) | more), TableGuess()).code == taken


def test_further_numbered_columns_that_are_empty_here_are_read_too(tmp_path):
    """As in HES, of whose twenty columns a small export fills four; new patients may have more."""
    more = {f"diag_{at:02}": lambda row, at=at: CODES[(row + at) % 4] if at < 4 else "" for at in range(1, 8)}
    path = table(tmp_path / "t.csv", columns_with(icd=None, startage=lambda row: 40 + row) | more)
    guess = guess_table(path, TableGuess())
    assert (guess.code, guess.age) == (["diag_*"], "startage")
    counted = table(tmp_path / "u.csv", columns_with(icd=None) | more | {"diag_count": lambda row: row % 5})
    assert guess_table(counted, TableGuess()).code == ["diag_01", "diag_02", "diag_03"]


def test_rows_that_may_not_count_are_said_and_can_be_left_out(tmp_path, capsys):
    path = table(tmp_path / "t.csv", columns_with(diagnosesicherheit=lambda row: "GGAV"[row % 4]))
    guess_table(path, TableGuess())
    assert "that may say that a row does not count: diagnosesicherheit (every row is read; --keep" in (
        capsys.readouterr().err
    )
    guess = guess_table(path, TableGuess(keep=["Diagnosesicherheit=g"]))
    assert guess.as_options()[-2:] == ["--keep", "Diagnosesicherheit=g"]
    assert not capsys.readouterr().err
    with pytest.raises(ValueError, match="has no column sicher, which --keep names"):
        guess_table(path, TableGuess(keep=["sicher=g"]))


def test_a_first_line_of_values_is_no_header_and_none_is_shown(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("4711,13/01/2021,I509\n4711,14/02/2021,N179\n")
    with pytest.raises(ValueError, match="has values in its first line, and no names of columns") as refused:
        guess_table(path, TableGuess())
    assert "4711" not in str(refused.value)
