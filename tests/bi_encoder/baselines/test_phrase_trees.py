"""Trees that weigh phrases: what they count against a loop, what they learn, and notes that say nothing."""

import numpy as np
import pytest

from bi_encoder.baselines.dictionary import Dictionary
from bi_encoder.baselines.near_phrases import NearPhrases
from bi_encoder.baselines.notes import Notes
from bi_encoder.baselines.phrase_trees import LEAST, NEAR, NOTHING, WHOLE, PhraseTrees, _pairs, _true_pairs
from bi_encoder.baselines.phrases import known_phrases
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
    return PhraseTrees.fit(names, Notes(texts=texts, targets=targets, patients=patients, marked=spans), threads=1)


@pytest.fixture(scope="module")
def fitted():
    return fit(NAMES, *notes_of(120, seed=0))


def test_what_is_counted_is_what_a_loop_counts():
    texts, targets, spans = notes_of(25, seed=1)
    phrases = known_phrases(NAMES, texts, targets, spans)
    found = sorted(phrases)
    shares = NearPhrases.fit(found, texts).shares(texts)
    pairs, dense = _pairs(phrases, found, shares, _true_pairs(targets, len(NAMES))), shares.toarray()
    usual = {"name": [0.3], "marked": [0.5]}
    counted = []
    for number, phrase in enumerate(found):
        for column, meaning in phrases[phrase].items():
            has_code = np.array([column in true for true in targets])
            there, near = dense[:, number] >= WHOLE, dense[:, number] >= NEAR
            marked = meaning.marked_in
            counted.append((number, column, meaning.kind, there.sum(), (there & has_code).sum(), near.sum() - marked))
            counted[-1] += ((near & has_code).sum() - marked, marked, len(phrase.split()))
            if there.sum() > marked:
                right = max((there & has_code).sum() - marked, 0)
                usual[meaning.kind].append(right / (there.sum() - marked))
    assert [len(found), len(counted)] == [len(pairs.starts) - 1, len(pairs.columns)]
    for place, (number, column, kind, notes, right, near, near_right, marked, words) in enumerate(counted):
        before = np.mean(usual[kind])
        assert pairs.starts[number] <= place < pairs.starts[number + 1]
        assert (pairs.columns[place], pairs.is_marked[place]) == (column, kind != "name")
        assert pairs.precisions[place] == pytest.approx((right + before) / (notes + 1), rel=1e-5)
        expected = max(near_right + before / 2, 0) / max(near + 1, 0.5)
        assert pairs.near_precisions[place] == pytest.approx(expected, rel=1e-5)
        assert (pairs.marked_in[place], pairs.lengths[place]) == (marked, words)


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
    monkeypatch.setattr("bi_encoder.baselines.near_phrases.WINDOWS_AT_ONCE", 1)
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
    assert (fitted.scores([text])[0] > NOTHING).tolist() == [True, False, True, True]
    monkeypatch.setattr("bi_encoder.baselines.phrase_trees.NUM_WEIGHED", 2)
    assert np.sum(fitted.scores([text])[0] >= LEAST) == 2


def test_notes_without_any_phrase(fitted):
    np.testing.assert_array_equal(fitted.scores(["", "nada"]), np.full((2, 4), NOTHING, dtype=np.float32))
    silent = fit(NAMES, ["nada", "menos"], [[0], [1]], [[], []])
    np.testing.assert_array_equal(silent.scores(["nada"]), np.full((1, 4), NOTHING, dtype=np.float32))
    assert len(fitted.scores([])) == 0


def test_phrases_of_one_note_alone():
    """Without it no fold has a phrase, so that nothing is learnt of how far to trust it."""
    texts, spans = ["fiebre", "tos", "asma"], [[(0, "fiebre")], [], []]
    fitted = fit([[], []], texts, [[0], [1], [1]], spans)
    np.testing.assert_array_equal(fitted.scores(["tos"]), [[NOTHING, NOTHING]])
    assert fitted.scores(["fiebre"])[0, 0] > NOTHING == fitted.scores(["fiebre"])[0, 1]
    with pytest.raises(UserError, match="none of the codes has a name"):
        fit([[], []], texts, [[0], [1], [1]], [[], [], []])


def test_the_notes_of_one_patient_cannot_be_divided():
    with pytest.raises(UserError, match="two patients or more"):
        fit(NAMES, ["a", "b"], [[0], [1]], None, patients=["a", "a"])
