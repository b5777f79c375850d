"""Places of hidden true codes: against a loop, and what chance has."""

import numpy as np
import pytest

from mera.evaluation import bootstrap
from mera.evaluation.hidden_codes import by_code_replicates, chance_replicate, hidden_replicates, hidden_targets


def by_a_loop(scores, targets, seen, hidden):
    values = {}
    for row in range(len(scores)):
        order = sorted(range(scores.shape[1]), key=lambda column: (-scores[row, column], column))
        among = [column for column in order if hidden[column]]
        for column in order:
            if not (targets[row, column] and hidden[column]):
                continue
            is_found = np.isfinite(scores[row, column])
            place = order.index(column) + 1 if is_found else np.inf
            of_code = {
                "recall@20": place <= 20,
                "recall@100": place <= 100,
                "mrr": 1 / place,
                "mrr_among_hidden": is_found / (among.index(column) + 1),
            }
            for prefix in ("", *["new_"] * (not seen[row, column])):
                for key, value in of_code.items():
                    values.setdefault(f"{prefix}{key}", []).append(value)
    return {key: np.mean(of_key) for key, of_key in values.items()}


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_a_loop(seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 30, (50, 130)).astype(np.float32)  # with ties
    scores[generator.random(scores.shape) < 0.05] = -np.inf
    targets, seen = generator.random(scores.shape) < 0.05, generator.random(scores.shape) < 0.3
    hidden = generator.random(130) < 0.1
    weights = bootstrap.patient_weights([str(row // 2) for row in range(50)], samples=5, seed=0)
    replicates = hidden_replicates(hidden_targets(scores, targets, seen, hidden), 50, weights)
    expected = by_a_loop(scores, targets, seen, hidden)
    by_code = {}
    for row, column in zip(*np.nonzero(targets & hidden & ~seen), strict=True):
        among = [c for c in sorted(range(130), key=lambda c: (-scores[row, c], c)) if hidden[c]]
        by_code.setdefault(column, []).append(np.isfinite(scores[row, column]) / (1 + among.index(column)))
    means = by_code_replicates(hidden_targets(scores, targets, seen, hidden), resamples=20, seed=0)
    assert means.shape == (21,)
    assert means[0] == pytest.approx(np.mean([np.mean(values) for values in by_code.values()]))
    assert means[1:].std() > 0
    assert replicates.keys() == expected.keys()
    for key, value in expected.items():
        assert replicates[key].shape == (6,)
        assert replicates[key][0] == pytest.approx(value)


def test_a_random_order_has_what_chance_says():
    generator = np.random.default_rng(0)
    scores, targets = generator.random((4000, 200)), np.zeros((4000, 200), dtype=bool)
    targets[np.arange(4000), generator.integers(0, 20, 4000)] = True
    hidden = np.arange(200) < 20
    places = hidden_targets(scores, targets, np.zeros_like(targets), hidden)
    replicates = hidden_replicates(places, 4000, np.ones((1, 4000), dtype=np.float32))
    chance = chance_replicate(200, 20)
    assert chance["recall@20"] == 0.1
    assert chance["recall@100"] == 0.5
    for key, value in chance.items():
        assert replicates[key][0] == pytest.approx(value, abs=0.03)


def test_without_a_hidden_code_there_is_no_number():
    scores = np.zeros((3, 4))
    targets = np.eye(3, 4, dtype=bool)
    places = hidden_targets(scores, targets, targets, np.zeros(4, dtype=bool))
    replicates = hidden_replicates(places, 3, np.ones((2, 3), dtype=np.float32))
    assert np.isnan(by_code_replicates(places, 4, 0)).all()
    assert all(np.isnan(values).all() for values in replicates.values())
