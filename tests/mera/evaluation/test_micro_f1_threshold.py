"""The fitted threshold against a search over every cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mera.evaluation.metrics import f1
from mera.evaluation.micro_f1_threshold import SORTED_PER_TARGET, _best_of, best_threshold


def loop_best_f1(scores: np.ndarray, targets: np.ndarray) -> float:
    values = sorted(set(scores.ravel().tolist()))
    cuts = [values[0] - 1, *[(low + high) / 2 for low, high in itertools.pairwise(values)]]
    return max(f1(scores > cut, targets, "micro") for cut in cuts)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_cut_has_a_higher_micro_f1(seed, ties):
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((5, 7))
    if ties:
        scores = np.round(scores)
    targets = generator.random((5, 7)) < 0.3
    targets[0, 0] = True
    assert f1(scores > best_threshold(scores, targets), targets, "micro") == pytest.approx(
        loop_best_f1(scores, targets)
    )


@given(seed=st.integers(0, 10_000), quality=st.sampled_from([0.0, 0.3, 3.0]), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_sorting_the_highest_alone_finds_the_same_threshold(seed, quality, ties):
    """With quality 0 the best cut may lie below the highest, and everything is sorted after all."""
    generator = np.random.default_rng(seed)
    targets = generator.random((12, 200)) < 0.004
    targets[3, 5] = True
    scores = (generator.standard_normal((12, 200)) + quality * targets).astype(np.float32)
    scores = np.round(scores, 1) if ties else scores
    assert 2 * SORTED_PER_TARGET * targets.sum() < scores.size
    whole, _ = _best_of(scores.ravel(), targets.ravel(), int(targets.sum()))
    assert best_threshold(scores, targets) == whole


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_with_probabilities_it_is_the_best_on_average(seed):
    """What the oracle's threshold is: the probabilities are the scores, and what is expected to be true."""
    probabilities = np.random.default_rng(seed).random((6, 30)) ** 12
    found = best_threshold(probabilities, probabilities)

    def expected_f1(cut):
        chosen = probabilities > cut
        return 2 * probabilities[chosen].sum() / (chosen.sum() + probabilities.sum())

    assert expected_f1(found) == pytest.approx(max(expected_f1(cut) for cut in [-1.0, *probabilities.ravel()]))


def test_hand_computed_cut():
    scores = np.array([[4.0, 3.0], [2.0, 1.0]])
    assert best_threshold(scores, np.array([[True, True], [False, False]])) == 2.5


def test_equal_f1_takes_the_higher_threshold():
    # Predicting 4.0 alone: 2 * 1 / (1 + 2); predicting all four: 2 * 2 / (4 + 2). Both are 2/3.
    scores = np.array([[4.0, 3.0], [2.0, 1.0]])
    assert best_threshold(scores, np.array([[True, False], [False, True]])) == 3.5


def test_everything_is_predicted_where_that_is_best():
    scores = np.array([[0.0, 0.0], [0.0, 0.0]])
    threshold = best_threshold(scores, np.array([[True, True], [True, False]]))
    assert (scores > threshold).all()


@pytest.mark.parametrize("low", [np.float32(1.0), np.nextafter(np.float32(1.0), np.float32(2.0))])
def test_neighbouring_float32_scores_are_separated_by_a_float32_threshold(low):
    scores = np.array([[np.nextafter(low, np.float32(2.0)), low]], dtype=np.float32)
    threshold = np.float32(best_threshold(scores, np.array([[True, False]])))
    assert (scores > threshold).tolist() == [[True, False]]


def test_no_target_is_an_error():
    with pytest.raises(ValueError, match="cannot fit a threshold on rows without any target"):
        best_threshold(np.ones((2, 2)), np.zeros((2, 2), dtype=bool))
