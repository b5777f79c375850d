"""What a random order of the candidates reaches: against orders that were really drawn."""

import numpy as np
import pytest

from mera.evaluation.metrics import recall_at_k
from mera.report.measures.candidates import random_recall


def drawn(scores, targets, k, times=3000):
    """Mean recall@k of random orders of each row's candidates."""
    generator = np.random.default_rng(0)
    each = [
        recall_at_k(np.where(np.isneginf(scores), -np.inf, generator.random(scores.shape)), targets, k)
        for _ in range(times)
    ]
    return np.mean(each)


def test_by_hand():
    scores, targets = np.zeros((2, 40)), np.zeros((2, 40), dtype=bool)
    targets[0, :4] = targets[1, 0] = True
    assert random_recall(scores, targets, 20) == 0.5
    scores[0, :2] = -np.inf  # half of the first row's true codes: 2/4 of 20/38, and 20/40 of the other
    assert random_recall(scores, targets, 20) == pytest.approx((0.5 * 20 / 38 + 0.5) / 2)
    scores[1, 30:] = -np.inf
    assert random_recall(scores, targets, 35) == pytest.approx((0.5 * 35 / 38 + 1.0) / 2)
    assert np.isnan(random_recall(scores, np.zeros_like(targets), 20))
    assert random_recall(np.full((1, 3), -np.inf), np.ones((1, 3), dtype=bool), 20) == 0.0


@pytest.mark.parametrize("seed", range(2))
def test_rows_with_candidates_and_true_codes_of_their_own(seed):
    generator = np.random.default_rng(seed)
    targets = generator.random((12, 30)) < generator.random((12, 1)) ** 3
    targets[0] = False
    scores = np.where(generator.random((12, 30)) < generator.random((12, 1)), -np.inf, 0.0)
    assert random_recall(scores, targets, 6) == pytest.approx(drawn(scores, targets, 6), abs=0.005)
