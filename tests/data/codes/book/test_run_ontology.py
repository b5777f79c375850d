"""The command `mera ontology`."""

import os

import pytest
from book_files import icd10_zip, table
from ready_python import run_ready
from typer.testing import CliRunner

from data.codes.book.run_ontology import app
from mera.root import ROOT


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in this process."""
    monkeypatch.setenv("MERA_BOOKS", str(tmp_path / "books"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)), prog_name="mera ontology")

    return call


def test_a_book_from_beginning_to_end(run, tmp_path):
    empty = run()
    assert "no code books in" in empty.stdout
    assert "mera ontology add FILE" in empty.stdout
    added = run("add", icd10_zip(tmp_path / "a.zip"))
    assert added.exit_code == 0, added.stderr
    assert "a.zip: icd10cm index and tabular 2017" in added.stdout
    assert "left out:" in added.stdout
    assert "code that no edition has" in added.stdout
    own = table(tmp_path / "own.csv", "E11.9,diabetes azucarada", "xyz,nothing", header="code,term")
    added = run("add", own, "--language", "es")
    assert "own own.csv, 1 terms, 0 relations" in added.stdout
    assert "1  row whose code the edition does not have" in added.stdout
    listed = run().stdout
    for text in ("icd10cm index and tabular 2017: ", "own own.csv: 1 terms", "es 1", "sha256"):
        assert text in listed
    shown = run("show", "e119", "--limit", "2").stdout
    for text in ("E11.9  Type 2 diabetes", "E08-E13  Diabetes mellitus", "diabetes", "[es]", "E11 excludes"):
        assert text in shown
    assert "more (--limit" in shown


def test_show_works_without_a_book(run):
    shown = run("show", "250.00", "--limit", "3")
    assert shown.exit_code == 0, shown.stderr
    assert "no code book: this is what the packages hold" in shown.stdout
    assert "ICD-10-CM: E11.9" in shown.stdout


def test_mistakes_are_one_sentence(run, tmp_path):
    for arguments, message in (
        (("show", "E11.7"), "the nearest are"),
        (("show", "250.99"), "not a code of ICD-9-CM"),
        (("show", "E11.9", "--system", "icd11"), "--system must be one of"),
        (("show", "E11.9", "--book", tmp_path / "none"), "no code book in"),
        (("add", tmp_path / "none.zip"), "input file not found"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert message in result.stderr


def test_a_damaged_book_is_named_and_the_others_are_listed(run, tmp_path):
    run("add", icd10_zip(tmp_path / "a.zip"))
    broken = tmp_path / "books" / "icd9cm"
    broken.mkdir()
    (broken / "book.json").write_text("{")
    result = run()
    assert "icd10cm index and tabular 2017" in result.stdout
    assert f"error: the code book in {broken} is damaged; make it again" in result.stderr
    assert result.exit_code == 1


def test_help_has_examples(run):
    for arguments, example in (((), "mera ontology show E11.9"), (("add",), "cie10.csv"), (("show",), "250.00")):
        text = run(*arguments, "--help").stdout
        assert example in text
        assert "Usage: mera ontology" in text


def test_mera_starts_it(tmp_path):
    environment = os.environ | {"MERA_BOOKS": str(tmp_path / "books")}
    result = run_ready(["-m", "mera.cli", "ontology"], cwd=ROOT, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"no code books in {tmp_path / 'books'}")
