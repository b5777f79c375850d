"""The bonus of codes seen before."""

import numpy as np
import pytest
import torch

from rank.decision import ranking_quality
from rank.wide.recurrence import (
    RARE_STRENGTHS,
    Recurrence,
    add_recurrence,
    fit_rare_bonus,
    recurrence_weights,
    seen_codes,
)

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


def quality_of(targets):
    return lambda raised: float(np.mean(list(ranking_quality(raised, targets).values())))


def rare_codes_recur(strength):
    """Scores that rank perfectly once `strength` x rarity is added to the last visit's codes; 30 codes, one target."""
    draw = np.random.default_rng(1)
    train_counts = np.geomspace(1, 5000, 30).round().astype(int)
    rarity = np.log((train_counts.max() + 1) / (train_counts + 1))
    targets, seen = np.zeros((300, 30), dtype=bool), []
    scores = draw.normal(scale=0.01, size=(300, 30)).astype(np.float32)
    for row in range(300):
        last, other = draw.choice(30, size=2, replace=False)
        seen.append(seen_codes([{"codes": [str(last)]}], {str(code): code for code in range(30)}))
        wanted = last if row % 2 else other
        targets[row, wanted] = True
        scores[row, wanted] += 0.3
        scores[row, last] -= strength * rarity[last]
    return scores, seen, targets, train_counts


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_the_bonus_of_rare_codes_is_what_validation_wants(strength):
    scores, seen, targets, train_counts = rare_codes_recur(strength)
    bonus = fit_rare_bonus(scores, seen, train_counts, quality_of(targets), micro_f1=lambda raised: 0.3)
    assert np.array_equal(bonus[:, :2], np.zeros((30, 2)))
    assert bonus[-1, 2] == 0
    qualities = {}
    for tried in (0.0, *RARE_STRENGTHS):
        weights = np.zeros((30, 3))
        weights[:, 2] = tried * np.log((train_counts.max() + 1) / (train_counts + 1))
        ranked = ranking_quality(add_recurrence(scores.copy(), seen, weights), targets)
        qualities[tried] = sum(ranked.values())
        if tried == strength:
            np.testing.assert_allclose(bonus, weights, rtol=1e-5)
    assert max(qualities, key=qualities.get) == strength


@pytest.mark.parametrize(("cost", "expected"), [(0.0009, 0.3), (0.0011, 0.2), (0.5, 0.0)])
def test_the_bonus_of_rare_codes_may_not_cost_micro_f1(cost, expected):
    """Strengths above 0.2 lower it a little, those below gain nothing; or any bonus ruins it."""
    scores, seen, targets, train_counts = rare_codes_recur(0.3)
    rarest = train_counts.argmin()

    def micro_f1(raised):
        strength = (raised - scores)[:, rarest].max() / np.log((train_counts.max() + 1) / (train_counts[rarest] + 1))
        return 0.8 - cost * (strength > (0.01 if cost == 0.5 else 0.25))

    bonus = fit_rare_bonus(scores, seen, train_counts, quality_of(targets), micro_f1)
    found = bonus[rarest, 2] / np.log((train_counts.max() + 1) / (train_counts[rarest] + 1))
    assert found == pytest.approx(expected)
