"""Where several columns could be the same, their names decide; and what a guess leaves alone by name."""

import pytest

from data.sources.shared.own_table.table_guess import TableGuess, guess_table


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


def write_rows(tmp_path, header, row_of, rows=90, name="t.csv"):
    lines = [",".join(header), *(",".join(map(str, row_of(number))) for number in range(rows))]
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / name


def visit_of(number):
    return f"P{number // 3:03}", f"2020-{1 + number % 3:02}-{1 + number % 28:02}", ("I10", "E11.9", "N17.9")[number % 3]


def test_an_age_with_its_unit_beside_it_is_no_number_of_years(tmp_path, capsys):
    def row(number):
        return (*visit_of(number), 20 + number // 3, "days" if number < 30 else "years")

    guess = guess_table(write_rows(tmp_path, ["pid", "day", "icd", "age", "age_unit"], row), TableGuess())
    assert guess.age is None
    assert "ages by their names: age, age_unit (--age reads years, as 67)" in capsys.readouterr().err
    born = write_rows(
        tmp_path, ["pid", "day", "icd", "IDADE", "COD_IDADE", "NASC"], lambda n: (*row(n), "1950-01-02"), name="u.csv"
    )
    guess = guess_table(born, TableGuess())
    assert (guess.age, guess.birth_date) == (None, "nasc")


def test_a_number_of_the_row_is_no_patient_where_another_repeats(tmp_path):
    path = write_rows(tmp_path, ["id", "person_code", "day", "icd"], lambda n: (n, *visit_of(n)))
    assert guess_table(path, TableGuess()).patient == "person_code"


@pytest.mark.parametrize("name", ["BENE_ID", "PatNr", "Nro HC", "EXPEDIENTE", "VisitLink", "病案号", "患者ID", "JID"])
def test_further_names_of_patients(tmp_path, name):
    path = write_rows(tmp_path, [name, "day", "icd"], visit_of)
    assert guess_table(path, TableGuess()).patient == name.lower()


@pytest.mark.parametrize(("name", "words"), [("성별", "남여"), ("性別", "男女"), ("Sesso", "MF"), ("KON", "MK")])
def test_sexes_of_one_character_in_other_scripts(tmp_path, name, words):
    path = write_rows(tmp_path, ["pid", "day", "icd", name], lambda n: (*visit_of(n), words[n // 3 % 2]))
    assert guess_table(path, TableGuess()).sex == name.lower()


def test_a_position_differs_within_visits(tmp_path):
    def row(number):
        patient, visit, line = number // 6, number // 3, number % 3
        return f"P{patient}", f"2020-0{1 + visit % 2}-10", 1 + line, 4 + visit % 5, ("I10", "E11.9", "N17.9")[line]

    path = write_rows(tmp_path, ["pid", "day", "line", "num_meds", "icd"], row)
    assert guess_table(path, TableGuess()).position == "line"
    path = write_rows(tmp_path, ["pid", "day", "x", "num_meds", "icd"], row, name="u.csv")
    assert guess_table(path, TableGuess()).position is None


def test_notes_are_no_ids(tmp_path):
    def row(number):
        return number, f"letter {number} " + "of a long stay " * 9, f"nursing {number} " + "of the ward " * 9, "I10"

    path = write_rows(tmp_path, ["nr", "discharge_summary", "nursing_note", "labels"], row)
    guess = guess_table(path, TableGuess(), of_notes=True)
    assert (guess.text, guess.visit, guess.patient) == ("discharge_summary", None, None)


def test_a_header_of_two_lines_in_a_cell(tmp_path):
    path = write_rows(tmp_path, ['"Patient\nID"', '"Admission\r\n  Date"', "ICD"], visit_of)
    guess = guess_table(path, TableGuess())
    assert (guess.patient, guess.time, guess.code) == ("patient id", "admission date", ["icd"])


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (["Diagnoses 2020", "", ""], visit_of, "the first line is a title and no header"),
        (["Patient", "", "Codes", ""], lambda n: ("id", "day", "ICD1", "ICD2") if n == 0 else (*visit_of(n), "I10"),
         "has two lines with names of columns, the first without a name for 2 of them"),
        (["pid", "day", "I10", "E11.9", "I50.9"], lambda n: (*visit_of(n)[:2], n % 2, 0, 1), "a column for each code"),
        (["pid", "admitted", "icd"], lambda n: (visit_of(n)[0], 44200 + 9 * n, "I10"),
         "times of the visits, as whole numbers, which --time admitted reads as days"),
        (["P001", "2020-01-02", "I10"], visit_of, "has values in its first line"),
        (["P001", "F", "2020-01-02", "I10"], lambda n: ("P", "F", *visit_of(n)[1:]), "has values in its first line"),
    ],
)  # fmt: skip
def test_first_lines_that_are_refused(tmp_path, header, row, message):
    with pytest.raises(ValueError, match=message):
        guess_table(write_rows(tmp_path, header, row), TableGuess())


def test_columns_that_pandas_has_numbered(tmp_path):
    path = write_rows(tmp_path, ["patient_id", "admitted", "0", "1", "2"], lambda n: (*visit_of(n), "I10", "J18.9"))
    with pytest.raises(ValueError, match="all seem to hold ICD codes; name those of diagnoses with --code"):
        guess_table(path, TableGuess())
    assert guess_table(path, TableGuess(code=["0", "1", "2"])).patient == "patient_id"


def test_another_encoding_is_asked_for(tmp_path):
    path = write_rows(tmp_path, ["pid", "day", "icd", "病棟"], lambda n: (*visit_of(n), "内科"))
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp932"))
    with pytest.raises(ValueError, match=r"is not a CSV in UTF-8 .*--encoding cp1252 .*cp932 Japanese"):
        guess_table(path, TableGuess())
