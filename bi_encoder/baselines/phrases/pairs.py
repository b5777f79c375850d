"""What training notes say of phrases that name codes: how often they are there, whole or nearly, and how often right.

N notes, C codes, P phrases, M pairs of a phrase and a code that it names.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse

from bi_encoder.baselines.phrases.known import USUAL_PRECISION, Meaning, Phrases, marked_phrases

WHOLE, NEAR = 0.97, 0.75
"""Shares of a phrase at which it is there, and nearly."""


class PhrasePairs(NamedTuple):
    """Phrase p names the codes `columns[starts[p] : starts[p + 1]]`; what is known of each of the M pairs."""

    starts: np.ndarray
    columns: np.ndarray
    is_marked: np.ndarray
    """(M,) bool: marked by annotators for the code, or a sequence of words that mostly stands with it; else a name."""
    precisions: np.ndarray
    """(M,) float32: in which share of the notes with the phrase the code is true."""
    near_precisions: np.ndarray
    """(M,) float32: the same of the notes with most of it, but those in which it was marked."""
    marked_in: np.ndarray
    """(M,) float32: notes in which it was marked for the code."""
    lengths: np.ndarray
    """(M,) float32: words of the phrase."""


def counted_pairs(
    phrases: Phrases,
    found: Sequence[str],
    shares: scipy.sparse.csr_matrix,
    true: scipy.sparse.csr_matrix,
    spans: Sequence[Sequence[tuple[int, str]]] | None,
) -> PhrasePairs:
    """What the notes with shares (N, P) of the phrases `found`, true codes (N, C) and marked spans say of `phrases`,
    some of those.

    A phrase of n notes, of which t have the code, has the precision (t + u) / (n + 1), u being the mean precision of
    its kind in notes where it was not marked; near ones start from half of that.
    """
    meanings: list[tuple[int, int, Meaning]] = [
        (number, column, meaning)
        for number, phrase in enumerate(found)
        for column, meaning in sorted(phrases.get(phrase, {}).items())
    ]
    of_pair = np.array([number for number, _, _ in meanings], dtype=np.int64)
    columns = np.array([column for _, column, _ in meanings], dtype=np.int64)
    marked_in = np.array([meaning.marked_in for _, _, meaning in meanings], dtype=np.float32)
    kinds = np.array([meaning.kind for _, _, meaning in meanings], dtype=str)
    marks = _marks_of(spans, {(found[number], column): pair for pair, (number, column, _) in enumerate(meanings)})
    whole, near = (_counts(shares >= least, true, of_pair, columns, marks) for least in (WHOLE, NEAR))
    usual = np.zeros(len(meanings), dtype=np.float32)
    for kind, before in USUAL_PRECISION.items():
        counted = (kinds == kind) & (whole.elsewhere > 0)
        measured = whole.right_elsewhere[counted] / whole.elsewhere[counted]
        usual[kinds == kind] = before if kind == "sequence" else (measured.sum() + before) / (len(measured) + 1)
    return PhrasePairs(
        starts=np.searchsorted(of_pair, np.arange(len(found) + 1)),
        columns=columns,
        is_marked=kinds != "name",
        precisions=((whole.right + usual) / (whole.notes + 1)).astype(np.float32),
        near_precisions=((near.right_elsewhere + usual / 2) / (near.elsewhere + 1)).astype(np.float32),
        marked_in=marked_in,
        lengths=np.array([len(found[number].split()) for number in of_pair], dtype=np.float32),
    )


class _Marks(NamedTuple):
    """The notes in which annotators marked the phrase of a pair for its code."""

    rows: np.ndarray
    pairs: np.ndarray


def _marks_of(spans: Sequence[Sequence[tuple[int, str]]] | None, pair_of: Mapping[tuple[str, int], int]) -> _Marks:
    """pair_of: (phrase, column) -> number of the pair."""
    marks = [(row, pair_of[mark]) for row, of_row in enumerate(marked_phrases(spans or ())) for mark in of_row]
    return _Marks(*np.array(marks, dtype=np.int64).reshape(-1, 2).T)


class _Counts(NamedTuple):
    """Of each pair (M,): the notes with its phrase, those of them with its code, and both of those notes in which the
    phrase was not marked for the code."""

    notes: np.ndarray
    right: np.ndarray
    elsewhere: np.ndarray
    right_elsewhere: np.ndarray


def _counts(
    is_there: scipy.sparse.csr_matrix,
    true: scipy.sparse.csr_matrix,
    phrases: np.ndarray,
    columns: np.ndarray,
    marks: _Marks,
) -> _Counts:
    """is_there (N, P) bool; phrases, columns (M,): of the pairs."""
    there = is_there.astype(np.float32)
    notes = np.asarray(there.sum(axis=0)).ravel()[phrases]
    right = values_at((there.T @ true).tocsr(), phrases, columns)
    marked = values_at(there, marks.rows, phrases[marks.pairs])
    marked_right = marked * values_at(true, marks.rows, columns[marks.pairs])
    there_too, right_too = (np.bincount(marks.pairs, of, minlength=len(phrases)) for of in (marked, marked_right))
    return _Counts(notes, right, notes - there_too, right - right_too)


def values_at(matrix: scipy.sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The values at so many places, (M,)."""
    return np.asarray(matrix[rows, columns]).ravel() if len(rows) else np.zeros(0, dtype=np.float32)
