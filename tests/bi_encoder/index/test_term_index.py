"""Codes by the words of their names: equal to the formula in plain loops, and to what a reader expects of words."""

import math
import re

import numpy as np
import pytest

from bi_encoder.index.term_index import TermIndex
from bi_encoder.index.words import STOP_WORDS, normal_word, root, split_words

NAMES = [
    ["Heart failure, unspecified", "congestive heart failure", "Cardiac insufficiency"],
    ["Acute pulmonary edema"],
    ["Type 2 diabetes mellitus with nephropathy", "sugar diabetes with nephropathy", "diabetic nephropathy"],
    ["Type 1 diabetes mellitus"],
    ["of the"],
]
QUERIES = ["Known diabetic, failing heart", "nephropathies in type 2 diabetes", "pulmonary oedema", "nothing known", ""]


def tokens(text):
    words = {word for word in re.findall(r"\w\w+|\d", text.lower()) if word not in STOP_WORDS}
    return {normal_word(word) for word in words} | {root(normal_word(word)) for word in words}


def formula(query, names, all_names):
    def idf(token):
        having = sum(any(token in tokens(name) for name in row) for row in all_names)
        return math.log(1 + (len(all_names) - having + 0.5) / (having + 0.5))

    best = 0.0
    for name in names:
        whole = sum(idf(token) for token in tokens(name))
        overlap = sum(idf(token) for token in tokens(name) & tokens(query))
        if overlap:
            best = max(best, overlap * (overlap / whole) ** 2)
    return best


@pytest.mark.parametrize("at_once", [1, 16_000_000])
def test_scores_equal_the_formula_name_by_name(at_once, monkeypatch):
    monkeypatch.setattr("bi_encoder.index.term_index.SCORES_AT_ONCE", at_once)
    scores = TermIndex.build(NAMES).scores(QUERIES)
    expected = [[formula(query, names, NAMES) for names in NAMES] for query in QUERIES]
    assert scores == pytest.approx(np.array(expected), rel=1e-4)
    assert scores[:3].argmax(axis=1).tolist() == [0, 2, 1]
    assert (scores[3:] == 0).all()
    assert (scores[:, 4] == 0).all(), "a name of stop words alone"


def test_random_names_equal_the_formula():
    generator = np.random.default_rng(0)
    vocabulary = ["fracture", "fractures", "femur", "femoral", "hip", "left", "acute", "12", "7", "B12", "pain", "no"]

    def phrase():
        return " ".join(generator.choice(vocabulary, generator.integers(1, 5)))

    names = [[phrase() for _ in range(generator.integers(1, 4))] for _ in range(15)]
    queries = [phrase() for _ in range(6)]
    expected = [[formula(query, row, names) for row in names] for query in queries]
    assert TermIndex.build(names).scores(queries) == pytest.approx(np.array(expected), rel=1e-4)


def test_the_name_that_counted():
    index = TermIndex.build(NAMES)
    assert index.best_names(["cardiac insufficiency"], np.array([0])) == ["Cardiac insufficiency"]
    assert index.best_names(["sugar diabetes and nephropathy"], np.array([3, 2])) == [
        "Type 1 diabetes mellitus",
        "sugar diabetes with nephropathy",
    ]


def test_more_names_of_another_code_never_raise_the_score_of_a_code():
    more = [*NAMES[:1], [*NAMES[1], "edema of the lung", "wet lung"], *NAMES[2:]]
    before, after = TermIndex.build(NAMES).scores(["lung edema"]), TermIndex.build(more).scores(["lung edema"])
    assert after[0, 1] > before[0, 1] == pytest.approx(formula("lung edema", NAMES[1], NAMES))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Fractures", "fracture"),
        ("biopsies", "biopsy"),
        ("oedema", "edema"),
        ("haemorrhages", "hemorrhage"),
        ("Anaemia", "anemia"),
        ("diarrhoea", "diarrhea"),
        ("diabetes", "diabete"),
        ("sepsis", "sepsis"),
        ("abscess", "abscess"),
        ("virus", "virus"),
        ("Diabético", "diabetico"),
        ("gas", "gas"),
    ],
)
def test_one_word_in_its_forms(word, expected):
    assert normal_word(word) == expected


def test_related_words_meet_in_their_root_and_no_root_is_a_word():
    assert root("diabete") == root("diabetic") == "diabet*"
    assert root("hip") == "hip*"


@pytest.mark.parametrize(
    ("english", "spanish"),
    [("nephropathy", "nefropatía"), ("diarrhea", "diarrea"), ("pneumonia", "neumonía"), ("chronic", "crónica")],
)
def test_words_that_two_languages_took_from_greek_or_latin_meet_in_their_root(english, spanish):
    assert root(normal_word(english)) == root(normal_word(spanish))


def test_words_keep_the_place_of_their_text():
    words = split_words(["Type 2, type 2", "", "the NOS", "Naïve café"])
    pairs = [(text, words.vocabulary[word]) for text, word in zip(words.text, words.word, strict=True)]
    assert sorted(pairs) == [(0, "2"), (0, "type"), (3, "cafe"), (3, "naive")]


def test_names_without_a_word_and_codes_without_a_name_are_refused():
    with pytest.raises(ValueError, match="none of the 2 names of 2 codes has a word to search for"):
        TermIndex.build([["?"], ["of the"]])
    with pytest.raises(ValueError, match="1 of 2 codes have no vector"):
        TermIndex.build([["a word"], []])
