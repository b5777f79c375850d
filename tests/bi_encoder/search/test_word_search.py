"""Searching by words: sentence by sentence, shorthand, the names that are kept, and what is read again."""

import numpy as np
import polars as pl
import pytest

from bi_encoder.index.term_index import TermIndex
from bi_encoder.search import word_search
from bi_encoder.search.code_names import CodeNames, names_of_codes
from bi_encoder.search.shorthand import SHORTHAND, expanded
from bi_encoder.search.word_search import WordSearch, open_word_search
from data.codes.book.book import RELATION_COLUMNS, TERM_COLUMNS, TRANSLATION_COLUMNS, save_book
from data.ontology import load_ontology

NAMES = {
    "I50.9": ["Heart failure, unspecified", "congestive heart failure"],
    "J81.0": ["Acute pulmonary edema", "wet lung"],
    "S72.009A": ["Fracture of unspecified part of neck of unspecified femur", "hip fracture"],
    "I48.91": ["Unspecified atrial fibrillation"],
}


def small_search():
    return WordSearch(TermIndex.build(list(NAMES.values())), list(NAMES), [names[0] for names in NAMES.values()])


def book_of(folder, *terms, translations=None):
    rows = [[code, term, "en", "index", "x"] for code, term in terms]
    facts = {"form": 1, "system": "icd10cm", "edition": "any", "sources": [], "contradictions": 0}
    table = pl.DataFrame(rows, list(TERM_COLUMNS), orient="row")
    return save_book(folder, table, pl.DataFrame(schema=RELATION_COLUMNS), facts, translations)


def test_a_text_scores_as_its_best_sentence():
    search = small_search()
    text = "Wet feet, no lung disease. Known CHF; fell.\nBroken hip"
    parts = ["Wet feet, no lung disease.", "Known CHF;", "fell.", "Broken hip"]
    expected = np.max([search.scores(part) for part in parts], axis=0)
    assert search.scores(text) == pytest.approx(expected)
    found = search.search(text, top=4)
    assert [code.code for code in found] == [
        list(NAMES)[column] for column in np.argsort(-expected) if expected[column] > 0
    ]
    terms = {code.code: code.term for code in found}
    assert (terms["I50.9"], terms["S72.009A"]) == ("congestive heart failure", "hip fracture")
    assert all(code.definition == NAMES[code.code][0] and code.evidence == [] for code in found)


def test_what_notes_include_is_a_name_of_the_heading_and_of_its_unspecified_code():
    names = names_of_codes("icd10cm", "leaves", None)
    of_code = dict(zip(names.codes, names.names, strict=True))
    assert "high blood pressure" in of_code["I10"]
    assert "diabetes NOS" in of_code["E11.9"], "and not of E11.8, with complications"
    assert not any("diabetes NOS" in of_code[code] for code in of_code if code != "E11.9")
    assert not any("other than" in name for name in of_code["B35.9"])


def test_codes_without_a_word_of_the_text_are_not_shown():
    assert [code.code for code in small_search().search("atrial", top=4)] == ["I48.91"]
    assert small_search().search("nothing known", top=4) == []


def test_what_cannot_be_searched_for_is_refused():
    with pytest.raises(ValueError, match="the text is empty"):
        small_search().search("\n ")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        small_search().search("heart", top=0)


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("hx CHF", ["history", "congestive heart failure"]),
        ("BROKEN hip", ["fracture"]),
        ("s/p MI", ["status post", "myocardial infarction"]),
        ("heart attack", ["myocardial infarction"]),
        ("broken-hearted", ["fracture"]),
        ("chfx unbroken", []),
        ("CHF and chf", ["congestive heart failure"]),
    ],
)
def test_shorthand_stands_behind_the_text(text, meanings):
    assert expanded(text) == " ".join([text, *meanings])


def test_the_longest_entry_counts_and_no_entry_is_empty_or_in_capitals():
    assert "high blood pressure" in SHORTHAND
    assert expanded("high blood pressure") == "high blood pressure hypertension"
    assert all(entry == entry.lower().strip() and meaning.strip() for entry, meaning in SHORTHAND.items())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pain all over", False),
        ("hit by a car", False),
        ("PAIN ALL OVER", False),
        ("child with ALL", True),
        ("a 15 mm nodule", False),
        ("a nodule of 15mm", False),
        ("MM, relapsed", True),
    ],
)
def test_everyday_words_and_units_are_no_shorthand(text, meant):
    assert (expanded(text) != text) == meant


