"""Adding files to a code book."""

import shutil
import zipfile

import polars as pl
import pytest
from book_files import ICD9_INDEX, ICD9_TABULAR, icd9_zip, icd10_zip, table
from shared_data import shared_data

from data.codes.book.add import add_file, add_to_book, count_contradictions
from data.codes.book.book import TERM_COLUMNS, load_book
from data.codes.book.sources.file_kinds import WHAT_CAN_BE_ADDED
from data.codes.book.store import default_book
from mera.system.errors import UserError


@pytest.fixture(autouse=True)
def own_books(tmp_path, monkeypatch):
    monkeypatch.setenv("MERA_BOOKS", str(tmp_path / "books"))


def kinds(book):
    return [source["kind"] for source in book.record["sources"]]


def terms(book, code):
    return set(book.terms_of(code)["term"])


def test_the_cdcs_zip_makes_the_users_book_of_its_edition(tmp_path):
    book = add_to_book(icd10_zip(tmp_path / "a.zip"))
    assert book.path == default_book("icd10cm") == tmp_path / "books" / "icd10cm"
    assert kinds(book) == ["icd10cm index and tabular 2017"]
    assert "diabetic nephropathy" in terms(book, "E11.21")
    assert {"Diabetes of the old days", "sugar diabetes"} <= terms(book, "E11.9")
    assert book.notes_of(["E11"]).select("kind", "target_first").rows() == [("excludes1", "O24.4")]
    source = book.record["sources"][0]
    assert (source["file"], source["terms"], source["relations"]) == ("a.zip", book.terms.height, 1)
    assert source["dropped"]["code that no edition has"] >= 1
    assert set(book.terms["source"]) == set(book.relations["source"]) == set(kinds(book))


def test_another_year_replaces_the_first_and_a_table_is_added(tmp_path):
    first = add_file(icd10_zip(tmp_path / "a.zip", 2017))
    assert first.replaced is None
    own = table(tmp_path / "own.csv", "E11.9,diabetes azucarada,es", "I10,lay pressure,")
    add_to_book(own, default_book("icd10cm"))
    second = add_file(icd10_zip(tmp_path / "b.zip", 2018))
    assert second.replaced == "icd10cm index and tabular 2017"
    assert kinds(second.book) == ["own own.csv", "icd10cm index and tabular 2018"]
    assert second.book.terms.height == first.book.terms.height + 2
    assert second.book.translations["translation"].to_list() == ["diabetes azucarada"]
    table(tmp_path / "own.csv", "I10,another name,en")
    again = add_file(own)
    assert again.replaced == "own own.csv"
    assert terms(again.book, "I10") == {"another name"}
    assert again.book.translations.height == 0


def test_icd9_files_in_every_packing(tmp_path):
    add_to_book(icd9_zip(tmp_path / "index_2012.zip"))
    (tmp_path / "Dindex12.rtf").write_bytes(ICD9_INDEX)
    assert kinds(add_to_book(tmp_path / "Dindex12.rtf")) == ["icd9cm index 2012"]
    (tmp_path / "Dtab12.txt").write_text(ICD9_TABULAR, encoding="utf-8")
    book = add_to_book(tmp_path / "Dtab12.txt")
    assert kinds(book) == ["icd9cm index 2012", "icd9cm tabular 2012"]
    assert terms(book, "386.00") == {"Ménière's disease"}
    assert "Sugar sickness NOS" in terms(book, "250.00") & terms(book, "250.0")
    assert "diabetic retinopathy" in terms(book, "250.50") & terms(book, "250.5") & terms(book, "362.01")
    assert book.notes_of(["250"]).select("kind", "target_first").rows() == [("excludes1", "648.8")]


def test_the_tabular_list_as_rtf(tmp_path):
    lines = "".join(f"{line}\\par\n" for line in ICD9_TABULAR.splitlines() if line)
    icd9_zip(tmp_path / "Dtab12.zip", b"{\\rtf1\\ansi " + lines.encode() + b"}", "Dtab12.rtf")
    assert kinds(add_to_book(tmp_path / "Dtab12.zip")) == ["icd9cm tabular 2012"]


def test_an_edition_of_a_table_is_that_of_its_codes_or_of_the_book(tmp_path):
    own = table(tmp_path / "own.csv", "E11,sugar", "M79.79,sore", header="code,term")
    assert add_to_book(own).system == "icd10who"
    assert add_to_book(own, tmp_path / "mine", system="icd10cm", language="es").system == "icd10cm"
    book = add_to_book(table(tmp_path / "other.csv", "I10,pressure", header="code,term"), tmp_path / "mine")
    assert set(book.terms["language"]) == {"es", "en"}


def test_contradictions_are_counted_and_kept(tmp_path):
    add_to_book(table(tmp_path / "a.csv", "E11.9,Sugar,en", "I10,pressure,en", "J18.9,cough,en"))
    book = add_to_book(table(tmp_path / "b.csv", "E10.9,sugar,en", "I10,pressure,en", "J18.9,sugar,es"))
    assert book.record["contradictions"] == 1
    assert book.terms.height == 6


def test_what_is_a_contradiction():
    def count(*rows):
        return count_contradictions(pl.DataFrame(rows, schema=TERM_COLUMNS, orient="row"), "icd10cm")

    one = ("E11.9", "sugar", "en", "own", "a")
    assert count(one, ("E11.21", "Sugar", "en", "own", "b")) == 0  # the same category
    assert count(one, ("I10", "sugar", "en", "own", "a")) == 0  # the same source
    assert count(one, ("I10", "sugar", "es", "own", "b")) == 0
    assert count(one, ("I10", "sugar", "en", "own", "b")) == 1
    assert count(one, ("I10", "sugar", "en", "own", "b"), ("E11", "sugar", "en", "own", "b")) == 0


