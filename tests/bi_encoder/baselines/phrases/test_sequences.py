"""Sequences of words that tell of a code: against a loop over all of them, and how many there may be."""

import math

import numpy as np
import pytest

from bi_encoder.baselines.phrases import sequences
from bi_encoder.baselines.phrases.sequences import LEAST_NOTES, LEAST_SHARE, LONGEST, telling_sequences

WORDS = ["a", "b", "c", "d", "e", "f", "g"]


def some_notes(count, seed):
    draw = np.random.default_rng(seed)
    notes = [draw.choice(WORDS, size=draw.integers(0, 9)).tolist() for _ in range(count)]
    return notes, [draw.choice(5, size=draw.integers(1, 3)).tolist() for _ in range(count)]


def found_in(notes, targets):
    texts = [" ".join(note) for note in notes]
    return [(tuple(phrase.split()), code) for phrase, code in telling_sequences(texts, targets)]


def is_in(sequence, note):
    return any(tuple(note[at : at + len(sequence)]) == sequence for at in range(len(note)))


def likelihood_ratio(there, true):
    """G squared, cell by cell."""
    gain = 0.0
    for has in (True, False):
        for is_true in (True, False):
            observed = np.sum((there == has) & (true == is_true))
            if observed:
                gain += 2 * observed * math.log(observed * len(true) / (np.sum(there == has) * np.sum(true == is_true)))
    return gain


def by_a_loop(notes, targets, most):
    every = {tuple(note[at : at + n]) for note in notes for at in range(len(note)) for n in range(1, LONGEST + 1)}
    expected = []
    for code in range(5):
        true = np.array([code in row for row in targets])
        gains = {}
        for sequence in every:
            there = np.array([is_in(sequence, note) for note in notes])
            right = np.sum(there & true)
            for_it = right * len(notes) > there.sum() * true.sum()
            if right >= LEAST_NOTES and right >= LEAST_SHARE * there.sum() and for_it:
                gains[sequence] = (-round(likelihood_ratio(there, true), 6), len(sequence))
        expected.append((gains, sorted(gains.values())[:most]))
    return expected


@pytest.mark.parametrize("at_once", [1, 100_000])
def test_the_best_of_each_code_are_those_of_a_loop(at_once, monkeypatch):
    notes, targets = some_notes(40, seed=0)
    monkeypatch.setattr(sequences, "SEQUENCES_AT_ONCE", at_once)
    found = found_in(notes, targets)
    assert len(found) == len(set(found)) > 10
    for code, (gains, best) in enumerate(by_a_loop(notes, targets, sequences.OF_CODE)):
        of_code = [gains[sequence] for sequence, column in found if column == code]
        assert of_code == sorted(of_code) == best


def test_a_code_has_no_more_than_its_share(monkeypatch):
    notes, targets = some_notes(200, seed=1)
    targets = [[0] if "a" in note else [1] for note in notes]
    monkeypatch.setattr(sequences, "OF_CODE", 3)
    found = found_in(notes, targets)
    assert found[0] == (("a",), 0)
    assert [code for _, code in found].count(0) == 3


def test_what_speaks_against_a_frequent_code_is_no_name_for_it():
    """Of ten notes with `bad` half have the code, which nine in ten of all have."""
    notes = [["good"]] * 20 + [["bad"]] * 10 + [["c"]] * 70
    targets = [[0]] * 25 + [[1]] * 5 + [[0]] * 65 + [[1]] * 5
    found = found_in(notes, targets)
    assert (("good",), 0) in found
    assert (("bad",), 1) in found
    assert (("bad",), 0) not in found


def test_notes_that_tell_of_nothing():
    assert list(telling_sequences([], [])) == []
    assert list(telling_sequences(["", ""], [[0], [1]])) == []
    assert list(telling_sequences(["a", "b"], [[0], [1]])) == []
