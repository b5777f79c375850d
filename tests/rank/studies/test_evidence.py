"""What may be said of a difference: outcomes by rule, resampling of patients and seeds against loops."""

import numpy as np
import pytest

from mera.report.measures.estimates import Estimate
from rank.studies.evidence import Resampling, claim_sentence, outcome


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.02, "found"),
        (-0.02, -0.001, "the other way round"),
        (-0.004, 0.009, "not found"),
        (-0.004, 0.011, "cannot be seen here"),
        (0.0, 0.004, "not found"),
        (None, None, "cannot be seen here"),
    ],
)
def test_outcomes_follow_from_the_interval(low, high, said):
    difference = Estimate(value=0.003, low=low, high=high)
    assert outcome(difference, 0.01) == said
    if low is not None:
        sentence = claim_sentence("Stage one", difference, 0.01, "recall@20 with minus without", "9 patients")
        assert sentence.startswith(f"Stage one: {said}. Recall@20 with minus without is +0.3 points (95% interval ")
        assert "9 patients" in sentence


def test_models_of_the_same_value_in_every_resample_say_nothing():
    nothing = Estimate(value=0.0, low=0.0, high=0.0)
    assert outcome(nothing, 0.01) == "cannot be seen here"
    sentence = claim_sentence("Stage one", nothing, 0.01, "recall", "here")
    assert sentence.endswith("nothing of the language model was let in, or neither finds any.")


def test_replicates_over_seeds_equal_a_loop():
    draw = np.random.default_rng(3)
    resampling = Resampling.of([f"p{row // 2}" for row in range(20)], num_seeds=3, resamples=40)
    assert resampling.num_patients == 10
    assert resampling.patient_weights.shape == (41, 20)
    np.testing.assert_array_equal(resampling.seed_weights.sum(axis=1), 3)
    replicates = draw.random((3, 41))
    expected = []
    for resample in range(41):
        values = [
            replicates[seed, resample] for seed in range(3) for _ in range(int(resampling.seed_weights[resample, seed]))
        ]
        expected.append(np.mean(values))
    np.testing.assert_allclose(resampling.over_seeds(replicates), expected)
    assert resampling.over_seeds(replicates)[0] == pytest.approx(replicates[:, 0].mean())


def test_a_difference_that_depends_on_the_seed_is_less_sure():
    """Three seeds that differ by as much as the effect: the interval over patients alone would call it sure."""
    resampling = Resampling.of([str(row) for row in range(400)], num_seeds=3, resamples=500)
    noise = 0.001 * np.random.default_rng(0).standard_normal((3, 501))
    same = resampling.difference(np.full((3, 501), 0.55) + noise, np.full((3, 501), 0.5))
    by_seed = np.array([0.70, 0.55, 0.40])[:, None] + noise
    different = resampling.difference(by_seed, np.full((3, 501), 0.5))
    assert outcome(same, 0.01) == "found"
    assert outcome(different, 0.01) == "cannot be seen here"
    assert same.value == pytest.approx(different.value, abs=1e-6)
