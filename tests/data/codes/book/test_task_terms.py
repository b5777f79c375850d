"""A prepared task and its code book."""

import json

import polars as pl
import pytest
from prepare_case import run, write_csv

from data.codes.book.book import RELATION_COLUMNS, TERM_COLUMNS, TRANSLATION_COLUMNS, load_book, save_book
from data.codes.book.task_terms import book_facts
from data.prepare.patient_sample import sample_patients
from data.task import load_task
from mera.system.errors import UserError

TERMS = [
    ("E11.9", "sugar diabetes", "en", "index", "a"),
    ("E11.9", "Type 2 diabetes mellitus without complications", "en", "index", "a"),
    ("E11.9", "diabetes azucarada", "es", "own", "b"),
    ("E11.21", "sugar kidney", "en", "index", "a"),
    ("I10", "hypertension", "en", "index", "a"),
    ("I10", "hypertension", "en", "own", "b"),
    ("J18.9", "lung fever", "en", "index", "a"),
]


def record(system="icd10cm", form=1):
    sources = [
        {"file": "x.zip", "sha256": "0", "kind": f"{system} index 2017", "terms": 7, "relations": 0, "dropped": {}}
    ]
    return {"form": form, "system": system, "edition": "e", "sources": sources, "contradictions": 0}


def make_book(path, system="icd10cm"):
    terms = pl.DataFrame(TERMS, schema=TERM_COLUMNS, orient="row")
    return save_book(path, terms, pl.DataFrame(schema=RELATION_COLUMNS), record(system))


@pytest.fixture
def table(tmp_path):
    rows = [(p, v, f"2020-0{v + 1}-01", code) for p in range(30) for v in range(2) for code in ("E11.9", "I10")]
    return write_csv(tmp_path / "table.csv", [("pid", "vid", "t", "icd"), *rows])


def prepare(table, output, *options):
    columns = ["--patient", "pid", "--visit", "vid", "--time", "t", "--code", "icd", "--code-system", "icd10"]
    run("table", "--input", table, *columns, "--output", output, *options)
    return load_task(output)


def test_a_task_keeps_the_terms_of_its_candidates_and_says_which_book(tmp_path, table):
    book = make_book(tmp_path / "book")
    task = prepare(table, tmp_path / "task", "--book", book.path)
    assert task.codes == ["E11.9", "I10"]
    assert set(task.terms["code"]) == {"E11.9", "I10"}
    # Neither the definition again, nor a term that two sources have.
    assert task.terms_by_code() == [["diabetes azucarada", "sugar diabetes"], ["hypertension"]]
    assert task.info["book"]["sources"] == ["icd10cm index 2017"]
    assert len(task.info["book"]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(task.info)


def test_a_category_is_called_what_its_codes_are(tmp_path, table):
    book = make_book(tmp_path / "book")
    task = prepare(table, tmp_path / "task", "--book", book.path, "--granularity", "category")
    terms = dict(zip(task.codes, task.terms_by_code(), strict=True))
    assert {"sugar kidney", "sugar diabetes"} <= set(terms["E11"])
    assert "lung fever" not in terms["E11"]


def test_the_fingerprint_does_not_depend_on_the_book(tmp_path, table):
    without = prepare(table, tmp_path / "without", "--book", "none")
    with_book = prepare(table, tmp_path / "with", "--book", make_book(tmp_path / "book").path)
    assert without.fingerprint == with_book.fingerprint
    assert without.info["book"] is None
    assert without.terms.height == 0
    assert without.terms_by_code() == [[], []]


def test_auto_takes_the_users_own_book(tmp_path, table, monkeypatch):
    monkeypatch.setenv("MERA_BOOKS", str(tmp_path / "books"))
    assert prepare(table, tmp_path / "before").info["book"] is None
    make_book(tmp_path / "books" / "icd10cm")
    assert prepare(table, tmp_path / "after").terms.height == 4


def test_a_book_of_another_edition_is_refused(tmp_path, table):
    book = make_book(tmp_path / "book", system="icd9cm")
    with pytest.raises(UserError, match="names codes of icd9cm, the task's are of icd10cm"):
        prepare(table, tmp_path / "task", "--book", book.path)
    with pytest.raises(FileNotFoundError, match=r"no code book in .*nowhere; make one with `mera ontology add FILE`"):
        prepare(table, tmp_path / "task", "--book", tmp_path / "nowhere")
    assert not (tmp_path / "task").exists()


def test_a_task_keeps_names_in_two_languages(tmp_path, table):
    pairs = [("hip", "cadera", "es", "b"), ("heart", "corazón", "es", "b")]
    plain = make_book(tmp_path / "plain")
    assert not (plain.path / "translations.parquet").exists()
    book = save_book(
        tmp_path / "book",
        plain.terms,
        plain.relations,
        plain.record,
        pl.DataFrame(pairs, schema=TRANSLATION_COLUMNS, orient="row"),
    )
    assert book_facts(book)["sha256"] != book_facts(plain)["sha256"]
    task = prepare(table, tmp_path / "task", "--book", book.path)
    assert task.translations.rows() == [("heart", "corazón", "es"), ("hip", "cadera", "es")]
    assert prepare(table, tmp_path / "other", "--book", plain.path).translations.height == 0
    sample = sample_patients(task, tmp_path / "sample", 5, None, seed=0)
    assert sample.translations.equals(task.translations)
    task.translations.head(1).write_parquet(tmp_path / "task" / "translations.parquet")
    with pytest.raises(UserError, match=r"translations\.parquet"):
        load_task(tmp_path / "task")


def test_changed_terms_are_noticed(tmp_path, table):
    task = prepare(table, tmp_path / "task", "--book", make_book(tmp_path / "book").path)
    task.terms.with_columns(pl.lit("another").alias("term")).write_parquet(tmp_path / "task" / "terms.parquet")
    with pytest.raises(UserError, match=r"terms\.parquet"):
        load_task(tmp_path / "task")


def test_a_book_comes_back_as_it_was_written(tmp_path):
    book = make_book(tmp_path / "book")
    assert book.terms.height == len(TERMS)
    assert book.terms_of("I10")["kind"].to_list() == ["index", "own"]
    make_book(tmp_path / "book")  # in place of the first
    assert load_book(tmp_path / "book").terms.equals(book.terms)
    assert [path.name for path in tmp_path.iterdir()] == ["book"]


@pytest.mark.parametrize("damage", ["json", "parquet", "form"])
def test_a_damaged_book_is_one_sentence(tmp_path, damage):
    book = make_book(tmp_path / "book")
    if damage == "form":
        text = (book.path / "book.json").read_text().replace('"form": 1', '"form": 9')
        (book.path / "book.json").write_text(text)
    else:
        (book.path / ("book.json" if damage == "json" else "terms.parquet")).write_text("{")
    message = "has form 9, this version reads 1" if damage == "form" else "is damaged; make it again"
    with pytest.raises(UserError, match=message):
        load_book(book.path)
