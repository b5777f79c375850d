"""The prior: what is added to scores for how often a code was seen, and that it need not kill the unseen ones."""

import numpy as np
import pytest

from bi_encoder.scoring.prior import NEGLIGIBLE, OFFSETS, Prior, fit_prior
from bi_encoder.validation import ranking_measure, ranking_metrics

COUNTS = np.array([0, 0, 1, 5, 10, 11, 100, 101, 3000])


def test_what_is_added_to_each_code_is_weight_times_log_count_and_its_groups_offset():
    prior = Prior(weight=0.5, offsets={"unseen": 2.0, "11-100": -0.25})
    offsets = [2.0, 2.0, 0, 0, 0, -0.25, -0.25, 0, 0]
    expected = [0.5 * np.log(1 + count) + offset for count, offset in zip(COUNTS, offsets, strict=True)]
    assert prior.of_codes(COUNTS) == pytest.approx(expected, abs=1e-6)
    assert not Prior().of_codes(COUNTS).any()


@pytest.fixture(scope="module")
def scored():
    """Scores that see what is true, less well where the code is unseen, and that are all a little too low there."""
    generator = np.random.default_rng(0)
    counts = np.r_[np.zeros(40, int), generator.integers(1, 11, 60), generator.integers(11, 60, 20)]
    targets = generator.random((80, 120)) < np.r_[np.full(40, 0.02), np.full(60, 0.04), np.full(20, 0.2)]
    scores = generator.normal(0, 1, (80, 120)) + 2.5 * targets
    scores[:, :40] -= 1.0
    return scores, targets, counts


def test_ranking_metrics_equal_a_loop_over_pairs(scored):
    scores, targets, counts = scored
    metrics = ranking_metrics(scores, targets, counts)
    hits = []
    for row, column in zip(*np.nonzero(targets), strict=True):
        if counts[column] == 0:
            hits.append((scores[row] > scores[row, column]).sum() < 20)
    assert metrics["recall_at_20_unseen"] == pytest.approx(np.mean(hits))
    expected = metrics["mean_average_precision"] + 0.1 * metrics["recall_at_20_unseen"]
    assert metrics["map_and_unseen_recall"] == pytest.approx(expected)
    seen = ranking_metrics(scores, targets, counts + 1)
    assert "recall_at_20_unseen" not in seen
    assert seen["map_and_unseen_recall"] == seen["mean_average_precision"]


def test_a_prior_for_the_map_alone_pushes_unseen_codes_out_and_one_that_sees_them_does_not(scored):
    scores, targets, counts = scored
    weights = [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]
    of_map = fit_prior(scores, targets, counts, "log_count", weights, ranking_measure("mean_average_precision", counts))
    fair = ranking_measure("map_and_unseen_recall", counts)
    of_both = fit_prior(scores, targets, counts, "by_frequency", weights, fair)

    def metrics(prior):
        return ranking_metrics(scores + prior.of_codes(counts), targets, counts)

    plain = ranking_metrics(scores, targets, counts)
    assert of_map.weight > 0
    assert metrics(of_map)["recall_at_20_unseen"] < plain["recall_at_20_unseen"]
    assert metrics(of_both)["recall_at_20_unseen"] > metrics(of_map)["recall_at_20_unseen"] + 0.1
    assert metrics(of_both)["map_and_unseen_recall"] >= plain["map_and_unseen_recall"]
    assert metrics(of_both)["mean_average_precision"] > plain["mean_average_precision"]


def test_the_weight_is_the_best_of_those_tried_and_a_negative_one_may_be(scored):
    scores, targets, counts = scored
    measure = ranking_measure("recall_at_20", counts)
    tried = {weight: measure(scores + weight * np.log1p(counts), targets) for weight in (-0.5, -0.25, 0.0)}
    prior = fit_prior(scores + np.log1p(counts), targets, counts, "log_count", [-1.5, -1.25, -1.0], measure)
    assert prior.weight + 1 == max(sorted(tried), key=lambda weight: tried[weight])


def test_offsets_are_those_of_an_exhaustive_search_where_one_group_is_free_and_stay_at_0_for_nothing(scored):
    scores, targets, counts = scored
    counts = np.minimum(counts, 10)
    measure = ranking_measure("map_and_unseen_recall", counts)
    prior = fit_prior(scores, targets, counts, "by_frequency", [0.0], measure)
    unseen = counts == 0
    quality = {offset: measure(scores + offset * unseen, targets) for offset in OFFSETS}
    good = [offset for offset in OFFSETS if quality[offset] >= max(quality.values()) - NEGLIGIBLE]
    assert prior == Prior(weight=0.0, offsets={"unseen": min(good, key=abs)})
    same = fit_prior(scores, targets, np.full(120, 5), "by_frequency", [0.0], measure)
    assert same == Prior(weight=0.0, offsets={}), "one group: what is added to all codes changes no ranking"
    perfect = fit_prior(100.0 * targets, targets, counts, "by_frequency", [0.0], measure)
    assert perfect.offsets == {"unseen": 0.0}
