"""Fusion by trees: features against loops, what the correction may move, and that it learns what a sum cannot."""

import math

import numpy as np
import pytest

from mera.evaluation import fusion_trees
from mera.evaluation.fusion_trees import (
    ScoredRows,
    best_columns,
    feature_names,
    fit_tree_fusion,
    pair_features,
    weighted_sum,
    with_corrections,
)
from mera.evaluation.metrics import mean_average_precision
from mera.system.errors import UserError

FAMILIES = np.array([0, 0, 1, 1, 1, 2, 3, 3])


def rows_of(random, num_rows=3, parts=2):
    scores = random.integers(0, 4, (parts, num_rows, len(FAMILIES))).astype(np.float32)
    return ScoredRows(scores=scores, train_counts=random.integers(0, 9, (num_rows, len(FAMILIES))))


def test_the_features_are_those_of_a_loop_over_pairs(monkeypatch):
    monkeypatch.setattr(fusion_trees, "NUM_CORRECTED", 5)
    random = np.random.default_rng(2)
    rows = rows_of(random)
    summed = random.standard_normal((3, len(FAMILIES))).astype(np.float32)
    columns = best_columns(summed)
    features = pair_features(rows, summed, columns, FAMILIES)
    assert features.shape == (3, 5, len(feature_names(2)))
    for row in range(3):
        assert list(columns[row]) == sorted(range(len(FAMILIES)), key=lambda column: -summed[row, column])[:5]
        likely = [1 / (1 + math.exp(-value)) for value in summed[row].tolist()]
        for place, column in enumerate(columns[row].tolist()):
            expected = []
            for scores in (*rows.scores, summed):
                higher = sum(value > scores[row, column] for value in scores[row])
                expected += [scores[row, column], math.log(1 + higher), scores[row, column] - max(scores[row])]
            family = [other for other in range(len(FAMILIES)) if FAMILIES[other] == FAMILIES[column]]
            expected += [summed[row, column] - max(summed[row, other] for other in family)]
            expected += [sum(likely[other] for other in family if other != column), sum(likely)]
            expected += [math.log(1 + rows.train_counts[row, column])]
            assert features[row, place] == pytest.approx(np.array(expected), abs=1e-5)


def test_codes_that_are_not_corrected_follow_in_order_and_distance():
    summed = np.array([[5.0, 4.0, 1.0, 0.5, -2.0]], dtype=np.float32)
    scores = with_corrections(summed, np.array([[0, 1]]), np.array([[-3.0, 2.5]], dtype=np.float32))
    assert scores[0].tolist() == [2.0, 6.5, -1.0, -1.5, -4.0]


def interacting(random, num_rows=400):
    """Codes that are true where two parts agree: neither part says anything alone, and no sum does."""
    scores = random.standard_normal((2, num_rows, 8)).astype(np.float32)
    targets = (scores[0] * scores[1] > 0.6) | (random.random((num_rows, 8)) < 0.02)
    return ScoredRows(scores=scores, train_counts=np.full((1, 8), 20)), targets


def test_trees_learn_what_no_sum_can():
    random = np.random.default_rng(0)
    rows, targets = interacting(random)
    fitted = fit_tree_fusion(rows, targets, np.ones(targets.shape, dtype=bool), FAMILIES)
    others, true = interacting(random)
    summed, corrected = (
        mean_average_precision(scores, true) for scores in (weighted_sum(fitted.fusion, others), fitted.scores(others))
    )
    assert corrected > summed + 0.2
    gains = fitted.gains(2)
    assert list(gains) == feature_names(2)
    assert sum(gains.values()) == pytest.approx(1)


def test_rows_are_scored_alike_together_and_alone(monkeypatch):
    rows, targets = interacting(np.random.default_rng(1))
    fitted = fit_tree_fusion(rows, targets, np.ones(targets.shape, dtype=bool), FAMILIES)
    whole = fitted.scores(rows)
    monkeypatch.setattr(fusion_trees, "PAIRS_AT_ONCE", 37 * 8)
    np.testing.assert_array_equal(fitted.scores(rows), whole)
    np.testing.assert_array_equal(fitted.scores(rows.select(slice(3, 4)))[0], whole[3])


def test_pairs_that_are_not_fair_decide_nothing():
    random = np.random.default_rng(3)
    rows, targets = interacting(random)
    fair = random.random(targets.shape) < 0.7
    changed = np.where(fair, targets, ~targets)
    first, second = (fit_tree_fusion(rows, true, fair, FAMILIES).scores(rows) for true in (targets, changed))
    np.testing.assert_allclose(first, second, atol=1e-4)
    with pytest.raises(UserError, match="without any true code"):
        fit_tree_fusion(rows, targets, np.zeros_like(fair), FAMILIES)
