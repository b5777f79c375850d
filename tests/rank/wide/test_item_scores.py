"""Item-item scores against naive loops: one regression a code, and one fit without each patient."""

import numpy as np
import pytest
from scipy import sparse

from rank.wide.item_scores import item_item_weights, leave_patients_out


def random_rows(seed: int, rows: int = 40, features: int = 9, codes: int = 7):
    draw = np.random.default_rng(seed)
    history = draw.poisson(0.5, (rows, features)).astype(np.float64)
    following = (draw.random((rows, codes)) < 0.3).astype(np.float64)
    return history, following, draw.integers(0, rows // 3, rows)


def naive_weights(history, following, penalty, without_own=False):
    """One ridge regression for each code, solved by least squares on rows that stand for the penalty."""
    weights = np.zeros((history.shape[1], following.shape[1]))
    for code in range(following.shape[1]):
        used = [feature for feature in range(history.shape[1]) if not (without_own and feature == code)]
        design = np.vstack([history[:, used], np.sqrt(penalty) * np.eye(len(used))])
        target = np.concatenate([following[:, code], np.zeros(len(used))])
        weights[used, code] = np.linalg.lstsq(design, target, rcond=None)[0]
    return weights


@pytest.mark.parametrize("penalty", [0.3, 4.0])
def test_weights_equal_a_regression_for_each_code(penalty):
    history, following, _ = random_rows(1)
    expected = naive_weights(history, following, penalty)
    np.testing.assert_allclose(item_item_weights(history, following, penalty), expected, rtol=1e-5, atol=1e-6)
    as_sparse = item_item_weights(sparse.csr_array(history), sparse.csr_array(following), penalty)
    np.testing.assert_allclose(as_sparse, expected, rtol=1e-5, atol=1e-6)


def test_a_zero_diagonal_is_the_best_under_that_constraint():
    history, following, _ = random_rows(2, features=7)
    history[:, 4] = 0  # a code that no history has
    weights = item_item_weights(history, following, 2.0, zero_diagonal=True)
    np.testing.assert_allclose(weights, naive_weights(history, following, 2.0, without_own=True), rtol=1e-5, atol=1e-6)
    assert not np.diag(weights).any()


def test_one_code_and_one_feature_by_hand():
    """Three of four rows with the feature are followed by the code: 3 / (4 + penalty)."""
    history, following = np.array([[1.0]] * 4 + [[0.0]]), np.array([[1.0], [1.0], [1.0], [0.0], [1.0]])
    assert item_item_weights(history, following, 2.0)[0, 0] == pytest.approx(3 / 6)


def test_a_code_that_no_history_has_says_nothing():
    history, following, _ = random_rows(3)
    history[:, 2] = 0
    weights = item_item_weights(history, following, 1.0)
    assert not weights[2].any()
    assert weights[[0, 1, 3]].any(axis=1).all()
    assert not item_item_weights(history * 0, following, 1.0).any()


def test_scores_of_a_left_out_patient_equal_a_fit_without_him():
    history, following, patients = random_rows(4)
    weights = item_item_weights(history, following, 1.5)
    left_out = leave_patients_out(history, following, 1.5, patients)
    expected = np.zeros(following.shape)
    for patient in set(patients):
        own = patients == patient
        expected[own] = history[own] @ naive_weights(history[~own], following[~own], 1.5)
    np.testing.assert_allclose(left_out.scores(weights), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected - history @ weights).max() > 0.02


def test_only_the_wanted_rows_need_be_left_out():
    history, following, patients = random_rows(7)
    wanted = np.array([3, 11, 30])
    weights = item_item_weights(history, following, 1.5)
    every = leave_patients_out(history, following, 1.5, patients).scores(weights)
    few = leave_patients_out(history, following, 1.5, patients, wanted).scores(weights)
    np.testing.assert_allclose(few[wanted], every[wanted], rtol=1e-6)
    others = ~np.isin(patients, patients[wanted])
    np.testing.assert_allclose(few[others], (history @ weights)[others], rtol=1e-5, atol=1e-6)


def test_rows_without_any_code_are_scored_zero():
    history, following, patients = random_rows(5)
    left_out = leave_patients_out(history * 0, following, 1.0, patients)
    assert not left_out.scores(item_item_weights(history * 0, following, 1.0)).any()


def test_a_penalty_of_zero_is_refused():
    history, following, _ = random_rows(6)
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        item_item_weights(history, following, 0)
