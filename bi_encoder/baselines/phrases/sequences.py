"""Sequences of words that mostly stand in notes with a code: phrases for it, where annotators marked none.

N notes, C codes, S sequences. A code has its OF_CODE most telling ones: by the likelihood ratio of the sequence and the
code against chance (G squared; Dunning, Computational Linguistics 19, 1993), of equals the one of fewer words.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.special import rel_entr

from bi_encoder.baselines.phrases.words import words_of
from mera.evaluation.spread_rows import spread_rows

MOST_NOTES = 2_000
"""Training notes that are searched."""
LONGEST = 4
"""Words."""
LEAST_NOTES, LEAST_SHARE = 2, 0.5
"""A sequence names a code where so many training notes with it have the code, and so large a share of them."""
OF_CODE = 10
"""Sequences of a code, at most."""
SEQUENCES_AT_ONCE = 100_000
"""Counted with all codes together."""
_MIXED = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no two sequences of a length have the same number unless by chance (1 in 2^64)."""


class _Found(NamedTuple):
    """The distinct sequences that LEAST_NOTES notes have, by number."""

    in_notes: scipy.sparse.csr_matrix
    """(S, N) float32 of 0 and 1."""
    note: np.ndarray
    """(S,): a note that has it, where it begins there and how many words it is of."""
    first: np.ndarray
    length: np.ndarray


def telling_sequences(texts: Sequence[str], targets: Sequence[Sequence[int]]) -> Iterator[tuple[str, int]]:
    """(phrase, column): sequences of words, as `words_of` joins them, of a code that they tell of; in the order of the
    codes.

    texts: the training notes (N); targets: the true columns of each.
    """
    read = spread_rows(len(texts), MOST_NOTES)
    notes = [words_of(texts[row]).joined.split() for row in read]
    targets = [targets[row] for row in read]
    found, true = _sequences(notes), true_pairs(targets, 1 + max(chain([-1], *targets)))
    with_code = np.asarray(true.sum(axis=0)).ravel()
    numbers: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    columns: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    gains: list[np.ndarray] = [np.zeros(0)]
    for start in range(0, len(found.note), SEQUENCES_AT_ONCE):
        in_notes = found.in_notes[start : start + SEQUENCES_AT_ONCE]
        right = (in_notes @ true).tocoo()
        rows = np.asarray(in_notes.sum(axis=1)).ravel()[right.row]
        kept = (right.data >= LEAST_NOTES) & (right.data >= LEAST_SHARE * rows)
        kept &= right.data * len(notes) > rows * with_code[right.col]  # else it tells that the code is not there
        numbers.append(right.row[kept] + start)
        columns.append(right.col[kept])
        gains.append(_likelihood_ratio(right.data[kept], rows[kept], with_code[right.col[kept]], len(notes)))
    number, column, gain = np.concatenate(numbers), np.concatenate(columns), np.concatenate(gains)
    order = np.lexsort((number, found.length[number], -gain, column))
    place = np.arange(len(order)) - np.searchsorted(column[order], column[order])
    for chosen in order[place < OF_CODE]:
        note, first, length = (each[number[chosen]] for each in (found.note, found.first, found.length))
        yield f" {' '.join(notes[note][first : first + length])} ", int(column[chosen])


def _sequences(notes: Sequence[Sequence[str]]) -> _Found:
    word_number: dict[str, int] = {}
    keys: list[np.ndarray] = [np.zeros(0, dtype=np.uint64)]
    places: list[np.ndarray] = [np.zeros((3, 0), dtype=np.int32)]
    for note, words in enumerate(notes):
        ids = np.array([word_number.setdefault(word, len(word_number) + 1) for word in words], dtype=np.uint64)
        key = np.zeros(len(ids), dtype=np.uint64)
        for length in range(1, min(LONGEST, len(ids)) + 1):
            key = _mix(key[: len(ids) - length + 1], ids[length - 1 :])
            distinct, first = np.unique(key, return_index=True)
            keys.append(distinct)
            places.append(np.stack([np.full(len(first), note), first, np.full(len(first), length)]).astype(np.int32))
    key, (note_of, first_of, length_of) = np.concatenate(keys), np.concatenate(places, axis=1)
    _, start, number, rows = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    frequent = rows >= LEAST_NOTES
    renumbered, chosen = np.cumsum(frequent) - 1, frequent[number]
    ones = np.ones(chosen.sum(), dtype=np.float32)
    in_notes = scipy.sparse.csr_matrix(
        (ones, (renumbered[number[chosen]], note_of[chosen])), shape=(int(frequent.sum()), len(notes))
    )
    start = start[frequent]
    return _Found(in_notes, note_of[start], first_of[start], length_of[start])


def _mix(key: np.ndarray, word: np.ndarray) -> np.ndarray:
    """The number of each sequence, of that of all but its last word and the latter's."""
    mixed: np.ndarray = (key ^ (key >> np.uint64(29))) * _MIXED + word
    return mixed


def _likelihood_ratio(both: np.ndarray, sequence: np.ndarray, code: np.ndarray, notes: int) -> np.ndarray:
    """G squared of the table of notes with both, with the sequence, with the code, and of all notes."""
    gain = np.zeros(len(both))
    for in_table, of_rows, of_columns in (
        (both, sequence, code),
        (sequence - both, sequence, notes - code),
        (code - both, notes - sequence, code),
        (notes - sequence - code + both, notes - sequence, notes - code),
    ):
        gain += 2 * rel_entr(in_table, of_rows.astype(float) * of_columns / notes)
    return gain


def true_pairs(targets: Sequence[Sequence[int]], num_codes: int) -> scipy.sparse.csr_matrix:
    """(N, C) float32 of 0 and 1."""
    rows = np.repeat(np.arange(len(targets)), [len(set(columns)) for columns in targets])
    columns = [column for of_row in targets for column in sorted(set(of_row))]
    return scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(targets), num_codes))
