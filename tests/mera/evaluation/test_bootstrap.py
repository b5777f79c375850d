"""The vectorised bootstrap against resamples that are really built, and tests of the tests."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse
import scipy.stats

from mera.evaluation import bootstrap, metrics


@pytest.fixture
def case():
    """30 rows of 12 patients, 15 codes; scores that know a little, ties among them; predictions by a threshold."""
    generator = np.random.default_rng(3)
    targets = generator.random((30, 15)) < 0.25
    targets[0] = False
    targets[:, 0] = False
    scores = np.round(targets + generator.standard_normal((30, 15)), 1).astype(np.float32)
    patients = [f"p{number}" for number in generator.integers(0, 12, 30)]
    return scores, targets, scores > 0.7, patients


def resampled(weights: np.ndarray, *matrices: np.ndarray):
    """Each resample as real rows, repeated as often as their weight says."""
    for weight in weights.astype(int):
        yield tuple(np.repeat(matrix, weight, axis=0) for matrix in matrices)


def test_rows_of_a_patient_are_drawn_together_and_the_first_replicate_is_the_data():
    weights = bootstrap.patient_weights(["a", "b", "a", "c"], samples=50, seed=0)
    assert weights.shape == (51, 4)
    assert (weights[0] == 1).all()
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert not np.array_equal(weights[:, 0], weights[:, 1])
    assert np.array_equal(weights, bootstrap.patient_weights(["a", "b", "a", "c"], samples=50, seed=0))
    assert not np.array_equal(weights, bootstrap.patient_weights(["a", "b", "a", "c"], samples=50, seed=1))


def test_replicates_equal_metrics_of_built_resamples(case):
    scores, targets, predicted, patients = case
    weights = bootstrap.patient_weights(patients, samples=25, seed=0)
    ranking = metrics.rank_targets(scores, targets)
    per_code = bootstrap.code_f1(weights, scipy.sparse.csr_array(predicted), scipy.sparse.csr_array(targets))
    found = {
        "recall": bootstrap.row_mean(weights, metrics.row_recall(ranking, 5)),
        "map": bootstrap.row_mean(weights, metrics.row_average_precision(ranking)),
        "micro": bootstrap.micro_f1(weights, predicted, targets),
        "macro": per_code["macro"],
        "weighted": per_code["weighted"],
        "macro auc": bootstrap.macro_roc_auc(weights, scores, targets),
        "micro auc": bootstrap.micro_roc_auc(weights, scores, targets),
    }
    for index, (s, t, p) in enumerate(resampled(weights, scores, targets, predicted)):
        expected = {
            "recall": metrics.recall_at_k(s, t, 5),
            "map": metrics.mean_average_precision(s, t),
            "micro": metrics.f1(p, t, "micro"),
            "macro": metrics.f1(p, t, "macro"),
            "weighted": metrics.f1(p, t, "weighted"),
            "macro auc": metrics.roc_auc(s, t, "macro"),
            "micro auc": metrics.roc_auc(s, t, "micro"),
        }
        assert {name: values[index] for name, values in found.items()} == pytest.approx(expected, rel=1e-6)


def test_blocks_change_nothing(case, monkeypatch):
    scores, targets, predicted, patients = case
    weights = bootstrap.patient_weights(patients, samples=25, seed=0)
    sparse = scipy.sparse.csr_array(predicted), scipy.sparse.csr_array(targets)
    whole = bootstrap.code_f1(weights, *sparse)["macro"], bootstrap.macro_roc_auc(weights, scores, targets)
    monkeypatch.setattr(bootstrap, "CODES_BLOCK_ELEMENTS", 3 * len(weights))
    monkeypatch.setattr(bootstrap, "TARGETS_BLOCK", 10)
    assert bootstrap.code_f1(weights, *sparse)["macro"] == pytest.approx(whole[0])
    assert bootstrap.macro_roc_auc(weights, scores, targets) == pytest.approx(whole[1])


def test_interval_is_the_percentiles_around_the_observed_value():
    replicates = np.concatenate([[60.0], np.arange(101.0), [np.nan]])
    assert bootstrap.interval(replicates) == pytest.approx((60 - 47.5, 60 + 47.5))
    assert all(map(math.isnan, bootstrap.interval(np.array([0.5, np.nan]))))
    assert all(map(math.isnan, bootstrap.interval(np.array([np.nan, 0.5, 0.6]))))


def test_interval_of_macro_f1_holds_its_value_where_most_codes_are_rare():
    generator = np.random.default_rng(0)
    targets = generator.random((200, 300)) < np.linspace(0.2, 0.001, 300) ** 1.5
    predicted = targets & (np.arange(300) < 60) & (generator.random(targets.shape) < 0.7)
    weights = bootstrap.patient_weights([str(row) for row in range(200)], samples=200, seed=0)
    sparse = scipy.sparse.csr_array(predicted), scipy.sparse.csr_array(targets)
    macro = bootstrap.code_f1(weights, *sparse)["macro"]
    assert np.quantile(macro[1:], 0.025) > macro[0]
    low, high = bootstrap.interval(macro)
    assert low < macro[0] < high


def test_interval_agrees_with_the_normal_one_for_a_mean():
    values = np.random.default_rng(0).normal(size=400)
    weights = bootstrap.patient_weights([str(row) for row in range(400)], samples=2000, seed=0)
    low, high = bootstrap.interval(bootstrap.row_mean(weights, values))
    half_width = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half_width, values.mean() + half_width), abs=0.01)


def test_patients_with_many_rows_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    as_patients = bootstrap.patient_weights([str(row // 10) for row in range(400)], samples=500, seed=0)
    as_rows = bootstrap.patient_weights([str(row) for row in range(400)], samples=500, seed=0)
    widths = [np.ptp(bootstrap.interval(bootstrap.row_mean(weights, values))) for weights in (as_patients, as_rows)]
    assert widths[0] > 2 * widths[1]


def test_p_value_equals_the_paired_t_test_for_a_mean():
    generator = np.random.default_rng(1)
    first, noise = generator.normal(size=300), generator.normal(loc=0.12, size=300)
    weights = bootstrap.patient_weights([str(row) for row in range(300)], samples=4000, seed=0)
    found = bootstrap.paired_p_value(
        bootstrap.row_mean(weights, first), bootstrap.row_mean(weights, first - noise), num_patients=300
    )
    assert found == pytest.approx(scipy.stats.ttest_1samp(noise, 0).pvalue, rel=0.1)


def test_p_values_of_equal_models_are_below_5_percent_in_about_5_percent():
    generator = np.random.default_rng(2)
    weights = bootstrap.patient_weights([str(row) for row in range(80)], samples=300, seed=0)
    p_values = []
    for _ in range(400):
        first, second = (bootstrap.row_mean(weights, generator.random(80)) for _ in range(2))
        p_values.append(bootstrap.paired_p_value(first, second, num_patients=80))
    assert 0.025 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_p_value_of_the_edges():
    same = np.array([0.5, 0.4, 0.6])
    assert bootstrap.paired_p_value(same, same, num_patients=10) == 1.0
    assert bootstrap.paired_p_value(same + 0.1, same, num_patients=2) == 0.5, "2 of the 4 ways to turn two signs"
    assert bootstrap.paired_p_value(same + 1e-16, same, num_patients=10) == 1.0, "but for rounding"
    assert math.isnan(bootstrap.paired_p_value(same, same, num_patients=1))
    assert math.isnan(bootstrap.paired_p_value(same, np.full(3, np.nan), num_patients=10))


@pytest.mark.parametrize("patients", [2, 3, 8])
def test_where_all_patients_differ_alike_the_test_turns_their_signs(patients):
    weights = bootstrap.patient_weights([str(row) for row in range(patients)], samples=50, seed=0)
    first, second = (bootstrap.row_mean(weights, np.full(patients, value)) for value in (0.75, 0.5))
    means = [abs(np.mean(signs)) for signs in itertools.product((0.25, -0.25), repeat=patients)]
    naive = np.mean([mean >= 0.25 for mean in means])
    assert bootstrap.paired_p_value(first, second, num_patients=patients) == naive == 2 * 0.5**patients


def test_whether_resamples_vary():
    assert not bootstrap.varies(np.array([[0.5], [0.7]])), "one patient has no resamples"
    assert not bootstrap.varies(np.array([[0.5, 0.5, np.nan, 0.5 + 1e-16], [0.7, np.nan, np.nan, np.nan]]))
    assert bootstrap.varies(np.array([[0.5, 0.5, np.nan, 0.5], [0.7, 0.7, 0.6, np.nan]]))


def test_all_or_none_of_some_patients_has_the_exact_interval_and_other_equal_resamples_none():
    ones = np.ones(200)
    assert bootstrap.interval(ones, units=5) == pytest.approx((0.025 ** (1 / 5), 1.0))
    assert bootstrap.interval(np.zeros(200), units=5) == pytest.approx((0.0, 1 - 0.025 ** (1 / 5)))
    for replicates, units in ((ones, None), (np.full(200, 0.5), 5), (np.array([0.5, 0.5, np.nan, 0.5]), 5)):
        assert np.isnan(bootstrap.interval(replicates, units=units)).all()


def test_holm_on_a_hand_computed_family():
    # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, then never below the one before.
    assert bootstrap.holm(np.array([0.04, 0.01, np.nan, 0.03, 0.02]))[[0, 1, 3, 4]] == pytest.approx(
        [0.06, 0.04, 0.06, 0.06]
    )
    assert math.isnan(bootstrap.holm(np.array([0.04, np.nan]))[1])
    assert bootstrap.holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="at least 1 sample, got 0"):
        bootstrap.patient_weights(["a"], samples=0, seed=0)
    with pytest.raises(ValueError, match="there is no example"):
        bootstrap.patient_weights([], samples=10, seed=0)


def test_least_error_stretches_intervals_and_weakens_tests_only_where_it_is_larger():
    generator = np.random.default_rng(4)
    replicates = np.concatenate([[0.5], 0.5 + 0.01 * generator.standard_normal(2000)])
    narrow, same = bootstrap.interval(replicates), bootstrap.interval(replicates, least_error=0.005)
    wide = bootstrap.interval(replicates, least_error=0.03)
    assert same == narrow
    assert np.ptp(wide) == pytest.approx(3 * np.ptp(narrow), rel=0.05)
    zeros = np.zeros_like(replicates)
    assert bootstrap.paired_p_value(replicates, zeros, 100, least_error=0.25) == pytest.approx(
        2 * scipy.stats.t.sf(2, 99), rel=1e-6
    )
    assert bootstrap.paired_p_value(replicates, zeros, 100) == bootstrap.paired_p_value(replicates, zeros, 100, 0.005)


def test_least_error_stands_for_that_of_resamples_which_do_not_differ():
    replicates = np.full(200, 0.1)
    assert np.isnan(bootstrap.interval(replicates)).all(), "without one no error is known"
    low, high = bootstrap.interval(replicates, least_error=0.2)
    assert (low, high) == pytest.approx((0.1 - 1.96 * 0.2, 0.1 + 1.96 * 0.2), abs=1e-3)
    p = bootstrap.paired_p_value(replicates, np.zeros(200), 1000, least_error=0.2)
    assert p == pytest.approx(2 * scipy.stats.norm.sf(0.5), abs=1e-3)


def test_mean_error_by_hand():
    assert bootstrap.mean_error(np.array([1.0, np.nan, 3.0])) == pytest.approx(1.0)
    assert bootstrap.mean_error(np.array([np.nan, 3.0])) == 0.0


def test_several_means_and_ratios_in_one_product(case):
    scores, targets, _, patients = case
    weights = bootstrap.patient_weights(patients, samples=9, seed=0)
    values = np.where(targets, scores, np.nan)
    together = bootstrap.row_mean(weights, values)
    assert together.shape == (10, 15)
    for column in range(15):
        assert together[:, column] == pytest.approx(bootstrap.row_mean(weights, values[:, column]), nan_ok=True)


@pytest.mark.parametrize(("patients", "samples"), [(["a"], 200), (["a", "a", "a"], 200), (["a", "b"], 1)])
def test_without_two_resamples_of_two_patients_there_is_no_interval(patients, samples):
    weights = bootstrap.patient_weights(patients, samples, seed=0)
    values = bootstrap.row_mean(weights, np.linspace(0.2, 0.8, len(patients)))
    assert values[0] == pytest.approx(np.linspace(0.2, 0.8, len(patients)).mean())
    assert np.isnan(bootstrap.interval(values)).all()
    assert np.isnan(bootstrap.paired_p_value(values, values / 2, num_patients=len(set(patients))))
