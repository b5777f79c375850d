"""How much of a phrase stands close together in a text, in whatever order and with whatever endings.

Annotators mark words that lie apart (`elevación ... de las transaminasas`: a fifth of CodiEsp's marks), and one note
says `sordomudez` where another says `sordomudos`. A dictionary, which looks for phrases as they are, misses both.

N texts, P phrases, V words of the phrases, W windows of a text, L likenesses.

A word is like another by the cosine of their letter groups (three letters in a row, and the first five), or because it
is known to stand for it in another language (`bi_encoder/index/word_translation.py`). Of a phrase there is so much in a
window of WINDOW words as its words are like their nearest ones in it, weighed by how rare they are in the texts
(inverse document frequency); all of it where it stands in the text as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import HashingVectorizer

from bi_encoder.baselines.phrases.finder import ALL_PHRASES, PhraseFinder
from bi_encoder.baselines.phrases.known import REACH
from bi_encoder.baselines.phrases.words import Words, compared, words_of
from bi_encoder.index.words import STOP_WORDS

WINDOW, STRIDE = REACH, 3
"""Words in a window, all of one sentence, and from one window to the next."""
LEAST_LIKENESS, SAME = 0.45, 0.75
"""Likeness below the first is none; at the second a text has the word, where its rarity is counted."""
LEAST_SHARE = 0.5
"""What there is less of is not kept."""
WINDOWS_AT_ONCE = 200
"""Of a long note."""
LEAST_WEIGHT = 0.1
"""Of a word that every text has, and of one that names nothing: notes in another language never have it."""
_NAMING_NOTHING = frozenset(map(compared, STOP_WORDS))


class Likenesses(NamedTuple):
    """Of some words those of the V words that each is like: word i has `[starts[i], starts[i + 1])` of the others."""

    starts: np.ndarray
    columns: np.ndarray
    """(L,) int, of the V words."""
    values: np.ndarray
    """(L,) float32, LEAST_LIKENESS to 1."""


class Window(NamedTuple):
    """Words `[first, last)` of a text."""

    first: int
    last: int


class _Reading(NamedTuple):
    """A text, of whose words some are the same."""

    windows: list[Window]
    numbers: np.ndarray
    """Of each word its number among the distinct ones."""
    like: Likenesses
    """Of the distinct words."""
    held: scipy.sparse.csr_matrix
    """(W or 1, V): how like the V words their nearest words in each window are."""


class NearPhrases:
    """Finds how much of each of P phrases, such as `words_of` has them, stands in texts."""

    def __init__(self, phrases: Sequence[str], weights: np.ndarray, meanings: Mapping[str, str]) -> None:
        """weights (V,): of the phrases' words, in alphabetical order. meanings: word of a text -> the word that it
        stands for (`learn_meanings`)."""
        self.phrases, self.weights, self.meanings = phrases, weights, meanings
        self._vocabulary = _vocabulary(phrases)
        self._known = _KnownWords(self._vocabulary, meanings)
        self._parts = _parts(phrases, self._vocabulary, weights).T.tocsr()
        self._number = {phrase: number for number, phrase in enumerate(phrases)}
        self._as_they_are = PhraseFinder(phrases)

    @classmethod
    def fit(cls, phrases: Sequence[str], texts: Sequence[str], meanings: Mapping[str, str]) -> "NearPhrases":
        """Weighs the words of the phrases by the texts."""
        vocabulary = _vocabulary(phrases)
        known, rows = _KnownWords(vocabulary, meanings), np.zeros(len(vocabulary))
        for text in texts:
            like = known.like(sorted(set(words_of(text).joined.split())))
            rows[np.unique(like.columns[like.values >= SAME])] += 1
        weights = np.maximum(np.log((len(texts) + 1) / (rows + 0.5)), LEAST_WEIGHT)
        weights[[word in _NAMING_NOTHING for word in vocabulary]] = LEAST_WEIGHT
        return cls(phrases, weights.astype(np.float32), meanings)

    def shares(self, texts: Iterable[str]) -> scipy.sparse.csr_matrix:
        """(N, P) float32: how much of each phrase the best window has, LEAST_SHARE to 1; less is 0. A phrase that
        stands there as it is, be it longer than a window, has 1."""
        rows = [scipy.sparse.csr_matrix((0, len(self.phrases)), dtype=np.float32)]
        for text in texts:
            words = words_of(text)
            held, best = self._read(words).held, self._whole(words)
            for first in range(0, held.shape[0], WINDOWS_AT_ONCE):
                of_block = (held[first : first + WINDOWS_AT_ONCE] @ self._parts).max(axis=0).tocsr()
                best = best.maximum(of_block).tocsr()
            best.data[best.data < LEAST_SHARE] = 0
            best.eliminate_zeros()
            rows.append(best)
        return scipy.sparse.vstack(rows, format="csr")

    def places(self, text: str, phrases: Sequence[int]) -> list[tuple[int, int]]:
        """Of each of the phrases the characters `[start, end)` of its best window, from its first word there to its
        last."""
        words = words_of(text)
        windows, number, like, held = self._read(words)
        if not windows:
            return [(0, 0)] * len(phrases)
        best = (held @ self._parts[:, list(phrases)]).toarray().argmax(axis=0)
        places = []
        for phrase, window in zip(phrases, best, strict=True):
            wanted = self._parts[:, [phrase]].tocoo().row
            inside = [
                word
                for word in range(*windows[window])
                if np.isin(like.columns[like.starts[number[word]] : like.starts[number[word] + 1]], wanted).any()
            ] or list(range(*windows[window]))
            places.append((words.starts[inside[0]], words.ends[inside[-1]]))
        return places

    def _whole(self, words: Words) -> scipy.sparse.csr_matrix:
        """(1, P) float32: 1 for each phrase that stands in the words as it is."""
        columns = sorted({self._number[match.phrase] for match in self._as_they_are.matches(words, ALL_PHRASES)})
        ones = np.ones(len(columns), dtype=np.float32)
        return scipy.sparse.csr_matrix((ones, (np.zeros(len(columns)), columns)), shape=(1, len(self.phrases)))

    def _read(self, words: Words) -> _Reading:
        windows = _windows(words.sentences)
        distinct, number = np.unique(words.joined.split(), return_inverse=True)
        like = self._known.like(distinct.tolist())
        members = np.concatenate([number[first:last] for first, last in windows] or [np.zeros(0, dtype=int)])
        window = np.repeat(np.arange(len(windows)), [last - first for first, last in windows])
        count = like.starts[members + 1] - like.starts[members]
        at = ranges(like.starts[members], count)
        cell = np.repeat(window, count) * np.int64(len(self._vocabulary)) + like.columns[at]
        order = np.argsort(cell, kind="stable")
        cells, starts = np.unique(cell[order], return_index=True)
        nearest = np.maximum.reduceat(like.values[at][order], starts) if len(starts) else np.zeros(0, np.float32)
        shape = (max(len(windows), 1), len(self._vocabulary))  # a text without words has one row of nothing
        held = scipy.sparse.csr_matrix((nearest, np.divmod(cells, max(shape[1], 1))), shape=shape)
        return _Reading(windows, number, like, held)


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`starts[0]`, and so many numbers from there on, then those from `starts[1]`, ..."""
    numbers: np.ndarray = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return numbers


