"""What may be said of a difference: outcomes by rule, resampling of patients and seeds against loops."""

import numpy as np
import polars as pl
import pytest

from mera.report.measures.estimates import Estimate
from mera.runs.predictions import Predictions
from rank.studies.evidence import NewHiddenCases, Resampling, claim_sentence, outcome


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


def test_one_true_code_says_nothing_of_others_whatever_its_seeds_say():
    """A hidden code whose place three seeds agree on, or not: no interval, no claim, and its number is named."""
    resampling = Resampling.of([str(row) for row in range(30)], num_seeds=3, resamples=50)
    of_one_code = np.array([[0.25], [0.2], [0.5]])
    of_one_patient = np.where(np.arange(51) % 3 == 1, np.nan, of_one_code)
    for replicates in (of_one_code, of_one_patient):
        for difference in (resampling.value(replicates), resampling.difference(replicates, np.ones_like(replicates))):
            assert difference.low is None
            assert difference.high is None
            assert outcome(difference, 0.01) == "cannot be seen here"
    assert resampling.value(of_one_code).value == pytest.approx(0.95 / 3)
    assert outcome(Estimate(value=-0.19, low=-0.19, high=-0.19), 0.01) == "cannot be seen here"
    said = claim_sentence("Stage one", Estimate(value=-0.19, low=None, high=None), 0.01, "MRR", "over 1 hidden code")
    assert said == (
        "Stage one: cannot be seen here. MRR is −19.0 points (no interval; over 1 hidden code): there are fewer than "
        "two to draw from, or all have the same value, which says nothing of others."
    )


def test_new_hidden_cases_are_counted_by_code_and_by_patient():
    draw = np.random.default_rng(2)
    targets, seen = draw.random((30, 12)) < 0.2, draw.random((30, 12)) < 0.5
    hidden = np.arange(12) % 3 == 0
    run = Predictions(
        scores=np.zeros((30, 12), dtype=np.float32),
        targets=targets,
        seen=seen,
        thresholds=np.zeros(30, dtype=np.float32),
        example_ids=[str(row) for row in range(30)],
        patient_ids=[str(row // 4) for row in range(30)],
        codes=pl.DataFrame({"code": [str(column) for column in range(12)], "hidden": hidden}),
        manifest={},
    )
    cases = [(row, column) for row in range(30) for column in range(0, 12, 3) if targets[row, column]]
    new = [(row, column) for row, column in cases if not seen[row, column]]
    assert 0 < len(new) < len(cases)
    assert NewHiddenCases.of(run) == NewHiddenCases(
        codes=len({column for _, column in new}), patients=len({row // 4 for row, _ in new})
    )


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
