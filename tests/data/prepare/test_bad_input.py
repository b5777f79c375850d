"""Bad input to `data.prepare`: one clear sentence, exit code 1, and no output folder."""

import gzip

import pytest
from ready_python import run_ready

from data.prepare.options import parse_arguments
from data.prepare.run import prepare
from mera.root import ROOT

HEADER = "encounter_id,patient_nbr,gender,age,diag_1,diag_2,diag_3"
ROWS = [f"{number},{number // 2},Male,[50-60),428,401,?" for number in range(2, 42)]
GOOD = "\n".join([HEADER, *ROWS]) + "\n"


def run(*arguments):
    return prepare(parse_arguments([str(argument) for argument in arguments]))


def assert_refused(tmp_path, content, message):
    source = tmp_path / "input.csv"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    output = tmp_path / "out" / "task"
    with pytest.raises(ValueError, match=message) as caught:
        run("diabetes130", "--input", source, "--output", output)
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not output.exists()
    assert not list(tmp_path.glob("**/.*.partial"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a table with a header"),
        ("  \n\n", "is empty"),
        (HEADER + "\n", "has a header but no rows"),
        (GOOD.replace("diag_2", "second"), "has no column diag_2; found encounter_id, .*second"),
        (GOOD.replace("patient_nbr", "x").replace("age", "y"), "has no column patient_nbr, age;"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-30], "is cut off: the gzip stream ends early"),
        (b"\x1f\x8b" + b"nonsense" * 20, "is a damaged gzip file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not a CSV: it holds binary data"),
        (GOOD.encode() + b"\xff", "is not a CSV in UTF-8"),
        (b"PK\x03\x04\x00\x00\x00", "is a damaged or protected zip file"),
        (GOOD.encode() + b"\x00", "is not a CSV: it holds binary data"),
        (GOOD + "1,2,3,4,5,6,7,8,9,10\n", "line 42: 10 fields where the first line has 7"),
        ("just a sentence\nand another\n", "has no column encounter_id"),
    ],
)
def test_unusable_file(tmp_path, content, message):
    assert_refused(tmp_path, content, message)


def test_missing_file_and_folder_instead_of_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"input file not found: .*nowhere.csv"):
        run("diabetes130", "--input", tmp_path / "nowhere.csv", "--output", tmp_path / "task")
    with pytest.raises(ValueError, match="is a folder; --input must name one file"):
        run("diabetes130", "--input", tmp_path, "--output", tmp_path / "task")


def test_mimic_folder_without_its_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="input folder not found"):
        run("mimic3", "--input", tmp_path / "nowhere", "--output", tmp_path / "task")
    with pytest.raises(FileNotFoundError, match=r"holds neither ADMISSIONS.csv nor ADMISSIONS.csv.gz"):
        run("mimic3", "--input", tmp_path, "--output", tmp_path / "task")
    (tmp_path / "admissions.csv").write_text("subject_id,hadm_id,admittime,deathtime\n1,1,2100-01-01,\n")
    (tmp_path / "ADMISSIONS.csv.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds ADMISSIONS.csv.gz and admissions.csv; keep one"):
        run("mimic3", "--input", tmp_path, "--output", tmp_path / "task")


def test_output_that_exists_is_kept(tmp_path):
    source = tmp_path / "input.csv"
    source.write_text(GOOD)
    output = tmp_path / "task"
    output.mkdir()
    (output / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="already exists; choose another --output or remove it"):
        run("diabetes130", "--input", source, "--output", output)
    assert (output / "mine.txt").read_text() == "precious"
    assert len(list(output.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fractions", 0.5, 0.5, 0.5), "--fractions must be three positive numbers with the sum 1"),
        (("--fractions", 1.0, 0.0, 0.0), "--fractions must be three positive numbers"),
        (("--fractions", 0.98, 0.01, 0.01), "20 patients are too few: the validation split would be empty"),
        (("--min-visits", 1), "--min-visits must be at least 2"),
        (("--min-visits", 3), "no patient of diabetes130 has 3 visits with a usable code"),
        (("--sizes", 10, 5, 5), "--sizes goes with --protocol chet"),
        (("--protocol", "chet"), "--protocol chet needs --sizes for diabetes130"),
        (("--protocol", "chet", "--sizes", 10, 5, 6), "asks for 21 patients, but the cohort has 20"),
        (("--protocol", "chet", "--sizes", 0, 5, 5), "each at least 1"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    source = tmp_path / "input.csv"
    source.write_text(GOOD)
    with pytest.raises(ValueError, match=message):
        run("diabetes130", "--input", source, "--output", tmp_path / "task", *options)
    assert not (tmp_path / "task").exists()


def test_nothing_but_unknown_codes(tmp_path):
    source = tmp_path / "input.csv"
    source.write_text(GOOD.replace("428,401", "ABC,XYZ"))
    with pytest.raises(ValueError, match="no patient of diabetes130 has 2 visits with a usable code"):
        run("diabetes130", "--input", source, "--output", tmp_path / "task")


def test_synthetic_needs_patients(tmp_path):
    with pytest.raises(ValueError, match="--patients must be at least 1, got 0"):
        run("synthetic", "--patients", 0, "--output", tmp_path / "task")


def test_the_command_prints_one_sentence_and_exits_with_1(tmp_path):
    source = tmp_path / "input.csv"
    source.write_text(GOOD.replace("diag_1", "first"))
    words = ("-m", "data.prepare", "diabetes130", "--input", source, "--output", tmp_path / "task")
    result = run_ready(words, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "has no column diag_1" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""
    assert not (tmp_path / "task").exists()


def test_every_source_explains_itself(capsys):
    for source in ("diabetes130", "mimic3", "mimic4", "codiesp", "synthetic"):
        with pytest.raises(SystemExit) as caught:
            parse_arguments([source, "--help"])
        assert caught.value.code == 0
        assert f"mera prepare {source}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["mimic5", "--output", "x"])
    assert caught.value.code == 2
    assert "mimic5" in capsys.readouterr().err
