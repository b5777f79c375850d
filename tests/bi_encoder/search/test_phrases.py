"""A hundred phrases that people write, on all of ICD-10-CM: the right category within the first five codes.

`phrases.tsv` was written before any search was measured: thirty `development` phrases, on which the search was made,
and thirty that it has to reach, the `goal`. Codes are counted as they come: several of one category take several
places. The table of shorthand was made for the development phrases by who had written both sets, so the goal's number
is too good: of its thirty, 26 are right, and 22 without the table (15 without the index, too). The forty
`independent` phrases are of somebody who saw neither: 27 of them are right (68%), and nothing was changed for them.

`phrases_spanish.tsv` was written before any Spanish phrase was searched for, and nothing was changed for it.
"""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from shared_data import shared_data

from bi_encoder.search.word_search import WordSearch, open_word_search
from data.codes.book.add import add_to_book
from data.codes.book.book import RELATION_COLUMNS, TRANSLATION_COLUMNS, save_book
from data.codes.book.icd10cm.icd10cm_index import read_icd10cm_index
from data.ontology import load_ontology


def phrases(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((Path(__file__).parent / name).open(encoding="utf-8"), delimiter="\t"))


PHRASES, SPANISH = phrases("phrases.tsv"), phrases("phrases_spanish.tsv")


def category(code: str) -> str:
    return code.split(".")[0]


def right(search: WordSearch) -> Counter[str]:
    """Set -> phrases with the right category within the first five codes."""
    return Counter(row["set"] for row in PHRASES if is_right(search, row))


def is_right(search: WordSearch, row: dict[str, str]) -> bool:
    found = {category(code.code) for code in search.search(row["phrase"], top=5)}
    return not found.isdisjoint(row["category"].split(","))


def test_phrases_each_with_categories_of_the_edition():
    assert Counter(row["set"] for row in PHRASES) == {"development": 30, "goal": 30, "independent": 40}
    categories = {category(code) for code in load_ontology("icd10cm").nodes(leaves_only=True)}
    assert {name for row in (*PHRASES, *SPANISH) for name in row["category"].split(",")} <= categories
    assert len({row["category"][0] for row in PHRASES if row["set"] == "goal"}) >= 20


def test_titles_and_inclusion_terms_alone_find_most(tmp_path):
    counts = right(open_word_search("icd10cm", "leaves", None, tmp_path))
    assert counts["goal"] >= 20, counts


@pytest.mark.slow
def test_with_the_index_four_phrases_of_five_are_right(tmp_path):
    folder = shared_data("icd_index")
    ontology = load_ontology("icd10cm")
    terms = read_icd10cm_index(next(folder.glob("ICD10CM*.zip")), ontology).terms
    facts = {"form": 1, "system": "icd10cm", "edition": ontology.edition, "sources": [], "contradictions": 0}
    book = save_book(tmp_path / "book", terms, pl.DataFrame(schema=RELATION_COLUMNS), facts)
    counts = right(open_word_search("icd10cm", "leaves", book, tmp_path / "kept"))
    assert counts["goal"] >= 24, counts
    assert counts["development"] >= 27, counts
    assert counts["independent"] >= 25, counts


@pytest.mark.slow
def test_words_learnt_of_names_in_two_languages_find_what_names_alone_do_not(tmp_path):
    add_to_book(next(shared_data("icd_index").glob("ICD10CM*.zip")), tmp_path / "book")
    book = add_to_book(shared_data("disease_ontology"), tmp_path / "book")
    untaught = replace(book, translations=pl.DataFrame(schema=TRANSLATION_COLUMNS))
    counts = [
        sum(is_right(open_word_search("icd10cm", "leaves", each, tmp_path / "kept"), row) for row in SPANISH)
        for each in (untaught, book)
    ]
    assert counts[0] <= 11, counts
    assert counts[1] >= 14, counts
