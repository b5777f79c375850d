"""The EOV cut and the probabilities, fitted on validation."""

import numpy as np
import pytest

from mera.metrics import f1
from rank.decision import fit_decision_rule


@pytest.fixture
def validation():
    random = np.random.default_rng(0)
    probability = random.beta(0.3, 2.0, size=(400, 30))
    targets = random.random(probability.shape) < probability
    eov = random.normal(size=400).astype(np.float32)
    scores = (2.0 * np.log(probability / (1 - probability)) + 1.0).astype(np.float32) + eov[:, None]
    return scores, eov, targets, probability


def test_fitted_offset_is_the_best_constant_on_eov(validation):
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=True, fit_offset=True)
    reached = f1(scores > rule.thresholds(eov)[:, None], targets, "micro")
    others = [f1(scores > (eov + offset)[:, None], targets, "micro") for offset in np.linspace(-6, 6, 200)]
    assert reached >= max(others) - 1e-9
    assert reached > f1(scores > eov[:, None], targets, "micro")


def test_without_a_fitted_offset_the_threshold_is_eov_itself(validation):
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=True, fit_offset=False)
    np.testing.assert_array_equal(rule.thresholds(eov), eov)


def test_without_eov_the_threshold_is_one_constant(validation):
    scores, eov, targets, _ = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=False, fit_offset=False)
    assert len(set(rule.thresholds(eov).tolist())) == 1


def test_probabilities_are_calibrated(validation):
    scores, eov, targets, probability = validation
    rule = fit_decision_rule(scores, eov, targets, uses_eov=True, fit_offset=True)
    found = rule.probabilities(scores, eov)
    assert abs(found.mean() - targets.mean()) < 1e-3
    assert np.abs(found - probability).mean() < 0.02
