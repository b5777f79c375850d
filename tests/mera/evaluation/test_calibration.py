"""Platt's sigmoid against scikit-learn's logistic regression, and at its edges."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mera.evaluation import calibration
from mera.evaluation.calibration import fit_platt


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-4, 0.0), (300.0, -900.0)])
def test_equals_logistic_regression_whatever_the_scale_of_the_scores(scale, shift):
    generator = np.random.default_rng(0)
    margins = generator.standard_normal((200, 40)) - 2
    targets = generator.random(margins.shape) < 1 / (1 + np.exp(-(1.7 * margins + 0.3)))
    found = fit_platt(scale * margins + shift, targets)
    expected = LogisticRegression(C=np.inf, tol=1e-10).fit(margins.reshape(-1, 1), targets.ravel())
    # Platt's smoothed targets move the optimum a little.
    assert found["slope"] * scale == pytest.approx(expected.coef_[0, 0], rel=0.02)
    assert found["intercept"] + found["slope"] * shift == pytest.approx(expected.intercept_[0], abs=0.05)


def test_few_examples_are_no_certainty_however_well_separated():
    """Of P true margins that are all above N others the likeliest probabilities are Platt's targets."""
    for true, others in ((5, 15), (50, 1000)):
        margins = np.array([[1.0] * true + [-1.0] * others])
        found = fit_platt(margins, margins > 0)
        probabilities = 1 / (1 + np.exp(-(found["slope"] * np.array([1, -1]) + found["intercept"])))
        assert probabilities == pytest.approx([(true + 1) / (true + 2), 1 / (others + 2)], rel=1e-3)


def test_of_many_rows_some_of_everywhere_are_read(monkeypatch):
    """The first half is of a hospital with a third of the other's true codes."""
    generator = np.random.default_rng(0)
    margins = generator.standard_normal((400, 40)) - 2
    log_odds = margins + np.repeat([-1.0, 0.0], 200)[:, None]
    targets = generator.random(margins.shape) < 1 / (1 + np.exp(-log_odds))
    whole = fit_platt(margins, targets)
    monkeypatch.setattr(calibration, "MAX_FITTED_SCORES", 200 * 40)
    found = fit_platt(margins, targets)
    assert found["intercept"] == pytest.approx(whole["intercept"], abs=0.2)
    assert found["intercept"] > fit_platt(margins[:200], targets[:200])["intercept"] + 0.3


def test_separated_margins_have_a_finite_slope():
    margins = np.linspace(-1, 1, 100).reshape(10, 10)
    found = fit_platt(margins, margins > 0.5)
    assert 0 < found["slope"] < 50
    boundary = (margins[margins > 0.5].min() + margins[margins <= 0.5].max()) / 2
    assert -found["intercept"] / found["slope"] == pytest.approx(boundary, abs=0.05)


def test_nothing_to_fit():
    assert fit_platt(np.array([[0.0, 1.0]]), np.array([[False, False]])) is None
    assert fit_platt(np.ones((2, 2)), np.eye(2, dtype=bool)) is None
