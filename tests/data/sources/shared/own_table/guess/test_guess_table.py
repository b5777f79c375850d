"""Which column is what, by its values: for each shape of table, and where a name must be given."""

import json
import random

import polars as pl
import pytest

from data.prepare import run_guess
from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table


def rows(**columns):
    draw = random.Random(1)
    made = []
    for patient in range(30):
        for visit in range(draw.randint(1, 3)):
            row = {}
            for name, value in columns.items():
                row[name] = value(patient, visit, draw)
            made.append(row)
    return made


def write(tmp_path, table, separator=","):
    path = tmp_path / "export.csv"
    pl.DataFrame(table).write_csv(path, separator=separator)
    return path


ICD10 = ["E11.9", "I10", "J189", "n17.9", "I50.9"]
ICD9 = ["250.00", "401.9", "428.0", "V58.61", "584.9"]
PATIENT = {"Paciente": lambda patient, visit, draw: f"P{patient}"}
ADMITTED = {"FechaIngreso": lambda patient, visit, draw: f"2021-0{visit + 1}-1{patient % 9}"}
BORN = {"fecha_nac": lambda patient, visit, draw: f"19{40 + patient}-01-01"}


def test_columns_of_another_language(tmp_path):
    table = rows(
        **BORN,
        **PATIENT,
        **ADMITTED,
        sexo=lambda patient, visit, draw: ["Hombre", "Mujer"][patient % 2],
        edad=lambda patient, visit, draw: 30 + patient,
        episodio=lambda patient, visit, draw: 1000 + 10 * patient + visit,
        cie=lambda patient, visit, draw: draw.choice(ICD10),
    )
    guess = guess_table(write(tmp_path, table, ";"), TableGuess())
    assert guess == TableGuess(
        patient="paciente",
        visit="episodio",
        time="fechaingreso",
        code=["cie"],
        sex="sexo",
        age="edad",
        code_system="icd10",
    )


def test_lists_and_the_edition_of_icd9(tmp_path):
    table = rows(
        subject=lambda patient, visit, draw: 100 + patient,
        admit_date=lambda patient, visit, draw: f"{visit + 1}/2{patient % 9}/2020",
        dx=lambda patient, visit, draw: "|".join(draw.sample(ICD9, 3)),
    )
    guess = guess_table(write(tmp_path, table), TableGuess())
    assert (guess.patient, guess.time, guess.code, guess.code_separator) == ("subject", "admit_date", ["dx"], "|")
    assert guess.code_system == "icd9"


def test_a_column_for_each_code(tmp_path):
    codes = {f"DIAG{place}": lambda patient, visit, draw: draw.choice([*ICD10, None]) for place in (1, 2, 3)}
    guess = guess_table(write(tmp_path, rows(**PATIENT, **ADMITTED, **codes)), TableGuess())
    assert guess.code == ["diag*"]
    also = {"diagnosed_by": lambda patient, visit, draw: draw.choice(["ward", "clinic"])}
    guess = guess_table(write(tmp_path, rows(**PATIENT, **ADMITTED, **codes, **also)), TableGuess())
    assert guess.code == ["diag1", "diag2", "diag3"]


