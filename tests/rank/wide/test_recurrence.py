"""The bonus of codes seen before."""

import numpy as np
import pytest
import torch

from rank.wide.recurrence import Recurrence, add_recurrence, recurrence_weights, seen_codes

COLUMN = {"A": 0, "B": 1, "C": 2, "D": 3}
HISTORY = [{"codes": ["A", "B", "A"]}, {"codes": ["B", "unknown"]}, {"codes": ["B", "C"]}]


def trained_model():
    model = torch.nn.Module()
    model.recurrence = Recurrence(len(COLUMN))
    with torch.no_grad():
        model.recurrence.shared.copy_(torch.tensor([0.1, 0.02, -0.05]))
        model.recurrence.per_code.copy_(torch.arange(12.0).reshape(4, 3) / 10)
    return model


def test_features_of_a_history():
    seen = seen_codes(HISTORY, COLUMN)
    assert seen.columns.tolist() == [0, 1, 2]
    np.testing.assert_allclose(seen.features, [[1, 0, 0], [1, np.log(3), 1], [1, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("history", [None, [], [{"codes": ["unknown"]}]])
def test_a_history_without_candidates_adds_nothing(history):
    scores, weights = np.ones((1, 4), dtype=np.float32), np.ones((4, 3))
    np.testing.assert_array_equal(add_recurrence(scores, [seen_codes(history, COLUMN)], weights), np.ones((1, 4)))


def test_a_code_has_the_shared_weights_and_its_own():
    expected = 10 * np.array([0.1, 0.02, -0.05]) + 3 * np.array([0.3, 0.4, 0.5])
    np.testing.assert_allclose(recurrence_weights(trained_model(), 4)[1], expected, rtol=1e-5)


def test_inference_adds_what_training_added():
    model, seen = trained_model(), seen_codes(HISTORY, COLUMN)
    dense = torch.zeros(1, 4, 3)
    dense[0, seen.columns] = torch.from_numpy(seen.features)
    scores = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    trained = (torch.from_numpy(scores.copy()) + model.recurrence(dense)).detach().numpy()
    assert trained[0, 3] == scores[0, 3]
    np.testing.assert_allclose(add_recurrence(scores, [seen], recurrence_weights(model, 4)), trained, rtol=1e-5)


def test_a_model_without_the_term_has_zero_weights():
    np.testing.assert_array_equal(recurrence_weights(torch.nn.Linear(2, 2), 5), np.zeros((5, 3)))
