"""Words of other languages, put into the language of the codes' titles by names that are translations of each other.

A country's table of titles, beside the titles of the edition's package, says word by word what its language calls
things: IBM model 1 (Brown et al., Computational Linguistics 19, 1993) finds it. With f a word of the translation, or
none, and e a word of the text:

    p(e | f) <- sum over the pairs that hold both of  p(e | f) / sum over the f' of the pair of p(e | f')

divided by its sum over e, a few times, from all words alike.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from bi_encoder.index.words import STOP_WORDS, Words, distinct_pairs, split_words

ROUNDS = 5
LEAST_PROBABILITY = 0.3
"""Rounds from 5 to 10 and probabilities from 0.2 to 0.5 are within 1.3 points of MAP of each other (CodiEsp, Spanish
notes of train and validation: tests/benchmarks/bench_word_translation.py)."""
_SIDE = {"pair": pl.Int64(), "word": pl.Int64()}


def learn_meanings(pairs: pl.DataFrame) -> dict[str, str]:
    """Word of a translation -> the word that it most probably stands for, where that is likely enough.

    pairs: one row each, with the columns `text` and `translation`. Words are as `split_words` writes them. Function
    words take part in learning, so that `de` explains `of` and not a disease, and are left out of the answer.
    """
    texts = split_words(pairs["text"].to_list(), stop_words=())
    translations = split_words(pairs["translation"].to_list(), stop_words=())
    no_word = len(translations.vocabulary)
    sides = (
        _side(texts)
        .with_row_index("event")
        .join(
            pl.concat([_side(translations), pl.DataFrame({"pair": range(pairs.height), "word": no_word}, _SIDE)]),
            on="pair",
            suffix="_translated",
        )
    )
    event, source, target = (sides[name].to_numpy() for name in ("event", "word_translated", "word"))
    keys, place = np.unique(source * len(texts.vocabulary) + target, return_inverse=True)
    sources, targets = np.divmod(keys, max(len(texts.vocabulary), 1))
    probability = np.ones(len(keys))
    for _ in range(ROUNDS):
        shares = probability[place] / np.bincount(event, probability[place])[event]
        counts = np.bincount(place, shares)
        probability = counts / np.bincount(sources, counts)[sources]
    meanings: dict[str, str] = {}
    likely = np.flatnonzero((probability >= LEAST_PROBABILITY) & (sources != no_word))
    for number in likely[np.argsort(-probability[likely], kind="stable")].tolist():
        meanings.setdefault(translations.vocabulary[sources[number]], texts.vocabulary[targets[number]])
    return {
        word: meaning
        for word, meaning in meanings.items()
        if word != meaning and STOP_WORDS.isdisjoint((word, meaning))
    }


def with_meanings(words: Words, meanings: Mapping[str, str]) -> Words:
    """`words` and, beside each that `meanings` knows, the one that it stands for."""
    if not meanings:
        return words
    place = {word: number for number, word in enumerate(words.vocabulary)}
    for word in words.vocabulary:
        if word in meanings:
            place.setdefault(meanings[word], len(place))
    of_word = np.array([place.get(meanings.get(word, ""), -1) for word in words.vocabulary], dtype=np.int64)
    added = of_word[words.word]
    texts, both = (
        np.concatenate([own, further[added >= 0]]) for own, further in ((words.text, words.text), (words.word, added))
    )
    texts, both = distinct_pairs(texts, both, len(place))
    return Words(text=texts, word=both, vocabulary=list(place))


def _side(words: Words) -> pl.DataFrame:
    return pl.DataFrame({"pair": words.text, "word": words.word}, _SIDE)
