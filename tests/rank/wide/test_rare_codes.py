"""Rare codes of the last visit move up, and what is predicted stays."""

import numpy as np
import pytest

from rank.decision import order_quality
from rank.wide.rare_codes import STRENGTHS, fit_rare_bonus, move_up, rare_bonus
from rank.wide.recurrence import seen_codes

NUM_CODES = 30
COLUMN = {str(code): code for code in range(NUM_CODES)}


def rare_codes_recur(strength):
    """Scores that rank perfectly once `strength` x rarity is added to the last visit's codes; 30 codes, one target."""
    draw = np.random.default_rng(1)
    train_counts = np.geomspace(1, 5000, NUM_CODES).round().astype(int)
    rarity = np.log((train_counts.max() + 1) / (train_counts + 1))
    targets, seen = np.zeros((300, NUM_CODES), dtype=bool), []
    scores = draw.normal(scale=0.01, size=targets.shape).astype(np.float32)
    for row in range(300):
        last, other = draw.choice(NUM_CODES, size=2, replace=False)
        seen.append(seen_codes([{"codes": [str(last)]}], COLUMN))
        wanted = last if row % 2 else other
        targets[row, wanted] = True
        scores[row, wanted] += 0.3
        scores[row, last] -= strength * rarity[last]
    return scores, seen, targets, train_counts


def by_hand(scores, threshold, last, bonus):
    """One row: the codes of each side in their order with the bonus, given that side's scores from the largest down."""
    moved = {}
    for side in (True, False):
        columns = [c for c in range(len(scores)) if (scores[c] > threshold) == side]
        order = sorted(columns, key=lambda c: -(scores[c] + (bonus[c] if c in last else 0)))
        moved |= dict(zip(order, sorted((scores[c] for c in columns), reverse=True), strict=True))
    return [moved[c] for c in range(len(scores))]


def visits_and_scores():
    draw = np.random.default_rng(3)
    histories = [[[str(c) for c in draw.choice(NUM_CODES, size=6)] for _ in range(2)] for _ in range(40)]
    seen = [seen_codes([{"codes": visit} for visit in history], COLUMN) for history in histories]
    last = [{int(code) for code in history[-1]} for history in histories]
    return draw.normal(size=(40, NUM_CODES)).astype(np.float32), draw.normal(size=40), seen, last


def test_codes_change_places_on_their_side_alone():
    scores, thresholds, seen, last = visits_and_scores()
    bonus = np.random.default_rng(4).uniform(0, 2, size=NUM_CODES).astype(np.float32)
    moved = move_up(scores, thresholds, seen, bonus)
    assert moved.tolist() == [by_hand(*row, bonus) for row in zip(scores, thresholds, last, strict=True)]
    assert (moved != scores).any(axis=1).all()
    np.testing.assert_array_equal(moved > thresholds[:, None], scores > thresholds[:, None])
    np.testing.assert_array_equal(np.sort(moved, axis=1), np.sort(scores, axis=1))


def test_without_a_bonus_or_a_last_visit_nothing_moves():
    scores, thresholds, seen, _ = visits_and_scores()
    np.testing.assert_array_equal(move_up(scores, thresholds, seen, np.zeros(NUM_CODES)), scores)
    np.testing.assert_array_equal(
        move_up(scores, thresholds, [seen_codes([], COLUMN)] * 40, np.ones(NUM_CODES)), scores
    )


def test_the_most_frequent_code_has_no_bonus_and_the_rarest_the_largest():
    np.testing.assert_allclose(rare_bonus(np.array([99, 9, 0]), 0.5), 0.5 * np.log([1, 10, 100]), rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_the_bonus_is_what_validation_wants(strength):
    scores, seen, targets, train_counts = rare_codes_recur(strength)
    thresholds = np.full(300, 10.0)  # nothing is predicted: all codes are on one side
    found = fit_rare_bonus(scores, thresholds, seen, train_counts, lambda moved: order_quality(moved, targets))
    np.testing.assert_array_equal(found, rare_bonus(train_counts, strength))
    qualities = {
        tried: order_quality(move_up(scores, thresholds, seen, rare_bonus(train_counts, tried)), targets)
        for tried in STRENGTHS
    }
    assert max(qualities, key=qualities.get) == strength
