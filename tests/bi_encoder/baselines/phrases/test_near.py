"""Phrases found in whatever order and with whatever endings: against a loop over words, and what they may not find."""

import math

import numpy as np
import pytest

from bi_encoder.baselines.phrases.near import LEAST_LIKENESS, LEAST_SHARE, SAME, STRIDE, WINDOW, NearPhrases
from bi_encoder.baselines.phrases.words import words_of

TEXTS = [
    "Elevación marcada de las transaminasas. Sordomudos desde la infancia, sin fiebre.",
    "Dolor en la pierna derecha; úlcera de la pierna. Transaminasas normales tras la elevación del pie derecho.",
    "",
    "Fiebre. " + "Una frase mucho más larga que una ventana con dolor al principio y la pierna al final derecha " * 2,
]
PHRASES = sorted(
    words_of(phrase).joined
    for phrase in (
        "elevación transaminasas",
        "sordomudez",
        "úlcera pierna derecha",
        "fiebre",
        "cefalea",
        "dolor pierna",
    )
)


def groups(word):
    padded = f" {word} "
    return {padded[at : at + 3] for at in range(len(padded) - 2)} | ({padded[:6]} if len(word) > 4 else set())


def likeness(first, second):
    first, second = groups(first), groups(second)
    cosine = len(first & second) / math.sqrt(len(first) * len(second))
    return cosine if cosine >= LEAST_LIKENESS - 1e-6 else 0.0


def rarity(word, texts):
    """Inverse document frequency, by the texts with a word that is nearly the same."""
    rows = sum(any(likeness(other, word) >= SAME for other in words_of(text).joined.split()) for text in texts)
    return max(math.log((len(texts) + 1) / (rows + 0.5)), 0.1)


def windows_of(text):
    words = words_of(text)
    each = words.joined.split()
    for sentence in sorted(set(words.sentences)):
        inside = [word for word, number in zip(each, words.sentences, strict=True) if number == sentence]
        for first in range(0, max(1, len(inside) - WINDOW + STRIDE), STRIDE):
            yield inside[first : first + WINDOW]


def share(phrase, text, texts):
    wanted = set(phrase.split())
    weights = {word: rarity(word, texts) for word in wanted}
    best = max(
        (
            sum(weights[word] * max(likeness(other, word) for other in window) for word in wanted)
            for window in windows_of(text)
        ),
        default=0,
    ) / sum(weights.values())
    return best if best >= LEAST_SHARE else 0.0


def test_shares_are_those_of_a_loop_over_words():
    near = NearPhrases.fit(PHRASES, TEXTS, {})
    expected = [[share(phrase, text, TEXTS) for phrase in PHRASES] for text in TEXTS]
    np.testing.assert_allclose(near.shares(TEXTS).toarray(), expected, atol=1e-5)
    assert 0 < np.count_nonzero(expected) < np.size(expected)
    again = NearPhrases(near.phrases, near.weights, {})
    np.testing.assert_array_equal(again.shares(TEXTS).toarray(), near.shares(TEXTS).toarray())
    assert near.shares([]).shape == (0, len(PHRASES))


@pytest.mark.parametrize(
    ("phrase", "text", "low", "high"),
    [
        ("elevación transaminasas", "Elevación marcada de las transaminasas", 1.0, 1.0),
        ("elevación transaminasas", "Transaminasas: elevación", 1.0, 1.0),
        ("elevación transaminasas", "Elevación del pie. Transaminasas normales", 0.5, 0.9),
        ("elevación transaminasas", "Elevación " + "de algo y otras cosas " * 4 + "transaminasas", 0.5, 0.9),
        ("sordomudez", "sordomudos", 0.5, 0.9),
        ("sordomudez", "mudanza", 0.0, 0.0),
        ("fiebre", "FIEBRES", 1.0, 1.0),
    ],
)
def test_words_apart_turned_round_and_with_other_endings(phrase, text, low, high):
    found = NearPhrases.fit([words_of(phrase).joined], TEXTS, {}).shares([text]).toarray()[0, 0]
    assert low - 1e-6 <= found <= high + 1e-6


def test_places_go_from_the_first_word_of_a_phrase_to_its_last():
    near = NearPhrases.fit(PHRASES, TEXTS, {})
    numbers = [number for number, phrase in enumerate(PHRASES) if near.shares(TEXTS[:1])[0, number] > 0]
    shown = {PHRASES[at].strip(): TEXTS[0][slice(*near.places(TEXTS[0], [at])[0])] for at in numbers}
    assert shown == {
        "elevacion transaminasa": "Elevación marcada de las transaminasas",
        "fiebr": "fiebre",
        "sordomudez": "Sordomudos",
    }
    assert near.places("", [0]) == [(0, 0)]


def test_a_phrase_longer_than_a_window_is_found_as_it_is():
    long = "fractura de la extremidad superior del húmero derecho, primer contacto por lesión cerrada"
    near = NearPhrases.fit([words_of(long).joined], [long, "otra cosa"], {})
    apart = long.replace("superior", "más que superior")
    whole, part = near.shares([f"Ingresa por {long}.", f"Ingresa por {apart}."]).toarray()[:, 0]
    assert (whole, LEAST_SHARE < part < 1) == (1, True)
    assert near.shares([long.replace("derecho, primer", "derecho.\n\nPrimer")]).toarray()[0, 0] == 1


def test_words_that_stand_for_words_of_another_language():
    meanings = {"dolor": "pain", "pierna": "leg", "derecha": "right"}
    phrase = words_of("Pain in right leg").joined
    texts = ["Dolor de la pierna derecha", "Dolor de la pierna izquierda", "Pierna derecha"]
    shares = NearPhrases.fit([phrase], texts, meanings).shares(texts).toarray()[:, 0]
    assert shares[0] == pytest.approx(1, abs=0.1)  # `in` is in no note, and hardly counts
    assert shares[0] > shares[1] > 0.5
    assert shares[0] > shares[2]
    assert NearPhrases.fit([phrase], texts, {}).shares(texts).nnz == 0
    named = NearPhrases.fit([phrase], texts, meanings).places(texts[0], [0])
    assert [texts[0][start:end] for start, end in named] == ["Dolor de la pierna derecha"]
