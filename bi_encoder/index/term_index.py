"""Codes by the words of their names, without any training: the name that a text covers best counts for its code.

C codes, T names of all codes, W words, Q queries. A code's names are its title and whatever a code book calls it.

    overlap(q, t)  = sum of idf(w) over the words w that query and name share
    coverage(q, t) = overlap(q, t) / sum of idf(w) over all words of the name
    score(q, c)    = max over the names t of c of overlap(q, t) * coverage(q, t) ** COVERAGE_POWER
    idf(w)         = log(1 + (C - df(w) + 0.5) / (df(w) + 0.5)), df(w): codes with w in any of their names

The overlap is BM25 of words that count once in a name, without its preference for short names (b = 0): what a name has
beyond the query is the coverage's part. A code with a hundred variants of one name does not make its words common, so
codes are counted rather than names. Each word counts as itself and by its root, with an idf of each. A word of a query
that is known to stand for a word of the titles' language counts as that one too (`word_translation`).
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bi_encoder.index.vector_groups import VectorGroups
from bi_encoder.index.word_translation import with_meanings
from bi_encoder.index.words import distinct_pairs, root, split_words
from mera.system.errors import UserError

COVERAGE_POWER = 2.0
"""Chosen on CodiEsp's training and validation notes: 1 is worse; 3 has a better MAP, but finds fewer rare codes."""
_KEPT = ("names", "columns", "words", "meanings")
SCORES_AT_ONCE = 16_000_000
"""Scores of names in memory at a time, 4 bytes each."""


class TermIndex:
    """Names of codes and their words. Make one with `build` or `load`."""

    def __init__(
        self,
        names: list[str],
        groups: VectorGroups,
        columns: Mapping[str, int],
        weights_WT: scipy.sparse.csr_array,
        meanings: Mapping[str, str],
    ):
        self.names = names
        """(T,): those of a code together, in the order of the codes."""
        self.groups = groups
        self._columns = columns
        """Word or root -> row of the weights."""
        self._weights_WT = weights_WT
        """The idf of each word that a name has."""
        self._meanings = meanings
        """Word of another language -> the word that it stands for."""
        whole = np.asarray(weights_WT.sum(axis=0), dtype=np.float32)
        self._whole_T = np.where(whole > 0, whole, np.float32(1))  # a name without a word overlaps with nothing

    @classmethod
    def build(cls, names: Sequence[Sequence[str]], meanings: Mapping[str, str] | None = None) -> "TermIndex":
        """names: for each code at least one. `meanings`: what words of queries stand for (`learn_meanings`).

        Raises UserError where a code has no name, or no name has a word.
        """
        texts = [name for row in names for name in row]
        groups = VectorGroups(np.repeat(np.arange(len(names)), [len(row) for row in names]), len(names))
        words = split_words(texts)
        if not words.vocabulary:
            raise UserError(f"none of the {len(texts)} names of {len(names)} codes has a word to search for")
        tokens = dict.fromkeys([*words.vocabulary, *map(root, words.vocabulary)])
        columns = {token: column for column, token in enumerate(tokens)}
        rows, tokens_of_rows = _tokens(words.text, words.word, words.vocabulary, columns)
        _, having = distinct_pairs(groups.owner[rows], tokens_of_rows, len(columns))
        frequency = np.bincount(having, minlength=len(columns))
        idf = np.log1p((len(names) - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        shape = (len(columns), len(texts))
        weights = scipy.sparse.csr_array((idf[tokens_of_rows], (tokens_of_rows, rows)), shape)
        return cls(texts, groups, columns, weights, meanings or {})

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """(Q, C) float32; zeros for a query without a known word."""
        scores = np.empty((len(queries), len(self.groups.counts)), dtype=np.float32)
        step = max(1, SCORES_AT_ONCE // len(self.names))
        for start in range(0, len(queries), step):
            scores[start : start + step] = self.groups.best(self._name_scores(queries[start : start + step]))
        return scores

    def best_names(self, queries: Sequence[str], columns: np.ndarray) -> list[str]:
        """For each code of `columns` (n,) its name with the highest score for any query, the first of equals."""
        scores = self._name_scores(queries).max(axis=0)
        starts = self.groups.starts[columns].tolist()
        ends = (self.groups.starts[columns] + self.groups.counts[columns]).tolist()
        return [self.names[start + int(scores[start:end].argmax())] for start, end in zip(starts, ends, strict=True)]

    def save(self, path: Path, about: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> None:
        """Write one safetensors file, complete or not at all. `about` and `lists`: what else belongs to the codes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        weights = self._weights_WT
        meanings = {"words": list(self._meanings), "meanings": list(self._meanings.values())}
        texts = {"names": self.names, "columns": list(self._columns), **meanings, **lists}
        tensors = {
            "owner": self.groups.owner,
            "data": weights.data,
            "indices": weights.indices,
            "indptr": weights.indptr,
            **{name: np.frombuffer(json.dumps(list(rows)).encode(), dtype=np.uint8) for name, rows in texts.items()},
        }
        beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            save_file(tensors, beside, metadata=dict(about))
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path, lists: Sequence[str] = ()) -> tuple["TermIndex", dict[str, str], dict[str, list[str]]]:
        """The index, and the `about` and `lists` that it was saved with.

        Raises FileNotFoundError where there is none, UserError where the file is damaged or none of these.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no term index at {path}")
        try:
            with safe_open(path, framework="np") as file:
                about = dict(file.metadata() or {})
                arrays = {name: file.get_tensor(name) for name in ("owner", "data", "indices", "indptr")}
                texts: dict[str, list[str]] = {
                    name: json.loads(file.get_tensor(name).tobytes()) for name in (*_KEPT, *lists)
                }
        except (SafetensorError, ValueError) as error:
            raise UserError(f"{path} is no term index, or a damaged one: {error}; delete it") from None
        names, tokens, foreign, meanings = (texts.pop(name) for name in _KEPT)
        weights = scipy.sparse.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]), (len(tokens), len(names))
        )
        groups = VectorGroups(arrays["owner"], int(arrays["owner"][-1]) + 1)
        columns = {token: column for column, token in enumerate(tokens)}
        return cls(names, groups, columns, weights, dict(zip(foreign, meanings, strict=True))), about, texts

    def _name_scores(self, queries: Sequence[str]) -> np.ndarray:
        """(Q, T) float32."""
        words = with_meanings(split_words(queries), self._meanings)
        rows, columns = _tokens(words.text, words.word, words.vocabulary, self._columns)
        ones, shape = np.ones(len(rows), dtype=np.float32), (len(queries), len(self._columns))
        overlap: np.ndarray = (scipy.sparse.csr_array((ones, (rows, columns)), shape) @ self._weights_WT).toarray()
        overlap *= (overlap / self._whole_T) ** np.float32(COVERAGE_POWER)
        return overlap


def _tokens(
    text: np.ndarray, word: np.ndarray, vocabulary: Sequence[str], columns: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places of texts, and the columns of their words and roots; unknown ones are left out."""
    sides = [np.array([columns.get(token(name), -1) for name in vocabulary], dtype=np.int64) for token in (str, root)]
    column = np.concatenate([side[word] for side in sides])
    rows = np.concatenate([text, text])
    return distinct_pairs(rows[column >= 0], column[column >= 0], len(columns))
