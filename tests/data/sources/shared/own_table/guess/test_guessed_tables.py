"""Patients, ages, positions and first lines of tables as hospitals of other countries and other programs write them."""

import pytest

from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table


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
        (["Smith", "Cardiology", "I10"], visit_of, "has values in its first line"),
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
    path = write_rows(tmp_path, ["pid", "day", "icd", "note"], lambda n: (*visit_of(n), "x"))
    path.write_bytes(path.read_bytes() + b"P9,2020-01-01,I10,\x81\n")  # which Windows has no letter for
    with pytest.raises(ValueError, match=r"is not a CSV in UTF-8 .*--encoding cp1252 .*cp932 Japanese"):
        guess_table(path, TableGuess())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("type_of_coverage", "ABC"),
        ("code_language", "ABC"),
        ("tipo_enfermedad", "ABC"),
        ("unit_of_dosage", "ABC"),
        ("age_unit", ["years", "Years"]),
    ],
)
def test_what_only_sounds_like_the_unit_of_an_age(tmp_path, name, values):
    path = write_rows(
        tmp_path, ["pid", "day", "icd", "age", name], lambda n: (*visit_of(n), 30 + n // 3, values[n % len(values)])
    )
    assert guess_table(path, TableGuess()).age == "age"


@pytest.mark.parametrize(
    ("age", "unit"),
    [("edad", "unidad_edad"), ("idade", "unidade_idade"), ("age", "unite_age"), ("leeftijd", "leeftijd_eenheid")],
)
def test_units_of_ages_in_other_languages(tmp_path, age, unit):
    path = write_rows(
        tmp_path, ["pid", "day", "icd", age, unit], lambda n: (*visit_of(n), 30 + n // 3, ("ans", "mois")[n % 2])
    )
    assert guess_table(path, TableGuess()).age is None


def test_numbers_of_an_admission_are_no_days(tmp_path):
    header = ["patient_nbr", "encounter_id", "admission_type_id", "time_in_hospital", "diag_1"]
    path = write_rows(tmp_path, header, lambda n: (visit_of(n)[0], n, 1 + n % 5, 1 + n % 13, visit_of(n)[2]))
    guess = guess_table(path, TableGuess())
    assert (guess.time, guess.visit) == (None, "encounter_id")


def test_a_patient_of_one_row_is_no_region(tmp_path):
    header = ["patient_id", "patient_region", "day", "icd"]
    path = write_rows(tmp_path, header, lambda n: (f"P{n}", f"region {n % 4}", *visit_of(n)[1:]))
    assert guess_table(path, TableGuess()).patient == "patient_id"
