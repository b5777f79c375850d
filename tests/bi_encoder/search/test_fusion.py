"""Reciprocal rank fusion against its formula in loops."""

import numpy as np
import pytest

from bi_encoder.search.fusion import reciprocal_ranks


def test_equals_the_sum_of_reciprocal_places():
    generator = np.random.default_rng(0)
    rankings = [generator.permutation(9)[:count] for count in (9, 4, 0)]
    expected = [
        sum(61 / (60 + 1 + list(ranking).index(code)) for ranking in rankings if code in ranking) / 3
        for code in range(9)
    ]
    assert reciprocal_ranks(rankings, 9) == pytest.approx(expected)


def test_first_in_every_ranking_is_one_and_nowhere_is_zero():
    scores = reciprocal_ranks([np.array([2, 0]), np.array([2])], 4)
    assert (scores[2], scores[1]) == (1, 0)
    assert (reciprocal_ranks([], 3) == 0).all()