def test_a_book_is_of_one_edition(tmp_path):
    place = add_to_book(icd10_zip(tmp_path / "a.zip"), tmp_path / "book").path
    before = (place / "book.json").read_bytes()
    with pytest.raises(UserError, match=r"nine.zip names codes of icd9cm, the code book in .*book those of icd10cm;"):
        add_to_book(icd9_zip(tmp_path / "nine.zip"), place)
    with pytest.raises(UserError, match="names codes of icd9cm, the code book in"):
        add_to_book(table(tmp_path / "t.csv", "428.0,x,en"), place, system="icd9cm")
    assert (place / "book.json").read_bytes() == before


def test_a_book_of_another_release_is_not_mixed(tmp_path):
    book = add_to_book(icd10_zip(tmp_path / "a.zip"))
    text = (book.path / "book.json").read_text().replace("April 2026", "April 2020")
    (book.path / "book.json").write_text(text)
    with pytest.raises(UserError, match=r"was made for ICD-10-CM April 2020 .*; remove the folder and add its"):
        add_to_book(icd10_zip(tmp_path / "a.zip"))


def test_a_damaged_book_is_not_written_over(tmp_path):
    book = add_to_book(icd10_zip(tmp_path / "a.zip"))
    (book.path / "terms.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"the code book in .* is damaged; remove the folder and add its files again"):
        add_to_book(icd10_zip(tmp_path / "a.zip"))


def test_another_folder_is_not_written_over(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.md").write_text("x")
    with pytest.raises(UserError, match=r"thesis is there and is no code book; name another place with --book"):
        add_to_book(icd10_zip(tmp_path / "a.zip"), tmp_path / "thesis")
    assert (tmp_path / "thesis" / "text.md").is_file()


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])
    return path


def xml_zip(path, **files):
    return icd10_zip(path, **files)


def other_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path


BAD = {
    "no file": (lambda t: t / "none.zip", FileNotFoundError, "input file not found"),
    "a year without index": (lambda t: xml_zip(t / "a.zip", index=None), UserError, "has no alphabetic index"),
    "damaged xml": (
        lambda t: xml_zip(t / "a.zip", index="<ICD10CM.index><mainTerm><title>A"),
        UserError,
        r"icd10cm_index_2017.xml is damaged: line 1, column \d+",
    ),
    "other xml": (
        lambda t: other_zip(t / "a.zip", "invoice.xml"),
        UserError,
        "none of the CDC's XML files of ICD-10-CM",
    ),
    "another zip": (lambda t: other_zip(t / "a.zip", "photo.jpg"), UserError, "is a zip with nothing in it that can"),
    "two rtf": (lambda t: other_zip(t / "a.zip", "a.rtf", "b.rtf"), UserError, "holds 2 RTF files; unpack it and add"),
    "cut zip": (lambda t: cut(icd9_zip(t / "a.zip")), UserError, "is a damaged or protected zip file"),
    "cut rtf": (lambda t: icd9_zip(t / "a.zip", ICD9_INDEX[:-3]), UserError, "Dindex12.rtf is cut off"),
    "a letter": (
        lambda t: icd9_zip(t / "a.zip", rb"{\rtf1 Dear Sir\par }"),
        UserError,
        "Dindex12.rtf holds no line that ends in an ICD-9-CM code",
    ),
    "a picture": (lambda t: other_zip(t / "p.png", "x"), UserError, "is a zip with nothing in it that can be added"),
    "no table": (lambda t: table(t / "a.md", "x"), UserError, "is nothing that can be added; it must be"),
    "a table without terms": (
        lambda t: table(t / "a.csv", "x", header="id"),
        UserError,
        "has no columns code and term",
    ),
    "an empty folder": (lambda t: t, UserError, "is a folder without a pair of tables that can be added"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_leave_nothing_behind(tmp_path, case):
    make, error, message = BAD[case]
    with pytest.raises(error, match=message):
        add_to_book(make(tmp_path))
    assert not (tmp_path / "books").exists()


def test_what_can_be_added_is_listed(tmp_path):
    with pytest.raises(UserError) as caught:
        add_to_book(table(tmp_path / "a.md", "x"))
    assert WHAT_CAN_BE_ADDED in str(caught.value)


def test_options_that_do_not_fit(tmp_path):
    with pytest.raises(UserError, match="--system must be one of icd9cm, icd10cm, icd10who, got 'icd11'"):
        add_to_book(icd10_zip(tmp_path / "a.zip"), system="icd11")
    with pytest.raises(UserError, match=r"a.zip names codes of icd10cm, not of icd9cm as --system says"):
        add_to_book(icd10_zip(tmp_path / "a.zip"), system="icd9cm")
    for options in ({"language": "es"}, {"code_column": "c"}, {"term_column": "t"}):
        with pytest.raises(UserError, match="--language, --code and --term are for a table of your own"):
            add_to_book(icd10_zip(tmp_path / "a.zip"), **options)


def test_the_disease_ontology_joins_the_index(tmp_path):
    folder = shared_data("disease_ontology")
    add_to_book(icd10_zip(tmp_path / "a.zip"))
    book = add_to_book(folder)
    assert kinds(book) == ["icd10cm index and tabular 2017", "disease ontology"]
    assert load_book(book.path).terms.equals(book.terms)
    assert add_to_book(folder, system="icd9cm").path == default_book("icd9cm")
    shutil.rmtree(book.path)
