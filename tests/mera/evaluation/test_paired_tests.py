"""Many paired tests at once against one after the other, to the last bit."""

import itertools

import numpy as np
import pytest

from mera.evaluation import bootstrap, paired_tests


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("samples", [1, 2, 60, 1000])
@pytest.mark.parametrize("least", [0.0, 0.7])
def test_they_equal_single_tests_to_the_last_bit(seed, samples, least, monkeypatch):
    generator = np.random.default_rng(seed)
    replicates = generator.standard_normal((7, 1 + samples)) * generator.gamma(1, 1, (7, 1)) + 5
    replicates[1] = replicates[0]  # no difference in any resample
    replicates[2] = replicates[0] + 0.25  # the same one in all
    replicates[3, ::5] = np.nan
    replicates[4, 0] = np.nan
    pairs = list(itertools.combinations(range(7), 2))
    least_errors = least * generator.random(len(pairs))
    monkeypatch.setattr(paired_tests, "PAIRS_AT_ONCE", 4)
    tests = paired_tests.paired_tests(replicates, pairs, 12, least_errors)
    for place, (first, second) in enumerate(pairs):
        difference = replicates[first] - replicates[second]
        low, high = bootstrap.interval(difference, least_error=least_errors[place])
        p = bootstrap.paired_p_value(replicates[first], replicates[second], 12, least_errors[place])
        found = [values[place] for values in (tests.differences, tests.low, tests.high, tests.p)]
        np.testing.assert_array_equal(found, [difference[0], low, high, p])


def test_one_patient_has_an_interval_and_no_test():
    replicates = np.random.default_rng(0).standard_normal((2, 30))
    tests = paired_tests.paired_tests(replicates, [(0, 1)], 1)
    assert np.isnan(tests.p).all()
    assert (tests.low < tests.differences).all()


def test_nothing_to_compare():
    assert len(paired_tests.paired_tests(np.ones((1, 5)), [], 10).p) == 0
