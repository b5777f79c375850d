"""Tables of one export as one: against a join by hand, in every form of file, and what cannot be joined."""

import os
import subprocess
import sys

import polars as pl
import pytest

from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.joined_tables import Further
from data.sources.shared.own_table.run_join import join_files
from mera.root import ROOT

DIAGNOSES = pl.DataFrame({"stay_id": ["1", "1", "2", "9", None], "icd": ["I10", "0389", "E11.9", "J18.9", "N17.9"]})
STAYS = pl.DataFrame(
    {"stay_id": ["2", "1", "3"], "pid": ["007", "008", "008"], "admitted": ["2021-02-01", "2021-01-05", "2021-03-01"]}
)
PATIENTS = pl.DataFrame({"id": ["008", "007"], "sex": ["F", "M"], "icd": ["x", "y"]})
WHOLE = {
    "stay_id": ["1", "1", "2", "9", None],
    "icd": ["I10", "0389", "E11.9", "J18.9", "N17.9"],
    "pid": ["008", "008", "007", None, None],
    "admitted": ["2021-01-05", "2021-01-05", "2021-02-01", None, None],
    "sex": ["F", "F", "M", None, None],
    "patients.icd": ["x", "x", "y", None, None],
}


def write(folder, **tables):
    for name, table in tables.items():
        table.write_csv(folder / f"{name}.csv", separator=";" if name == "stays" else ",")
    return folder


def join(folder, *words, output="visits.csv"):
    first, *others = [str(folder / word) for word in words]
    return join_files(first, [Further.parse(word) for word in others], folder / output, None, None)


def test_rows_have_what_their_ids_refer_to(tmp_path):
    write(tmp_path, diagnoses=DIAGNOSES, stays=STAYS, patients=PATIENTS)
    rows, (stays, patients) = join(tmp_path, "diagnoses.csv", "stays.csv", "patients.csv:pid=id")
    assert rows.to_dict(as_series=False) == WHOLE
    assert (stays.keys, stays.num_found, stays.num_unused, stays.renamed) == (("stay_id",), 3, 1, {})
    assert (patients.num_found, patients.num_unused, patients.renamed) == (3, 0, {"icd": "patients.icd"})
    written = pl.read_csv(tmp_path / "visits.csv", infer_schema=False)
    assert written.to_dict(as_series=False) == WHOLE, "zeros in front stay"
    assert (tmp_path / "visits.csv").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_every_form_of_file_is_joined_alike(tmp_path):
    write(tmp_path, diagnoses=DIAGNOSES)
    STAYS.with_columns(pl.col("stay_id").cast(pl.Float64), pl.col("admitted").str.to_date()).write_parquet(
        tmp_path / "stays.parquet"
    )
    rows, _ = join(tmp_path, "diagnoses.csv", "stays.parquet", output="visits.parquet")
    assert rows.to_dict(as_series=False) == {name: WHOLE[name] for name in ("stay_id", "icd", "pid", "admitted")}
    assert pl.read_parquet(tmp_path / "visits.parquet").equals(rows)


def test_several_columns_tell_a_stay(tmp_path):
    clinics = DIAGNOSES.drop_nulls().with_columns(clinic=pl.Series(["A", "B", "A", "A"]))
    write(tmp_path, diagnoses=clinics, stays=STAYS.with_columns(clinic=pl.lit("A")))
    rows, (stays,) = join(tmp_path, "diagnoses.csv", "stays.csv")
    assert stays.keys == ("stay_id", "clinic")
    assert rows["pid"].to_list() == ["008", None, "007", None]
    named, _ = join(tmp_path, "diagnoses.csv", "stays.csv:stay_id+clinic", output="again.csv")
    assert named.equals(rows)