def test_the_names_of_the_codes_with_and_without_a_book(tmp_path):
    book = book_of(
        tmp_path / "book", ("I50.9", "tired ticker"), ("I50", "of a category"), ("I50.9", "Heart failure NOS")
    )
    plain, named = names_of_codes("icd10cm", "leaves", None), names_of_codes("icd10cm", "leaves", book)
    ontology, column = load_ontology("icd10cm"), plain.codes.index("I50.9")
    assert plain.names[column] == [ontology.definition("I50.9"), *ontology.synonyms("I50.9")]
    assert set(named.names[column]) == {*plain.names[column], "tired ticker", "Heart failure NOS"}
    assert len(set(named.names[column])) == len(named.names[column])
    assert sum(map(len, named.names)) - sum(map(len, plain.names)) <= 2, "a category is no leaf"
    everything = names_of_codes("icd10cm", "all", book)
    assert "of a category" in everything.names[everything.codes.index("I50")]


def test_names_are_read_once_for_each_book(tmp_path, monkeypatch):
    asked = []

    def names(ontology, code_set, book):
        asked.append(book.path.name if book else None)
        further = book.terms["term"].to_list() if book else []
        rows = [[*row, *(further if code == "I50.9" else ())] for code, row in NAMES.items()]
        return CodeNames(codes=list(NAMES), definitions=[row[0] for row in rows], names=rows)

    monkeypatch.setattr(word_search, "names_of_codes", names)
    one, other = (
        book_of(tmp_path / "one", ("I50.9", "tired ticker")),
        book_of(tmp_path / "other", ("I50.9", "weak pump")),
    )

    def best(book, text):
        return [(code.code, code.score, code.term) for code in
                open_word_search("icd10cm", "leaves", book, tmp_path / "kept").search(text, 1)]  # fmt: skip

    for book, term in ((one, "tired ticker"), (other, "weak pump")):
        first = best(book, term)
        assert first == best(book, term)
        assert (first[0][0], first[0][2]) == ("I50.9", term)
    assert best(None, "tired ticker") == []
    assert asked == ["one", "other", None]
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(b"damaged")
    assert best(one, "tired ticker")[0][2] == "tired ticker"
    assert asked == ["one", "other", None, "one"]
    monkeypatch.setattr(word_search, "version", lambda package: "9.9")
    best(one, "tired ticker")
    assert asked[-1] == "one"
    assert len(asked) == 5, "another version of a package names the codes otherwise"
    assert not list((tmp_path / "kept").glob(".*"))


def test_a_user_without_a_home_searches_too(monkeypatch):
    def no_home():
        raise RuntimeError("no home")

    monkeypatch.setattr(word_search, "cache_folder", no_home)
    monkeypatch.setattr(
        word_search,
        "names_of_codes",
        lambda *_: CodeNames(codes=["I10"], definitions=["Hypertension"], names=[["Hypertension"]]),
    )
    assert open_word_search("icd10cm", "leaves", None).search("hypertension")[0].code == "I10"


def test_a_book_in_two_languages_teaches_what_words_mean(tmp_path):
    titles = [
        ("Fracture of the hip", "Fractura de la cadera"),
        ("Pain of the hip", "Dolor de la cadera"),
        ("Chest pain", "Dolor de pecho"),
    ]
    schema = {column: pl.String() for column in ("text", "translation")}
    pairs = pl.DataFrame(titles, schema, orient="row").with_columns(language=pl.lit("es"), source=pl.lit("x"))
    one, other = (
        book_of(tmp_path / name, ("I50.9", "tired ticker"), translations=translations)
        for name, translations in (("plain", None), ("taught", pairs.select(list(TRANSLATION_COLUMNS))))
    )

    def found(book):
        codes = open_word_search("icd10cm", "leaves", book, tmp_path / "kept").search("dolor de cadera", 20)
        return {code.code for code in codes}

    assert found(one).isdisjoint({"M25.551", "M25.559"})
    for _ in range(2):  # the second time from what was kept
        assert found(other) >= {"M25.551", "M25.559"}
