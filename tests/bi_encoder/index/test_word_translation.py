"""Words that stand for words of another language: IBM model 1 in plain loops, and what a search makes of it."""

from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from bi_encoder.index.term_index import TermIndex
from bi_encoder.index.word_translation import LEAST_PROBABILITY, ROUNDS, learn_meanings, with_meanings
from bi_encoder.index.words import STOP_WORDS, split_words

TITLES = [
    ("Acute kidney failure", "Insuficiencia renal aguda"),
    ("Chronic kidney disease", "Enfermedad renal crónica"),
    ("Heart failure", "Insuficiencia del corazón"),
    ("Disease of the heart", "Enfermedad del corazón"),
    ("Fracture of the hip", "Fractura de la cadera"),
    ("Pain of the hip", "Dolor de la cadera"),
    ("Chest pain", "Dolor de pecho"),
]


def pairs(rows):
    return pl.DataFrame(rows, schema={"text": pl.String(), "translation": pl.String()}, orient="row")


def plain_model_1(rows):
    """Word of a translation -> its likeliest word of the text, with the probability."""
    sides = [[set(split_words([text], ()).vocabulary) for text in row] for row in rows]
    probability = defaultdict(lambda: 1.0)
    for _ in range(ROUNDS):
        counts, totals = defaultdict(float), defaultdict(float)
        for text, translation in sides:
            for word in text:
                sources = [*translation, None]
                norm = sum(probability[source, word] for source in sources)
                for source in sources:
                    counts[source, word] += probability[source, word] / norm
                    totals[source] += probability[source, word] / norm
        probability = {key: count / totals[key[0]] for key, count in counts.items()}
    best = {}
    for (source, word), value in probability.items():
        if source is not None and value > best.get(source, ("", 0.0))[1]:
            best[source] = (word, value)
    return best


def test_meanings_are_those_of_the_model_in_plain_loops():
    generator = np.random.default_rng(0)
    english, spanish = ([f"{letter}{number}x" for number in range(12)] for letter in "ef")
    rows = []
    for _ in range(60):
        chosen = generator.choice(12, generator.integers(1, 5), replace=False)
        heard = [spanish[place] for place in chosen if generator.random() < 0.9]
        rows.append((" ".join(english[place] for place in chosen), " ".join(generator.permutation(heard))))
    expected = {word: meaning for word, (meaning, p) in plain_model_1(rows).items() if p >= LEAST_PROBABILITY}
    assert learn_meanings(pairs(rows)) == expected
    assert sum(f"e{word[1:]}" == meaning for word, meaning in expected.items()) > 8


def test_a_function_word_explains_a_function_word_and_none_is_kept():
    meanings = learn_meanings(pairs(TITLES))
    assert meanings["cadera"] == "hip"
    assert meanings["corazon"] == "heart"
    assert meanings["dolor"] == "pain"
    assert STOP_WORDS.isdisjoint([*meanings, *meanings.values()])
    assert all(word != meaning for word, meaning in meanings.items())


def test_nothing_is_learnt_of_nothing():
    assert learn_meanings(pairs([])) == {}
    assert learn_meanings(pairs([("", "algo"), ("something", ""), ("?", "!")])) == {}


def test_meanings_stand_beside_their_words_once_for_each_text():
    words = with_meanings(split_words(["dolor de cadera", "hip, cadera", "nada"]), {"cadera": "hip", "dolor": "pain"})
    found = {(text, words.vocabulary[word]) for text, word in zip(words.text, words.word, strict=True)}
    assert found == {
        *((0, word) for word in ("dolor", "de", "cadera", "hip", "pain")),
        *((1, word) for word in ("hip", "cadera")),
        (2, "nada"),
    }
    assert len(words.text) == len(found)
    assert (np.diff(words.text) >= 0).all()


def test_a_query_in_another_language_finds_a_name_and_a_saved_index_still_does(tmp_path):
    names = [["Fracture of hip"], ["Chest pain"], ["Heart failure"]]
    plain, taught = TermIndex.build(names), TermIndex.build(names, learn_meanings(pairs(TITLES)))
    queries = ["dolor", "fallo del corazón", "hip"]
    assert (plain.scores(queries[:2]) == 0).all()
    assert taught.scores(queries).argmax(axis=1).tolist() == [1, 2, 0]
    assert taught.scores(["hip"]) == pytest.approx(plain.scores(["hip"])), "an English query is scored as before"
    taught.save(tmp_path / "index.safetensors", {}, {})
    loaded, _, _ = TermIndex.load(tmp_path / "index.safetensors")
    assert loaded.scores(queries).tolist() == taught.scores(queries).tolist()
