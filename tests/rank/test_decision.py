"""The EOV cut and the probabilities, fitted on validation."""

import numpy as np
import pytest

from mera.evaluation.metrics import f1, telling_k
from rank.decision import fit_decision_rule, ranking_quality, threshold_record


@pytest.fixture
def validation():
    random = np.random.default_rng(0)
    probability = random.beta(0.3, 2.0, size=(400, 30))
    targets = random.random(probability.shape) < probability
    eov = random.normal(size=400).astype(np.float32)
    scores = (2.0 * np.log(probability / (1 - probability)) + 1.0).astype(np.float32) + eov[:, None]
    return scores, eov, targets, probability


def reached(rule, scores, eov, targets):
    return f1(scores > rule.thresholds(scores, eov)[:, None], targets, "micro")


def test_an_exact_eov_is_kept_and_its_offset_is_the_best(validation):
    """EOV says all of a row's shift, and the scores' log-sum-exp says it with noise."""
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=True, fit_offset=True)
    assert rule.eov_share == 1
    others = [f1(scores > (eov + offset)[:, None], targets, "micro") for offset in np.linspace(-6, 6, 200)]
    assert reached(rule, scores, eov, targets) >= max(others) - 1e-9
    assert reached(rule, scores, eov, targets) > f1(scores > eov[:, None], targets, "micro")


def test_a_noisy_eov_gets_a_smaller_share(validation):
    scores, eov, targets, _ = validation
    noisy = eov + np.random.default_rng(1).normal(scale=3.0, size=len(eov))
    rule = fit_decision_rule(scores, noisy, targets, uses_eov=True, fit_offset=True)
    assert rule.eov_share == 0.25
    alone = [f1(scores > (noisy + offset)[:, None], targets, "micro") for offset in np.linspace(-6, 6, 200)]
    assert reached(rule, scores, noisy, targets) > max(alone) + 0.05


def test_without_a_fitted_offset_the_threshold_is_eov_itself(validation):
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=True, fit_offset=False)
    np.testing.assert_array_equal(rule.thresholds(scores, eov), eov)


def test_without_eov_the_cut_is_one_constant_on_log_probabilities(validation):
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=False, fit_offset=False)
    log_normalisers = np.log(np.exp(scores.astype(np.float64)).sum(axis=1))
    cuts = rule.thresholds(scores, eov) - log_normalisers
    np.testing.assert_allclose(cuts, cuts[0], atol=1e-5)
    np.testing.assert_array_equal(rule.thresholds(scores, eov), rule.thresholds(scores, 2 * eov))


def test_probabilities_are_calibrated(validation):
    scores, eov, targets, probability = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=True, fit_offset=True)
    found = rule.probabilities(scores, eov)
    assert abs(found.mean() - targets.mean()) < 1e-3
    assert np.abs(found - probability).mean() < 0.02


@pytest.mark.parametrize("uses_eov", [True, False])
def test_the_record_says_what_each_threshold_reaches(validation, uses_eov):
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov, fit_offset=True)
    record = threshold_record(rule, scores, eov, targets, uses_eov)
    assert record["validation_micro_f1"] == reached(rule, scores, eov, targets)
    assert record["validation_micro_f1_eov"] == (f1(scores > eov[:, None], targets, "micro") if uses_eov else None)
    log_probs = scores - np.log(np.exp(scores.astype(np.float64)).sum(axis=1, keepdims=True))
    fixed = max(f1(log_probs > cut, targets, "micro") for cut in np.unique(log_probs)[::7])
    assert fixed <= record["validation_micro_f1_fixed"] + 1e-9 < fixed + 0.01


def test_of_few_candidates_the_order_of_the_first_places_chooses():
    """recall@20 of twenty candidates is 1 in any order."""
    assert [telling_k(number) for number in (1, 3, 8, 20, 79, 80, 5000)] == [1, 1, 2, 5, 19, 20, 20]
    targets = np.eye(20, dtype=bool)
    good, bad = targets + 0.0, -(targets + 0.0)
    assert ranking_quality(good, targets)["recall_at_20"] == ranking_quality(bad, targets)["recall_at_20"] == 1
    assert ranking_quality(good, targets)["recall_at_5"] == 1
    assert ranking_quality(bad, targets)["recall_at_5"] < 0.5
    assert set(ranking_quality(np.zeros((2, 90)), np.eye(2, 90, dtype=bool))) == {
        *("recall_at_10", "recall_at_20", "weighted_f1_at_label_count")
    }