def test_files_of_one_name_do_not_share_the_names_of_columns(tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        STAYS.select("stay_id", icd=pl.lit(folder)).write_csv(tmp_path / folder / "stays.csv")
    write(tmp_path, diagnoses=DIAGNOSES)
    rows, _ = join(tmp_path, "diagnoses.csv", "old/stays.csv:stay_id", "new/stays.csv:stay_id")
    assert rows.columns == ["stay_id", "icd", "stays.icd", "stays'.icd"]


def test_repeated_rows_are_one(tmp_path):
    write(tmp_path, diagnoses=DIAGNOSES, stays=pl.concat([STAYS, STAYS]))
    assert join(tmp_path, "diagnoses.csv", "stays.csv")[0]["pid"].to_list() == WHOLE["pid"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stays.csv", "diagnoses.csv"), r"1 values of stay_id stand in several different rows; .*several first"),
        (("diagnoses.csv", "others.csv"), r"others.csv has no column that the tables before have too"),
        (("diagnoses.csv", "stays.csv:pid"), r"the tables before .*stays.csv have no column pid"),
        (("diagnoses.csv", "stays.csv:stay_id=nr"), r"stays.csv has no column nr to be joined by"),
        (("diagnoses.csv", "stays.csv:icd=admitted"), r"no row has a partner there by icd; name the columns"),
        (("diagnoses.csv", "stays.csv:=pid"), r"a file to join is FILE, FILE:COLUMN or FILE:COLUMN=ITS_COLUMN"),
        (("numbered.csv", "numbered_stays.csv"), r"do not agree in all of them; say by which .*stays.csv:stay_id"),
        (("diagnoses.csv", "twice.csv"), r"twice.csv has several columns called a; rename all but one"),
    ],
)
def test_what_cannot_be_joined_is_one_sentence(tmp_path, words, message):
    write(tmp_path, diagnoses=DIAGNOSES, stays=STAYS, others=pl.DataFrame({"pid": ["007"], "sex": ["F"]}))
    (tmp_path / "twice.csv").write_text("stay_id,a,a\n1,2,3\n")
    write(tmp_path, numbered=DIAGNOSES.with_row_index("id", offset=100), numbered_stays=STAYS.with_row_index("id"))
    with pytest.raises(ValueError, match=message):
        join(tmp_path, *words)
    assert not (tmp_path / "visits.csv").exists()


def test_the_command_says_what_became_of_each_file_and_what_is_next(tmp_path):
    write(tmp_path, diagnoses=DIAGNOSES, stays=STAYS)
    command = [sys.executable, "-m", "mera.cli", "join", "diagnoses.csv", "stays.csv", "--output", "visits.csv"]
    at = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    done = subprocess.run(command, **at, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "stays.csv, by stay_id: 3 rows have one there, 2 have none; 1 rows of it are of no row and left out",
        "visits.csv: 5 rows with the columns stay_id, icd, pid, admitted",
        "from there: mera go visits.csv --output mine",
    ]
    again = subprocess.run(command, **at, check=False)
    assert again.returncode == 1
    assert again.stderr.strip() == "error: visits.csv already exists; choose another --output or remove it"


def test_codes_and_notes_in_two_files_are_one_table_of_notes(tmp_path):
    rows = [(f"n{number}", f"Patient {number} has pain. " * 9) for number in range(40)]
    notes = pl.DataFrame(rows, schema=["note_id", "report"], orient="row")
    codes = pl.DataFrame({"note_id": [f"n{number // 2}" for number in range(80)], "icd": ["I10", "E11.9"] * 40})
    write(tmp_path, codes=codes, notes=notes)
    join(tmp_path, "codes.csv", "notes.csv", output="coded.csv")
    guess = guess_table(tmp_path / "coded.csv", TableGuess(), of_notes=True)
    assert (guess.visit, guess.text, guess.code) == ("note_id", "report", ["icd"])


def test_columns_may_be_called_anything(tmp_path):
    names = {"pid": "found", "admitted": "key 0"}
    write(tmp_path, diagnoses=DIAGNOSES.rename({"icd": "found"}), stays=STAYS.rename(names))
    rows, (stays,) = join(tmp_path, "diagnoses.csv", "stays.csv:stay_id")
    assert rows.columns == ["stay_id", "found", "stays.found", "key 0"]
    assert rows["stays.found"].to_list() == WHOLE["pid"]
    assert (stays.num_found, stays.num_unused) == (3, 1)


def test_rows_without_an_id_are_counted_and_what_is_mended_is_said(tmp_path, capsys):
    write(tmp_path, diagnoses=DIAGNOSES)
    (tmp_path / "stays.csv").write_text(
        "stay_id,pid,admitted\n1,008,2021-01-05\n\n2,007\n,009,2021-02-02\n,010,2021-02-03\nstay_id,pid,admitted\n"
    )
    rows, (stays,) = join(tmp_path, "diagnoses.csv", "stays.csv")
    assert rows["pid"].to_list() == WHOLE["pid"]
    assert stays.num_unused == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1] for line in said] == [
        "1 times: empty line, left out",
        "1 times: row with fewer fields than the header, the rest taken for empty",
        "1 times: row that repeats the header or underlines it, left out",
    ]


@pytest.mark.parametrize("name", ["diagnoses", "stays"])
def test_a_file_without_a_header_is_refused_and_no_value_is_shown(tmp_path, capsys, name):
    write(tmp_path, diagnoses=DIAGNOSES, stays=STAYS)
    table = {
        "diagnoses": "s0,i10,2020-01-01\ns1,i11.9,2020-01-02\n",
        "stays": "s0,Müller,1950-03-04\ns1,Meier,1960-03-04\n",
    }
    (tmp_path / f"{name}.csv").write_text(table[name])
    with pytest.raises(
        ValueError, match=rf"{name}.csv has values in its first line, and no names of columns"
    ) as refused:
        join(tmp_path, "diagnoses.csv", "stays.csv:stay_id")
    assert "ller" not in str(refused.value) + capsys.readouterr().err
