"""Codes by the words of their names, without any training: the name that a text covers best counts for its code.

C codes, T names of all codes, W words, Q queries. A code's names are its title and whatever a code book calls it.

    overlap(q, t)  = sum of idf(w) over the words w that query and name share
    coverage(q, t) = overlap(q, t) / sum of idf(w) over all words of the name
    score(q, c)    = max over the names t of c of overlap(q, t) * coverage(q, t) ** COVERAGE_POWER
    idf(w)         = log(1 + (C - df(w) + 0.5) / (df(w) + 0.5)), df(w): codes with w in any of their names

The overlap is BM25 of words that count once in a name, without its preference for short names (b = 0): what a name has
beyond the query is the coverage's part. A code with a hundred variants of one name does not make its words common, so
codes are counted rather than names. Each word counts as itself and by its root, with an idf of each.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.sparse

from bi_encoder.index.vector_groups import VectorGroups
from bi_encoder.index.words import root, split_words
from mera.system.errors import UserError

COVERAGE_POWER = 2.0
"""Chosen on CodiEsp's validation notes; from 1.5 to 3 the rankings are about as good."""
SCORES_AT_ONCE = 16_000_000
"""Scores of names in memory at a time, 4 bytes each."""


class TermIndex:
    """Names of codes and their words."""

    def __init__(self, names: Sequence[Sequence[str]]):
        """names: for each code at least one. Raises UserError where a code has none, or no name has a word."""
        self.names = [name for row in names for name in row]
        self.groups = VectorGroups(np.repeat(np.arange(len(names)), [len(row) for row in names]), len(names))
        words = split_words(self.names)
        if not words.height:
            raise UserError(f"none of the {len(self.names)} names of {len(names)} codes has a word to search for")
        roots = {word: root(word) for word in words["word"].unique().to_list()}
        self._columns = {token: column for column, token in enumerate([*roots, *dict.fromkeys(roots.values())])}
        rows, columns = self._tokens(words)
        pairs = np.unique(self.groups.owner[rows].astype(np.int64) * len(self._columns) + columns)
        frequency = np.bincount(pairs % len(self._columns), minlength=len(self._columns))
        idf = np.log1p((len(names) - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        shape = (len(self._columns), len(self.names))
        self._weights_WT = scipy.sparse.csr_array((idf[columns], (columns, rows)), shape)
        whole = np.bincount(rows, weights=idf[columns], minlength=len(self.names)).astype(np.float32)
        self._whole_T = np.where(whole > 0, whole, np.float32(1))  # a name without a word overlaps with nothing

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """(Q, C) float32; zeros for a query without a known word."""
        scores = np.empty((len(queries), len(self.groups.counts)), dtype=np.float32)
        step = max(1, SCORES_AT_ONCE // len(self.names))
        for start in range(0, len(queries), step):
            scores[start : start + step] = self.groups.best(self._name_scores(queries[start : start + step]))
        return scores

    def best_names(self, query: str, columns: np.ndarray) -> list[str]:
        """For each code of `columns` (n,) its name with the highest score, the first of equals."""
        scores = self._name_scores([query])[0]
        starts = self.groups.starts[columns].tolist()
        ends = (self.groups.starts[columns] + self.groups.counts[columns]).tolist()
        return [self.names[start + int(scores[start:end].argmax())] for start, end in zip(starts, ends, strict=True)]

    def _name_scores(self, queries: Sequence[str]) -> np.ndarray:
        """(Q, T) float32."""
        rows, columns = self._tokens(split_words(queries))
        ones, shape = np.ones(len(rows), dtype=np.float32), (len(queries), len(self._columns))
        overlap: np.ndarray = (scipy.sparse.csr_array((ones, (rows, columns)), shape) @ self._weights_WT).toarray()
        overlap *= (overlap / self._whole_T) ** np.float32(COVERAGE_POWER)
        return overlap

    def _tokens(self, words: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `split_words` -> places of texts and columns of their words and roots; unknown ones left out."""
        distinct = words["word"].unique().to_list()
        tables = []
        for token in (str, root):
            column_of = {word: self._columns.get(token(word)) for word in distinct}
            column = pl.col("word").replace_strict(column_of, return_dtype=pl.Int64())
            tables.append(words.select("text", column=column))
        table = pl.concat(tables).drop_nulls("column").unique(maintain_order=True)
        return table["text"].to_numpy(), table["column"].to_numpy()
