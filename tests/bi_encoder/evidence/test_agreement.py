"""Attention against annotated characters: by hand, by a loop over characters, and invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bi_encoder.evidence.agreement import Agreement, agreement, gold_shares, mean_agreement

OFFSETS = np.array([[0, 0], [0, 4], [5, 9], [9, 12], [13, 20], [0, 0]])
"""[CLS] four words [SEP]"""


def test_by_hand():
    weights = np.array([0.0, 0.1, 0.2, 0.6, 0.1, 0.0])
    found = agreement(weights, OFFSETS, [(5, 11)])
    assert found.mass == pytest.approx(0.2 + 0.6 * 2 / 3)
    assert found.mass_by_chance == pytest.approx((1 + 2 / 3) / 4)
    assert (found.hit, found.hit_by_chance) == (1.0, 0.5)
    elsewhere = agreement(weights, OFFSETS, [(13, 20)])
    assert (elsewhere.mass, elsewhere.hit) == (pytest.approx(0.1), 0.0)


def test_weight_on_special_tokens_is_no_evidence_and_no_chance():
    weights = np.array([9.0, 0.1, 0.2, 0.6, 0.1, 9.0])
    assert agreement(weights, OFFSETS, [(5, 11)]) == agreement(weights[1:5], OFFSETS[1:5], [(5, 11)])


def test_equal_weights_are_chance():
    found = agreement(np.full(6, 0.25), OFFSETS, [(0, 4), (9, 12)])
    assert found.mass == pytest.approx(found.mass_by_chance)


def test_spans_beyond_what_was_read_are_told_apart_from_misses():
    assert agreement(np.ones(6), OFFSETS, [(100, 120)]) is None
    assert agreement(np.ones(6), OFFSETS, []) is None
    with pytest.raises(ValueError, match="no annotated evidence in what the model read"):
        mean_agreement([])


def test_means_and_multiples_of_chance():
    ones = [
        Agreement(mass=0.6, mass_by_chance=0.1, hit=1.0, hit_by_chance=0.2),
        Agreement(mass=0.2, mass_by_chance=0.1, hit=0.0, hit_by_chance=0.2),
    ]
    found = mean_agreement(ones)
    assert (found["mass"], found["hit"], found["pairs"]) == (pytest.approx(0.4), 0.5, 2)
    assert (found["mass_over_chance"], found["hit_over_chance"]) == (pytest.approx(4.0), pytest.approx(2.5))


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_shares_equal_a_loop_over_characters(lengths, spans):
    ends = np.cumsum(lengths)
    offsets = np.stack([ends - lengths, ends], axis=1)
    spans = [(start, start + length) for start, length in spans]
    gold = {character for first, last in spans for character in range(first, last)}
    for share, (start, end) in zip(gold_shares(offsets, spans), offsets.tolist(), strict=True):
        expected = len(gold & set(range(start, end))) / (end - start) if end > start else 0.0
        assert share == pytest.approx(expected)
