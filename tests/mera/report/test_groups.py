"""Recall within a group: an interval where every resample is the same, as in a group of five."""

import numpy as np
import pytest

from mera.report.measures.estimates import Estimate, estimate


@pytest.mark.parametrize("patients", [1, 5, 40])
@pytest.mark.parametrize("found", [0.0, 1.0])
def test_all_or_none_has_the_exact_interval(found, patients):
    share = estimate(np.full(100, found), units=patients)
    furthest = 1 - 0.025 ** (1 / patients)
    expected = (1.0, 1 - furthest, 1.0) if found else (0.0, 0.0, furthest)
    assert (share.value, share.low, share.high) == pytest.approx(expected)


def test_others_have_that_of_the_resamples_and_an_empty_group_none():
    share = estimate(np.array([0.5, *np.linspace(0.4, 0.6, 101)]), units=5)
    assert (share.low, share.high) == pytest.approx((0.405, 0.595))
    assert estimate(np.full(10, np.nan), units=0).low is None


def test_what_is_the_same_in_every_resample_has_no_interval():
    """One patient of whom half is found, or many of whom half is found each: another patient may have any value."""
    for replicates in (np.full(100, 0.5), np.array([0.5]), np.array([0.5, np.nan, 0.5, 0.5])):
        assert estimate(replicates, units=1) == estimate(replicates) == Estimate(value=0.5, low=None, high=None)
