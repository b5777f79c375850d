"""The codes of a run: with and without a code book, as a checkpoint keeps them."""

import json
from dataclasses import replace

import polars as pl
import pytest
from tiny_task import make_tiny_task

from data.codes.book.book import RELATION_COLUMNS, TERM_COLUMNS, save_book
from data.task import load_task
from data.task_folder.book_parts import RULE_SCHEMA, TERM_SCHEMA
from memorize.code_sets.code_set import CodeSet, ontology_codes, task_codes
from memorize.config import MemorizeConfig, MixtureConfig, QuestionConfig
from memorize.measurement import load_memorized, save_memorized, what_to_ask
from memorize.questions import QuestionBook
from memorize.start import load_codes
from mera.language_models.code_tokens import CodeTokens
from mera.language_models.models import ModelConfig

FACTS = {"sources": ["a book of a test"], "sha256": "00"}
TERMS = [
    ("I10", "Hypertonia", "en", "index"),
    ("I10", "essential (primary) hypertension", "en", "index"),  # the definition in another case
    ("I10", "hypertonia", "en", "own"),
    ("E11.9", "sugar sickness", "en", "index"),
]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A task without a code book, and the same with one."""
    folder = tmp_path_factory.mktemp("code-set")
    rules = pl.DataFrame(
        [("excludes1", "I10", "words", ["I10"], ["I50.9"]), ("code_first", "N18", "words", ["N18.6"], ["I10"])],
        schema=RULE_SCHEMA,
        orient="row",
    )
    terms = pl.DataFrame(TERMS, schema=TERM_SCHEMA, orient="row")
    return make_tiny_task(folder / "plain"), make_tiny_task(folder / "named", terms=terms, rules=rules)


def make_book(path, system="icd10cm", terms=(("I10", "hypertonia"), ("I11", "heart tension"), ("S82.2", "shin break"))):
    rows = [(code, term, "en", "index", "x") for code, term in terms]
    record = {
        "form": 1,
        "system": system,
        "edition": "e",
        "sources": [{"kind": "index of a test"}],
        "contradictions": 0,
    }
    table = pl.DataFrame(rows, schema=TERM_COLUMNS, orient="row")
    return save_book(path, table, pl.DataFrame(schema=RELATION_COLUMNS), record)


def config(**settings):
    return MemorizeConfig(output="o", model=ModelConfig(architecture={}), **settings)


def test_a_task_without_a_book_is_the_code_set_it_was(tasks):
    codes = task_codes(tasks[0])
    assert (codes.terms, codes.excluded, codes.first, codes.book) == (None,) * 4
    assert set(codes.record()) == {
        *("name", "edition", "codes", "definitions", "synonyms", "level_groups", "group_names")
    }
    assert codes.spread(4).terms is None


def test_a_tasks_terms_are_those_that_are_neither_definition_nor_synonym(tasks):
    codes = task_codes(tasks[1])
    terms = dict(zip(codes.codes, codes.terms, strict=True))
    assert terms.pop("I10") == ["Hypertonia"]
    assert terms.pop("E11.9") == ["sugar sickness"]
    assert not any(terms.values())
    assert codes.book == FACTS
    few = codes.subset(["E11.9", "I50.9"])
    assert few.terms == [[], ["sugar sickness"]]
    assert task_codes(tasks[1], with_terms=False).terms is None


def test_a_run_says_which_book_it_had(tasks):
    codes, source = load_codes(config(task=str(tasks[1].path)))
    assert source["book"] == codes.book == FACTS
    codes, source = load_codes(config(task=str(tasks[1].path), book="none"))
    assert codes.terms is None
    assert "book" not in source
    assert "book" not in load_codes(config(task=str(tasks[0].path)))[1]


def test_notes_are_read_where_they_are_asked_about(tasks):
    asking = QuestionConfig(mixture=MixtureConfig(code_to_excluded=1))
    codes, _ = load_codes(config(task=str(tasks[1].path), questions=asking))
    place = codes.codes.index
    assert codes.excluded[place("I10")] == ["I50.9"]
    assert codes.excluded[place("I50.9")] == ["I10"]
    assert codes.first[place("N18.6")] == ["I10"]
    assert load_codes(config(task=str(tasks[1].path)))[0].excluded is None
    few = codes.subset(["I10", "N18.6"])
    assert few.excluded == [[], []]
    assert few.first == [[], ["I10"]]


def test_a_checkpoint_keeps_the_terms_and_an_older_one_opens(tasks, tmp_path):
    codes = task_codes(tasks[1]).with_notes(tasks[1].rules)
    save_memorized(tmp_path, codes, QuestionConfig())
    assert load_memorized(tmp_path) == (replace(codes, train_counts=None), QuestionConfig())
    older = json.loads((tmp_path / "memorized.json").read_text())
    for key in ("terms", "excluded", "first", "book"):
        del older["codes"][key]
    del older["questions"]["terms_per_code"]
    for key in ("term_to_code", "code_to_excluded", "code_to_first"):
        del older["questions"]["mixture"][key]
    (tmp_path / "memorized.json").write_text(json.dumps(older))
    opened, questions = load_memorized(tmp_path)
    assert opened == task_codes(tasks[0], with_terms=False).__class__(**older["codes"])
    assert questions == QuestionConfig()
    assert QuestionBook(opened, questions).names.held_out_synonyms


def test_recall_on_a_task_reads_its_notes_where_the_checkpoint_was_trained_on_notes(tasks, tmp_path):
    codes = task_codes(tasks[0])
    CodeTokens(definitions=codes.meanings()).save(tmp_path)
    asking = QuestionConfig(mixture=MixtureConfig(code_to_first=1))
    save_memorized(tmp_path, codes, asking)
    measured, questions = what_to_ask(tmp_path, tasks[1].path)
    assert questions == asking
    assert sum(map(len, measured.first)) == 1
    save_memorized(tmp_path, codes, QuestionConfig())
    assert what_to_ask(tmp_path, tasks[1].path)[0].first is None


def test_recall_never_takes_trained_names_for_held_out_ones(tasks, tmp_path):
    """What is held out depends on the book, so a checkpoint is measured with its own or with none."""
    plain, named = map(task_codes, tasks)
    CodeTokens(definitions=plain.meanings()).save(tmp_path)
    save_memorized(tmp_path, plain, QuestionConfig())
    assert what_to_ask(tmp_path, tasks[1].path)[0].terms is None
    save_memorized(tmp_path, named, QuestionConfig())
    assert what_to_ask(tmp_path, tasks[1].path)[0].terms == named.terms
    with pytest.raises(ValueError, match=r"was trained with another code book than .*plain was prepared with"):
        what_to_ask(tmp_path, tasks[0].path)
    save_memorized(tmp_path, replace(named, book=FACTS | {"sha256": "11"}), QuestionConfig())
    with pytest.raises(ValueError, match="prepare the task with the same book"):
        what_to_ask(tmp_path, tasks[1].path)


def test_an_ontology_takes_the_terms_of_its_leaves(tmp_path, monkeypatch):
    book = make_book(tmp_path / "book")
    codes, source = load_codes(config(ontology="icd10cm", book=str(tmp_path / "book"), num_codes=None))
    terms = {code: row for code, row in zip(codes.codes, codes.terms, strict=True) if row}
    assert terms == {"I10": ["hypertonia"]}  # I11 and S82.2 are no leaves
    assert source["book"]["sources"] == ["index of a test"]
    assert codes.fingerprint() != ontology_codes("icd10cm").fingerprint()
    monkeypatch.setenv("MERA_BOOKS", str(tmp_path / "books"))
    assert load_codes(config(ontology="icd10cm", num_codes=5))[0].terms is None
    make_book(tmp_path / "books" / "icd10cm")
    assert load_codes(config(ontology="icd10cm"))[0].book == codes.book
    assert load_codes(config(ontology="icd10cm", book="none"))[0].book is None
    assert book.system == "icd10cm"


def test_an_ontology_has_the_notes_of_its_package(tmp_path):
    asking = QuestionConfig(mixture=MixtureConfig(code_to_excluded=1, code_to_first=1))
    codes, _ = load_codes(config(ontology="icd10cm", questions=asking, book="none"))
    excluded = dict(zip(codes.codes, codes.excluded, strict=True))
    assert {"O10.011", "I27.0"} & set(excluded["I10"])
    assert any(codes.first)
    none, _ = load_codes(config(ontology="icd9cm", questions=asking, num_codes=20))
    assert not any(none.excluded)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"task": "t", "book": "folder"}, ValueError, "a task has the terms it was prepared with .*: use auto or none"),
        ({"ontology": "icd10cm", "book": "no-such-folder"}, FileNotFoundError, "no code book in no-such-folder"),
        ({"ontology": "icd9cm", "book": "BOOK"}, ValueError, "names codes of icd10cm, the task's are of icd9cm"),
    ],
)
def test_a_wrong_book_is_one_sentence(tmp_path, settings, error, message):
    make_book(tmp_path / "book")
    if settings["book"] == "BOOK":
        settings = settings | {"book": str(tmp_path / "book")}
    with pytest.raises(error, match=message):
        load_codes(config(**settings))


def test_a_book_without_a_term_for_the_codes_is_no_book(tmp_path):
    make_book(tmp_path / "book", terms=[("S82.2", "shin break")])
    codes, source = load_codes(config(ontology="icd10cm", book=str(tmp_path / "book"), num_codes=5))
    assert codes.terms is None
    assert "book" not in source


def test_a_code_set_needs_no_task():
    codes = CodeSet(
        name="n", edition="e", codes=["A"], definitions=["a"], synonyms=[["b"]], level_groups={}, group_names={}
    )
    assert codes.codes_called() == {"a": {"A"}, "b": {"A"}}
    assert replace(codes, terms=[["B", "c"]]).codes_called() == {"a": {"A"}, "b": {"A"}, "c": {"A"}}


def test_the_task_is_loaded_as_it_was_saved(tasks):
    assert task_codes(load_task(tasks[1].path)) == task_codes(tasks[1])
