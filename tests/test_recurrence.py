"""The bonus of codes seen before."""

import numpy as np
import pytest
import torch

from rank.recurrence import Recurrence, add_recurrence, recurrence_weights, seen_codes

COLUMN = {"A": 0, "B": 1, "C": 2, "D": 3}
HISTORY = [{"codes": ["A", "B", "A"]}, {"codes": ["B", "unknown"]}, {"codes": ["B", "C"]}]


def test_features_of_a_history():
    seen = seen_codes(HISTORY, COLUMN)
    assert seen.columns.tolist() == [0, 1, 2]
    np.testing.assert_allclose(seen.features, [[1, 0, 0], [1, np.log(3), 1], [1, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("history", [None, [], [{"codes": ["unknown"]}]])
def test_a_history_without_candidates_adds_nothing(history):
    scores = np.ones((1, 4), dtype=np.float32)
    np.testing.assert_array_equal(
        add_recurrence(scores, [seen_codes(history, COLUMN)], [1.0, 1.0, 1.0]), np.ones((1, 4))
    )


def test_inference_adds_what_training_added():
    recurrence = Recurrence()
    with torch.no_grad():
        recurrence.weights.copy_(torch.tensor([0.1, 0.02, -0.05]))
    seen = seen_codes(HISTORY, COLUMN)
    dense = torch.zeros(4, 3)
    dense[seen.columns] = torch.from_numpy(seen.features)
    scores = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    trained = torch.from_numpy(scores.copy()) + recurrence(dense)
    np.testing.assert_allclose(add_recurrence(scores, [seen], recurrence.values()), trained.detach(), rtol=1e-5)


def test_a_model_without_the_term_has_zero_weights():
    model = torch.nn.Linear(2, 2)
    assert recurrence_weights(model) == [0.0, 0.0, 0.0]
    model.recurrence = Recurrence()
    assert len(recurrence_weights(model)) == 3