class _KnownWords:
    """The V words, to be compared with others."""

    def __init__(self, vocabulary: Sequence[str], meanings: Mapping[str, str]) -> None:
        self._letters = _letter_groups(vocabulary).T.tocsr()
        self._meanings = {compared(word): compared(meaning) for word, meaning in meanings.items()}

    def like(self, words: Sequence[str]) -> Likenesses:
        """Of each of the words, in the form of `words_of`, as itself or as what it stands for."""
        like = self._by_letters(words, LEAST_LIKENESS)
        meant = [self._meanings.get(word, "") for word in words]
        if any(meant):
            like = like.maximum(self._by_letters(meant, SAME)).tocsr()
        return Likenesses(like.indptr, like.indices, np.minimum(like.data, 1))

    def _by_letters(self, words: Sequence[str], least: float) -> scipy.sparse.csr_matrix:
        like = (_letter_groups(words) @ self._letters).tocsr()
        like.data[like.data < least] = 0
        like.eliminate_zeros()
        return like


def _windows(sentences: Sequence[int]) -> list[Window]:
    """sentences: of each word of a text the number of its sentence."""
    numbers = np.array(sentences)
    ends = [*(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)] if len(numbers) else []
    windows, start = [], 0
    for end in ends:
        last_start = max(start + 1, end - WINDOW + STRIDE)
        windows += [Window(first, min(first + WINDOW, end)) for first in range(start, last_start, STRIDE)]
        start = end
    return windows


def _vocabulary(phrases: Iterable[str]) -> list[str]:
    return sorted({word for phrase in phrases for word in phrase.split()})


def _parts(phrases: Sequence[str], vocabulary: Sequence[str], weights: np.ndarray) -> scipy.sparse.csr_matrix:
    """(P, V) float32: the weight of each word of a phrase, of all its words 1 together."""
    column = {word: number for number, word in enumerate(vocabulary)}
    words = [sorted({column[word] for word in phrase.split()}) for phrase in phrases]
    columns = np.array([number for of_phrase in words for number in of_phrase], dtype=np.int64)
    rows = np.repeat(np.arange(len(phrases)), list(map(len, words)))
    total = np.bincount(rows, weights[columns], minlength=len(phrases))
    return scipy.sparse.csr_matrix(
        ((weights[columns] / total[rows]).astype(np.float32), (rows, columns)), shape=(len(phrases), len(vocabulary))
    )


def _letter_groups(words: Sequence[str]) -> scipy.sparse.csr_matrix:
    """A row of length 1 for each word."""
    hashed = HashingVectorizer(analyzer=_groups_of, binary=True, alternate_sign=False, dtype=np.float32)
    return hashed.transform(words) if len(words) else scipy.sparse.csr_matrix((0, hashed.n_features), dtype=np.float32)


def _groups_of(word: str) -> list[str]:
    padded = f" {word} "
    return [padded[start : start + 3] for start in range(len(padded) - 2)] + [padded[:6]] * (len(word) > 4)
