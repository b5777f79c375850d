"""Trees that weigh phrases: what they count against a loop, what they learn, and notes that say nothing."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from bi_encoder.baselines.dictionary import Dictionary
from bi_encoder.baselines.notes import Notes
from bi_encoder.baselines.phrase_trees import FREQUENT, LEAST, NOTHING, PhraseTrees
from bi_encoder.baselines.phrases.known import known_phrases, marked_phrases
from bi_encoder.baselines.phrases.near import NearPhrases
from bi_encoder.baselines.phrases.pairs import NEAR, WHOLE, counted_pairs
from bi_encoder.baselines.phrases.sequences import true_pairs
from mera.system.errors import UserError

NAMES = [["Deafness"], ["Raised transaminases"], ["Fever"], ["Headache"]]
SAID = [("sordomudez", "sordomudos"), ("elevación", "transaminasas"), ("fiebre", "febril"), ("cefalea", "cefaleas")]
FILLING = ("el", "paciente", "acude", "tras", "una", "semana", "con", "malestar", "general", "y", "en", "casa")


def notes_of(count, seed):
    """Notes with one or two codes, each in its words apart or in another form; (texts, targets, spans)."""
    draw = np.random.default_rng(seed)
    texts, targets, spans = [], [], []
    for _ in range(count):
        true = sorted(draw.choice(4, size=draw.integers(1, 3), replace=False).tolist())
        sentences, marked = [], []
        for code in true:
            first, second = SAID[code]
            if code == 1:
                between = " ".join(draw.choice(FILLING, size=draw.integers(1, 4)))
                sentences.append(f"{first} {between} de las {second}")
                marked.append((code, f"{first} {second}"))
            else:
                word = (first, second)[draw.integers(2)]
                sentences.append(f"{word} {' '.join(draw.choice(FILLING, size=5))}")
                marked.append((code, word))
        if 1 not in true and draw.integers(2):
            sentences.append(f"{SAID[1][draw.integers(2)]} {' '.join(draw.choice(FILLING, size=12))}")
        texts.append(". ".join(draw.permutation(sentences)) + ".")
        targets.append(true)
        spans.append(marked)
    return texts, targets, spans


def fit(names, texts, targets, spans, patients=None):
    """Unless `patients` says otherwise each note is of another patient."""
    patients = patients or [str(row) for row in range(len(texts))]
    return PhraseTrees.fit(
        names,
        Notes(rows=np.arange(len(texts)), texts=texts, targets=targets, patients=patients, marked=spans),
        {},
        threads=1,
    )


@pytest.fixture(scope="module")
def fitted():
    return fit(NAMES, *notes_of(120, seed=0))


def test_what_is_counted_is_what_a_loop_counts():
    texts, targets, spans = notes_of(25, seed=1)
    phrases = known_phrases(NAMES, texts, targets, spans)
    found = sorted(phrases)
    shares = NearPhrases.fit(found, texts, {}).shares(texts)
    true, dense = true_pairs(targets, len(NAMES)), shares.toarray()
    pairs = counted_pairs(phrases, found, shares, true, spans)
    usual = {"name": [0.3], "marked": [0.5]}
    counted, marked = [], list(marked_phrases(spans))
    for number, phrase in enumerate(found):
        for column, meaning in phrases[phrase].items():
            has_code = np.array([column in true for true in targets])
            there, near = dense[:, number] >= WHOLE, dense[:, number] >= NEAR
            elsewhere = np.array([(phrase, column) not in marks for marks in marked])
            assert meaning.marked_in == np.sum(~elsewhere)
            counted.append((number, column, meaning.kind, there.sum(), (there & has_code).sum()))
            counted[-1] += ((near & elsewhere).sum(), (near & elsewhere & has_code).sum())
            counted[-1] += (meaning.marked_in, len(phrase.split()))
            if np.any(there & elsewhere):
                usual[meaning.kind].append(np.mean(has_code[there & elsewhere]))
    assert [len(found), len(counted)] == [len(pairs.starts) - 1, len(pairs.columns)]
    for place, (number, column, kind, notes, right, near, near_right, in_notes, words) in enumerate(counted):
        before = np.mean(usual[kind])
        assert pairs.starts[number] <= place < pairs.starts[number + 1]
        assert (pairs.columns[place], pairs.is_marked[place]) == (column, kind != "name")
        assert pairs.precisions[place] == pytest.approx((right + before) / (notes + 1), rel=1e-5)
        expected = (near_right + before / 2) / (near + 1)
        assert pairs.near_precisions[place] == pytest.approx(expected, rel=1e-5)
        assert (pairs.marked_in[place], pairs.lengths[place]) == (in_notes, words)


def test_words_that_lie_apart_are_found_where_a_dictionary_finds_none(fitted):
    texts, targets, _ = notes_of(60, seed=2)
    known = notes_of(120, seed=0)
    scores = fitted.scores(texts)
    of_dictionary = Dictionary.fit(NAMES, *known).scores(texts)
    true = np.array([[column in row for column in range(4)] for row in targets])
    assert np.mean((scores > 0) == true) > 0.97
    assert np.all(of_dictionary[:, 1] <= 0.5)
    assert scores[true[:, 1], 1].min() > scores[~true[:, 1], 1].max()


def test_each_row_is_scored_by_itself(fitted, monkeypatch):
    texts = notes_of(7, seed=3)[0]
    together = fitted.scores(texts)
    for name, value in {"phrase_trees.ROWS_AT_ONCE": 2, "phrase_trees.SHARES_AT_ONCE": 3}.items():
        monkeypatch.setattr(f"bi_encoder.baselines.{name}", value)
        np.testing.assert_array_equal(fitted.scores(texts), together)
    monkeypatch.setattr("bi_encoder.baselines.phrases.near.WINDOWS_AT_ONCE", 1)
    np.testing.assert_array_equal(fitted.scores(texts), together)
    np.testing.assert_array_equal(np.concatenate([fitted.scores([text]) for text in texts]), together)


def test_the_evidence_is_where_the_best_phrase_stands(fitted):
    note = "Acude a casa. Elevación leve de las transaminasas, sordomudos."
    apart, deaf, none = fitted.evidence(note, np.array([1, 0, 3]))
    assert [note[span.start : span.end] for span in apart] == ["Elevación leve de las transaminasas"]
    assert [note[span.start : span.end] for span in deaf] == ["sordomudos"]
    assert none == []
    assert 0.5 < apart[0].weight <= 1


def test_only_the_best_codes_of_a_note_are_weighed(fitted, monkeypatch):
    text = "fiebre y cefalea, sordomudez"
    assert (fitted.scores([text])[0] >= LEAST).tolist() == [True, False, True, True]
    monkeypatch.setattr("bi_encoder.baselines.phrase_trees.NUM_WEIGHED", 2)
    assert np.sum(fitted.scores([text])[0] >= LEAST) == 2


def test_notes_without_any_phrase(fitted):
    """The order is that of how often training has the codes."""
    blank, silent = fitted.scores(["", "nada"])
    np.testing.assert_array_equal(blank, silent)
    np.testing.assert_array_equal(np.argsort(silent), np.argsort(fitted.train_counts))
    assert NOTHING < silent.min() < silent.max() == NOTHING + FREQUENT < LEAST
    unknown = fit(NAMES, ["nada", "menos"], [[0], [0]], [[], []]).scores(["nada"])
    np.testing.assert_array_equal(unknown, [[NOTHING + FREQUENT, NOTHING, NOTHING, NOTHING]])
    assert len(fitted.scores([])) == 0


def test_phrases_of_one_note_alone():
    """Without it no fold has a phrase, so that nothing is learnt of how far to trust it."""
    texts, spans = ["fiebre", "tos", "asma"], [[(0, "fiebre")], [], []]
    fitted = fit([[], []], texts, [[0], [1], [1]], spans)
    assert fitted.scores(["tos"]).max() < LEAST
    assert fitted.scores(["fiebre"])[0, 0] >= LEAST > fitted.scores(["fiebre"])[0, 1]
    with pytest.raises(UserError, match="none of the codes has a name"):
        fit([[], []], texts, [[0], [1], [1]], [[], [], []])


def test_names_in_another_language_are_found_by_what_words_stand_for():
    names, meanings = [["Fever"], ["Deafness"]], {"fiebre": "fever", "sordera": "deafness"}
    pairs = [(word, filling) for word in ("fiebre", "sordera") for filling in product(FILLING, FILLING)]
    texts = [" ".join([word, *filling]) for word, filling in pairs]
    targets = [[int(word == "sordera")] for word, _ in pairs]
    notes = Notes(rows=np.arange(len(texts)), texts=texts, targets=targets, patients=texts, marked=[[]] * len(texts))
    without, known = (PhraseTrees.fit(names, notes, words, threads=1) for words in ({}, meanings))
    scores = known.scores(texts)
    assert [row.argmax() for row in scores] == [true for [true] in targets]
    assert scores.max(axis=1).min() >= LEAST > without.scores(texts).max()
    again = PhraseTrees.from_contents(known.contents())
    np.testing.assert_array_equal(again.scores(texts), scores)


def test_a_phrase_of_a_code_that_is_none_is_damage(fitted):
    contents = fitted.contents()
    fewer = replace(contents, arrays={**contents.arrays, "train_counts": fitted.train_counts[:2]})
    with pytest.raises(IndexError):
        PhraseTrees.from_contents(fewer)


def test_the_notes_of_one_patient_cannot_be_divided():
    with pytest.raises(UserError, match="two patients or more"):
        fit(NAMES, ["a", "b"], [[0], [1]], None, patients=["a", "a"])
