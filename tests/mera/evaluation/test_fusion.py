"""Fusing scores: loss and fused scores against loops, the gradient against differences, what the weights must do."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, fair_candidates, frequency_group
from mera.evaluation.fusion import (
    Calibration,
    Fusion,
    fit_fusion,
    logistic_loss,
    patient_folds,
    sample_pairs,
    variance_shares,
)
from mera.evaluation.metrics import mean_average_precision
from mera.system.errors import UserError


@pytest.fixture
def pairs():
    """Parameters, features, groups, true, weights of 23 pairs with 3 features and 4 groups."""
    random = np.random.default_rng(5)
    return (
        random.standard_normal(7),
        random.standard_normal((23, 3)),
        random.integers(0, 4, 23),
        np.arange(23) % 5 == 0,
        random.uniform(0.5, 3, 23),
    )


def made_up(random, rows=300, codes=40):
    """Targets (N, C) of known log-odds, and train counts (C,)."""
    log_odds = 2 * random.standard_normal((rows, codes)) - 2.5
    return log_odds, random.random((rows, codes)) < 1 / (1 + np.exp(-log_odds)), np.arange(codes) * 5


def test_the_loss_is_that_of_a_loop_over_pairs(pairs):
    parameters, features, groups, true, weights = pairs
    loss = total = 0.0
    for row, group, is_true, weight in zip(features, groups, true, weights, strict=True):
        logit = sum(a * b for a, b in zip(parameters[:3], row, strict=True)) + parameters[3 + group]
        probability = 1 / (1 + math.exp(-logit))
        loss -= weight * math.log(probability if is_true else 1 - probability)
        total += weight if is_true else 0
    mean = sum(parameters[3:]) / 4
    squares = sum(w**2 for w in parameters[:3]) + sum((o - mean) ** 2 for o in parameters[3:])
    assert logistic_loss(*pairs, penalty=0.07)[0] == pytest.approx(loss / total + 0.07 * squares)


def test_the_gradient_is_that_of_differences(pairs):
    parameters, *others = pairs
    _, gradient = logistic_loss(parameters, *others, penalty=0.07)
    differences = approx_fprime(parameters, lambda at: logistic_loss(at, *others, penalty=0.07)[0], 1e-7)
    assert gradient == pytest.approx(differences, abs=1e-5)


def test_without_a_feature_that_tells_a_pair_costs_the_log_of_2():
    loss, _ = logistic_loss(np.zeros(2), np.ones((6, 1)), np.zeros(6, dtype=int), np.arange(6) < 3, np.ones(6))
    assert loss == pytest.approx(2 * math.log(2))  # as many false pairs as true ones, by which it is divided


def test_fused_scores_are_those_of_a_loop_over_codes():
    random = np.random.default_rng(7)
    calibrations = tuple(
        Calibration(knot=knot, scale=scale, below=below, above=above, intercept=intercept)
        for knot, scale, below, above, intercept in random.uniform(0.2, 2, (3, 5))
    )
    fusion = Fusion(calibrations=calibrations, weights=random.uniform(0, 2, 3), offsets=random.standard_normal(4))
    scores, counts = random.standard_normal((3, 5, 6)), np.array([0, 1, 10, 11, 100, 101])
    fused = sum(fusion.part(number, part) for number, part in enumerate(scores)) + fusion.of_codes(counts)
    labels = [label for _, label in FREQUENCY_GROUPS]
    for row in range(5):
        for column, count in enumerate(counts):
            expected = fusion.offsets[labels.index(frequency_group(count))]
            for weight, line, part in zip(fusion.weights, calibrations, scores, strict=True):
                distance = (part[row, column] - line.knot) / line.scale
                slope = line.below if distance < 0 else line.above
                expected += weight * (line.intercept + slope * distance)
            assert fused[row, column] == pytest.approx(expected)


def test_parts_of_other_scales_are_weighed_by_what_they_know():
    random = np.random.default_rng(1)
    log_odds, targets, counts = made_up(random)
    parts = [
        1000 * (log_odds + random.standard_normal(log_odds.shape)) + 5e4,
        1 / (1 + np.exp(-(log_odds + random.standard_normal(log_odds.shape)))),
        random.standard_normal(log_odds.shape),
        np.full(log_odds.shape, 3.0),
    ]
    pairs = sample_pairs(targets)
    sampled = np.stack([part[pairs.rows, pairs.columns] for part in parts], axis=1)
    groups = np.searchsorted([0, 10, 100], counts, side="left")[pairs.columns]
    fusion = fit_fusion(sampled, pairs.true, pairs.weights, groups)
    assert (fusion.weights >= 0).all()
    assert fusion.weights[0] == pytest.approx(fusion.weights[1], rel=0.3)
    assert fusion.weights[2] * (fusion.calibrations[2].below + fusion.calibrations[2].above) < 0.1
    fused = sum(fusion.part(number, part) for number, part in enumerate(parts)) + fusion.of_codes(counts)
    alone = [mean_average_precision(part, targets) for part in parts]
    assert mean_average_precision(fused, targets) > max(alone) + 0.02
    assert fused.mean() == pytest.approx(log_odds.mean(), abs=0.5)


def test_a_part_that_ranks_upside_down_counts_nothing():
    log_odds, targets, _ = made_up(np.random.default_rng(2))
    pairs = sample_pairs(targets)
    sampled = np.stack([log_odds[pairs.rows, pairs.columns], -log_odds[pairs.rows, pairs.columns]], axis=1)
    fusion = fit_fusion(sampled, pairs.true, pairs.weights, np.zeros(len(sampled), dtype=int))
    wrong_way = fusion.part(1, -log_odds)
    assert np.ptp(wrong_way) < 1e-6


def test_a_code_group_that_a_part_underrates_is_raised():
    random = np.random.default_rng(3)
    log_odds, targets, _ = made_up(random)
    counts = np.where(np.arange(40) < 20, 0, 50)
    part = np.where(counts == 0, log_odds - 4, log_odds)
    pairs = sample_pairs(targets)
    sampled = np.stack([part[pairs.rows, pairs.columns]] * 2, axis=1)
    groups = np.where(counts == 0, 0, 2)[pairs.columns]
    fusion = fit_fusion(sampled, pairs.true, pairs.weights, groups)
    assert fusion.offsets[0] - fusion.offsets[2] > 2
    # The groups without a pair: as the nearest, of two the rarer.
    assert (fusion.offsets[1], fusion.offsets[3]) == (fusion.offsets[0], fusion.offsets[2])


def test_validation_judges_by_what_training_shows_where_validation_made_the_candidates():
    counts = np.array([0, 3, 0, 200])
    assert fair_candidates(counts, "train").tolist() == [False, True, False, True]
    for rule in ("all", "ontology", "file", ""):
        assert fair_candidates(counts, rule).all()


def test_a_sample_of_pairs_stands_for_all():
    random = np.random.default_rng(4)
    targets = random.random((200, 90)) < 0.03
    every, some = sample_pairs(targets), sample_pairs(targets, most=2000, seed=1)
    assert len(every.rows) == targets.size
    np.testing.assert_array_equal(targets[every.rows, every.columns], every.true)
    np.testing.assert_array_equal(targets[some.rows, some.columns], some.true)
    assert some.true.sum() == targets.sum()
    assert some.weights.sum() == pytest.approx(targets.size)
    assert len(some.rows) < 2000 + targets.sum()
    part = targets + random.standard_normal(targets.shape)
    groups = np.zeros(targets.shape, dtype=int)
    fits = []
    for sample in (every, some):
        at = (sample.rows, sample.columns)
        fits.append(fit_fusion(part[at][:, None], sample.true, sample.weights, groups[at]))
    fused = [fit.part(0, part) + fit.offsets[0] for fit in fits]
    assert np.abs(fused[0] - fused[1]).max() < 1.0


def test_folds_leave_patients_whole_and_share_those_with_targets():
    patients = [f"p{number % 17}" for number in range(60)]
    has_target = np.array([number % 17 in (1, 5, 6, 9, 12, 16) for number in range(60)])
    folds = patient_folds(patients, has_target)
    assert set(folds) == set(range(5))
    for patient in set(patients):
        assert len({fold for fold, name in zip(folds, patients, strict=True) if name == patient}) == 1
    positive = {(fold, name) for name, fold, true in zip(patients, folds, has_target, strict=True) if true}
    with_target = [sum(fold == number for fold, _ in positive) for number in range(5)]
    assert sorted(with_target) == [1, 1, 1, 1, 2]
    assert sorted(patient_folds(["a", "b", "a"], np.array([True, True, False])).tolist()) in ([0, 0, 1], [0, 1, 1])


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(UserError, match="at least two patients with a true code"):
        patient_folds(["a", "a", "b"], np.array([True, True, False]))
    with pytest.raises(UserError, match="without any true code"):
        fit_fusion(np.zeros((4, 2)), np.zeros(4, dtype=bool), np.ones(4), np.zeros(4, dtype=int))


def test_shares_are_those_of_covariances_and_add_up_to_1():
    random = np.random.default_rng(6)
    contributions = random.standard_normal((500, 3)) * [1.0, 2.0, 0.0]
    shares = variance_shares(contributions, np.ones(500))
    total = contributions.sum(axis=1)
    expected = [np.cov(column, total, ddof=0)[0, 1] / total.var() for column in contributions.T]
    assert shares == pytest.approx(expected)
    assert shares.sum() == pytest.approx(1)
    assert shares[2] == pytest.approx(0)
    doubled = variance_shares(np.concatenate([contributions, contributions[:100]]), np.ones(600))
    weighted = variance_shares(contributions, np.where(np.arange(500) < 100, 2.0, 1.0))
    assert weighted == pytest.approx(doubled)
    assert np.isnan(variance_shares(np.ones((4, 2)), np.ones(4))).all()