def test_what_the_user_says_stands(tmp_path):
    table = rows(**PATIENT, **ADMITTED, other=lambda patient, visit, draw: draw.choice(ICD10), **BORN)
    known = TableGuess(patient="other", time="fecha_nac", code=["Other"], code_system="icd10who")
    path = write(tmp_path, table)
    assert guess_table(path, TableGuess(code_system="icd10who")).code_system == "icd10who"
    assert guess_table(path, TableGuess(time="fecha_nac")).time == "fecha_nac"
    assert guess_table(path, known).as_options()[:6] == ["--patient", "other", "--time", "fecha_nac", "--code", "other"]
    with pytest.raises(ValueError, match="no column seems to hold the patients' ids"):
        guess_table(write(tmp_path, rows(x=lambda patient, visit, draw: draw.choice(ICD10), **ADMITTED)), TableGuess())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**PATIENT, **ADMITTED, "age": lambda patient, visit, draw: patient}, "no column seems to hold ICD codes"),
        ({**PATIENT, "dx": lambda patient, visit, draw: draw.choice(ICD10)}, "the times of the visits .--time. or"),
        ({"dx": lambda patient, visit, draw: draw.choice(ICD10)}, "does not look like a table with a header"),
    ],
)
def test_what_no_value_shows_must_be_named(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        guess_table(write(tmp_path, rows(**columns)), TableGuess())


def test_lists_of_more_different_visits_than_are_looked_at(tmp_path):
    draw = random.Random(3)
    lists = [
        ";".join([*draw.sample(ICD10, 2), f"E{10 + row % 4}.{row % 9}", f"S{row % 100:02}"]) for row in range(1200)
    ]
    table = [{"mrn": f"P{row}", "admitted": f"2021-01-{row % 28 + 1:02}", "dx": text} for row, text in enumerate(lists)]
    assert len(set(lists)) > 400
    guess = guess_table(write(tmp_path, table), TableGuess())
    assert (guess.code, guess.code_separator) == (["dx"], ";")


def test_a_file_of_windows_is_read_and_its_encoding_said(tmp_path, monkeypatch, capsys):
    diagnosis = {"Diagnóstico": lambda patient, visit, draw: draw.choice(ICD10)}
    path = write(tmp_path, rows(**PATIENT, **ADMITTED, **diagnosis), ";")
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    monkeypatch.setattr("sys.argv", ["run_guess", str(path), "--json"])
    run_guess.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["columns"][-4:] == ["--code", "diagnóstico", "--encoding", "cp1252"]
    path.write_bytes(path.read_bytes() + b"P1;2021-01-01;\x81\n")  # which Windows has no letter for
    with pytest.raises(ValueError, match="cp1252"):
        guess_table(path, TableGuess())


def test_the_command_prints_options(tmp_path, monkeypatch, capsys):
    table = rows(**PATIENT, **ADMITTED, dx=lambda patient, visit, draw: draw.choice(ICD10))
    path = write(tmp_path, table)
    monkeypatch.setattr("sys.argv", ["run_guess", str(path), "--json"])
    run_guess.main()
    printed = json.loads(capsys.readouterr().out)
    columns = ["--patient", "paciente", "--time", "fechaingreso", "--code", "dx"]
    assert printed == {"columns": columns, "options": [*columns, "--code-system", "icd10"]}


NOTE = "Admitted with shortness of breath; echocardiography showed a reduced ejection fraction. Number {}. Discharged."


def notes_of(visits_of_patient, **columns):
    """A row for each note: an id, the note, its codes, and what `columns` says of it."""
    return [
        {
            **{name: value(patient, visit) for name, value in columns.items()},
            "contenido": NOTE.format(10 * patient + visit),
            "codes": f"{ICD10[patient % 5]};{ICD10[(patient + 1) % 5]}",
        }
        for patient in range(30)
        for visit in range(visits_of_patient)
    ]


def test_a_note_of_its_own_needs_no_patient_and_no_time(tmp_path):
    path = write(tmp_path, notes_of(1, doc_id=lambda patient, visit: f"d{patient}"))
    guess = guess_table(path, TableGuess(), of_notes=True)
    assert (guess.patient, guess.visit, guess.text, guess.code) == ("doc_id", "doc_id", "contenido", ["codes"])
    assert (guess.code_separator, guess.code_system, guess.time) == (";", "icd10", None)
    with pytest.raises(ValueError, match="the patients' ids; name it with --patient, or say --kind coding where each"):
        guess_table(path, TableGuess(text="contenido"))


def test_notes_of_one_patient_stay_together(tmp_path):
    names = {"doc_id": lambda patient, visit: f"d{patient}-{visit}", "patient": lambda patient, visit: f"p{patient}"}
    guess = guess_table(write(tmp_path, notes_of(2, **names)), TableGuess(), of_notes=True)
    assert (guess.patient, guess.visit) == ("patient", "doc_id")


def test_a_row_for_each_code_of_a_note(tmp_path):
    table = notes_of(1, doc_id=lambda patient, visit: f"d{patient}")
    long = [{**row, "codes": code} for row in table for code in row["codes"].split(";")]
    guess = guess_table(write(tmp_path, long), TableGuess(), of_notes=True)
    assert (guess.patient, guess.visit, guess.code_separator) == ("doc_id", "doc_id", None)


def test_a_table_without_notes_is_said(tmp_path):
    path = write(tmp_path, rows(**PATIENT, **ADMITTED, cie=lambda patient, visit, draw: draw.choice(ICD10)))
    with pytest.raises(ValueError, match="no column seems to hold notes; name it with --text"):
        guess_table(path, TableGuess(), of_notes=True)


def test_a_note_of_an_encounter_is_named_by_itself(tmp_path):
    names = {
        "patient": lambda patient, visit: f"p{patient}",
        "encounter": lambda patient, visit: f"e{patient}-{visit // 2}",
        "doc_id": lambda patient, visit: f"d{patient}-{visit}",
    }
    path = write(tmp_path, notes_of(4, **names))
    guess = guess_table(path, TableGuess(), of_notes=True)
    assert (guess.patient, guess.visit) == ("patient", "doc_id")
    one_each = write(tmp_path, notes_of(1, episodio=lambda patient, visit: f"e{patient}"))
    guess = guess_table(one_each, TableGuess(), of_notes=True)
    assert (guess.patient, guess.visit) == ("episodio", "episodio")


def test_notes_need_no_ids_and_no_patients(tmp_path):
    guess = guess_table(
        write(tmp_path, notes_of(2, patient=lambda patient, visit: f"p{patient}")), TableGuess(), of_notes=True
    )
    assert (guess.patient, guess.visit, guess.time) == ("patient", None, None)
    nameless = write(tmp_path, notes_of(1, colour=lambda patient, visit: ["red", "blue"][patient % 2]))
    guess = guess_table(nameless, TableGuess(), of_notes=True)
    assert (guess.patient, guess.visit, guess.text) == (None, None, "contenido")
    dated = notes_of(
        2, patient=lambda patient, visit: f"p{patient}", discharge_date=lambda patient, visit: f"2021-0{1 + visit}-10"
    )
    guess = guess_table(write(tmp_path, dated), TableGuess(), of_notes=True)
    assert (guess.patient, guess.time) == ("patient", "discharge_date"), "of a visit to come it would be no time"


def test_further_columns_of_notes_are_said(tmp_path, capsys):
    more = {"history": lambda patient, visit: f"History of patient {patient} {'and so on ' * 12}"}
    path = write(tmp_path, notes_of(1, doc_id=lambda patient, visit: f"d{patient}", **more))
    guess = guess_table(path, TableGuess(), of_notes=True)
    assert (
        "not taken: other columns of notes: contenido (--text history+contenido reads all)" in capsys.readouterr().err
    )
    assert guess.text == "history"
    both = guess_table(path, TableGuess(text="contenido+history"), of_notes=True)
    assert (both.text, both.visit) == ("contenido+history", "doc_id")


def test_json_with_lists_and_records(tmp_path, capsys):
    rows = [
        {
            "id": f"n{row}",
            "text": f"Note {row} {'of a patient ' * 9}",
            "codes": ["I10", "E11.9"][: 1 + row % 2],
            "m": {"a": row},
        }
        for row in range(30)
    ]
    lines = tmp_path / "notes.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)) + "\n")
    array = tmp_path / "notes.json"
    array.write_text(json.dumps(rows))
    pl.DataFrame(rows).write_parquet(tmp_path / "notes.parquet")
    for path in (lines, array, tmp_path / "notes.parquet"):
        guess = guess_table(path, TableGuess(), of_notes=True)
        assert (guess.text, guess.code, guess.code_separator, guess.visit) == ("text", ["codes"], ";", "id")
        assert "not taken: columns of records, which have no form as text: m" in capsys.readouterr().err
    (tmp_path / "broken.jsonl").write_text('{"id": "Smith", \n')
    with pytest.raises(ValueError, match="is no JSON with an object on each line") as refused:
        guess_table(tmp_path / "broken.jsonl", TableGuess())
    assert "Smith" not in str(refused.value)


def test_columns_that_are_left_out_are_said(tmp_path, capsys):
    draw = random.Random(2)
    lines = ["pid,admitted,principal_dx,sec1,sec2,note,note,"]
    for patient in range(40):
        codes = ",".join(draw.choice(ICD10) for _ in range(3))
        lines += [f"P{patient},2021-0{visit}-10,{codes},a,b,c" for visit in (1, 2)]
    path = tmp_path / "export.csv"
    path.write_text("\n".join(lines) + "\n")
    assert guess_table(path, TableGuess()).code == ["principal_dx"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "not taken: columns that share a name: note (give each a name of its own)",
        "not taken: columns with codes, by their values: sec1, sec2 (--code says which are meant)",
        "not read: sec1, sec2, column 8",
    ]
    named = ["principal_dx", "sec1", "sec2"]
    assert guess_table(path, TableGuess(code=named)).code == named
    path.write_text(path.read_text().replace("principal_dx", "principal"))
    with pytest.raises(ValueError, match="principal, sec1, sec2 all seem to hold ICD codes; name those of diagnoses"):
        guess_table(path, TableGuess())


def test_a_column_called_stage_is_no_age(tmp_path):
    table = rows(
        **PATIENT,
        **ADMITTED,
        date_naissance=lambda patient, visit, draw: f"19{40 + patient}-01-01",
        triage=lambda patient, visit, draw: 1 + patient % 5,
        patient_age=lambda patient, visit, draw: 30 + patient,
        dx=lambda patient, visit, draw: draw.choice(ICD10),
    )
    guess = guess_table(write(tmp_path, table), TableGuess())
    assert (guess.age, guess.time) == ("patient_age", "fechaingreso")


def test_a_principal_diagnosis_and_a_list_of_the_others_are_taken_together(tmp_path):
    table = rows(
        **PATIENT,
        **ADMITTED,
        principal_diagnosis=lambda patient, visit, draw: draw.choice(ICD10),
        secondary_diagnoses=lambda patient, visit, draw: ", ".join(draw.sample(ICD10, draw.randint(0, 3))),
    )
    path, both = write(tmp_path, table), ["principal_diagnosis", "secondary_diagnoses"]
    for known in (TableGuess(), TableGuess(code=list(both)), TableGuess(code_separator=",")):
        guess = guess_table(path, known)
        assert (guess.code, guess.code_separator) == (both, ",")


def test_ids_that_look_like_codes_are_no_codes(tmp_path, capsys):
    """P000 and P001 are codes of ICD-10-CM; here they are patients, and the codes are a list in another column."""
    table = [
        {
            "document": f"D{patient}{visit}",
            "patient": f"P{patient:03}",
            "letter": "Seen on the ward. " * 8,
            "final_codes": "K21.9 F32.9",
        }
        for patient in range(9)
        for visit in range(2)
    ]
    for number, row in enumerate(table):
        row["letter"] += f" {number}"
    guess = guess_table(write(tmp_path, table), TableGuess(), of_notes=True)
    assert (guess.patient, guess.code, guess.code_separator) == ("patient", ["final_codes"], " ")
    unnamed = [{("value" if name == "final_codes" else name): cell for name, cell in row.items()} for row in table]
    assert guess_table(write(tmp_path, unnamed), TableGuess(), of_notes=True).code == ["value"]


def test_the_time_of_a_visit_is_no_birth_and_no_export(tmp_path):
    table = rows(
        ausgabe=lambda patient, visit, draw: "2024-01-01",
        levdatum=lambda patient, visit, draw: f"19{40 + patient}-01-01",
        **{"Patient DOB": lambda patient, visit, draw: f"19{40 + patient}-01-01"},
        **{"Patient Name": lambda patient, visit, draw: "ABC"[patient % 3]},
        MRN=lambda patient, visit, draw: 1000 + patient,
        begin=lambda patient, visit, draw: f"2021-0{visit + 1}-1{patient % 9}",
        dx=lambda patient, visit, draw: draw.choice(ICD10),
    )
    guess = guess_table(write(tmp_path, table), TableGuess())
    assert (guess.patient, guess.time) == ("mrn", "begin")
