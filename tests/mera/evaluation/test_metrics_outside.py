"""Every metric, and every resample of it, with codes outside the candidates (score -inf) against a loop."""

import math

import numpy as np
import pytest
import scipy.sparse

from mera.evaluation import bootstrap, metrics

NUM_OUTSIDE = 4


def make_case(seed, num_rows=19, num_candidates=13, ties=False, pooled=False):
    """Scores (N, C) whose last columns are -inf, and targets; with `pooled` further ones of single rows are.

    Row 0 has no target, row 1 only targets outside, row 2 every code, row 3 more targets than candidates.
    """
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((num_rows, num_candidates + NUM_OUTSIDE)).astype(np.float32)
    if ties:
        scores = scores.round()
    scores[:, num_candidates:] = -np.inf
    targets = generator.random(scores.shape) < 0.3
    targets[0] = False
    targets[1] = np.arange(scores.shape[1]) >= num_candidates
    targets[2] = True
    if pooled:
        scores[num_rows // 2 :, :5] = -np.inf
        scores[3, 1:] = -np.inf
    return scores, targets


def loop_order(row):
    """The columns that can be retrieved, best first."""
    return [
        column for column in sorted(range(len(row)), key=lambda column: (-row[column], column)) if row[column] > -np.inf
    ]


def loop_rows(scores, targets):
    return [(loop_order(s), set(np.flatnonzero(t).tolist())) for s, t in zip(scores.tolist(), targets, strict=True)]


def mean(values):
    return sum(values) / len(values)


def loop_recall(scores, targets, k, smaller=False):
    rows = [row for row in loop_rows(scores, targets) if row[1]]
    return mean([len(true & set(order[:k])) / (min(k, len(true)) if smaller else len(true)) for order, true in rows])


def loop_precision(scores, targets, k):
    return mean([len(true & set(order[:k])) / k for order, true in loop_rows(scores, targets) if true])


def loop_ndcg(scores, targets, k):
    def gain(places):
        return sum(1 / math.log2(place + 2) for place in places)

    return mean(
        [
            gain([place for place, code in enumerate(order[:k]) if code in true]) / gain(range(min(k, len(true))))
            for order, true in loop_rows(scores, targets)
            if true
        ]
    )


def loop_average_precision(scores, targets):
    values = []
    for order, true in loop_rows(scores, targets):
        precisions = [len(true & set(order[: place + 1])) / (place + 1) for place, code in enumerate(order)]
        found = [precision for precision, code in zip(precisions, order, strict=True) if code in true]
        if true:
            values.append(sum(found) / len(true))
    return mean(values)


def loop_weighted_f1(scores, targets):
    rows = [(set(order[: len(true)]), true) for order, true in loop_rows(scores, targets)]
    total = 0.0
    for code in range(scores.shape[1]):
        support = sum(code in true for _, true in rows)
        if support:
            hits = sum(code in true and code in predicted for predicted, true in rows)
            total += support * 2 * hits / (support + sum(code in predicted for predicted, _ in rows))
    return total / targets.sum()


def loop_auc(values, truth):
    negatives = [value for value, true in zip(values, truth, strict=True) if not true and value > -np.inf]
    positives = [value for value, true in zip(values, truth, strict=True) if true]
    if not negatives or not positives:
        return math.nan
    return mean([(a > b) + (a == b) / 2 for a in positives for b in negatives])


def loop_macro_auc(scores, targets):
    found = [loop_auc(s, t) for s, t in zip(scores.T.tolist(), targets.T.tolist(), strict=True)]
    return mean([value for value in found if not math.isnan(value)])


METRICS = {
    "recall@5": (lambda s, t: metrics.recall_at_k(s, t, 5), lambda s, t: loop_recall(s, t, 5)),
    "recall@5 of min": (lambda s, t: metrics.recall_at_k(s, t, 5, "min"), lambda s, t: loop_recall(s, t, 5, True)),
    "recall beyond the candidates": (lambda s, t: metrics.recall_at_k(s, t, 16), lambda s, t: loop_recall(s, t, 16)),
    "recall at more than all": (lambda s, t: metrics.recall_at_k(s, t, 99), lambda s, t: loop_recall(s, t, 99)),
    "precision@16": (lambda s, t: metrics.precision_at_k(s, t, 16), lambda s, t: loop_precision(s, t, 16)),
    "ndcg@4": (lambda s, t: metrics.ndcg_at_k(s, t, 4), lambda s, t: loop_ndcg(s, t, 4)),
    "ndcg@16": (lambda s, t: metrics.ndcg_at_k(s, t, 16), lambda s, t: loop_ndcg(s, t, 16)),
    "map": (metrics.mean_average_precision, loop_average_precision),
    "weighted f1 at label count": (metrics.weighted_f1_at_label_count, loop_weighted_f1),
    "micro auc": (
        lambda s, t: metrics.roc_auc(s, t, "micro"),
        lambda s, t: loop_auc(s.ravel().tolist(), t.ravel().tolist()),
    ),
    "macro auc": (lambda s, t: metrics.roc_auc(s, t, "macro"), loop_macro_auc),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_metric_equals_a_loop(name, pooled, ties):
    fast, loop = METRICS[name]
    for seed in range(3):
        case = make_case(seed, ties=ties, pooled=pooled)
        assert fast(*case) == pytest.approx(loop(*case), rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_a_code_outside_that_is_true_nowhere_changes_nothing(name):
    scores, targets = make_case(7)
    candidates = scores.shape[1] - NUM_OUTSIDE
    targets[:, candidates:] = False
    found = METRICS[name][0](scores, targets)
    assert found == METRICS[name][0](scores[:, :candidates], targets[:, :candidates]), "bit for bit"


@pytest.mark.parametrize("name", [name for name in METRICS if name != "macro auc"])
def test_a_true_code_outside_the_candidates_never_helps(name):
    scores, targets = make_case(8)
    candidates = scores.shape[1] - NUM_OUTSIDE
    rows = targets[:, :candidates].any(axis=1)
    without = targets & (np.arange(scores.shape[1]) < candidates)
    assert METRICS[name][0](scores[rows], targets[rows]) <= METRICS[name][0](scores[rows], without[rows])


def test_hand_computed_values():
    """One row: candidates a, b, c ranked in this order; true are b, c and x, which is no candidate."""
    scores, targets = np.array([[3.0, 2.0, 1.0, -np.inf]]), np.array([[False, True, True, True]])
    assert metrics.mean_average_precision(scores, targets) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert metrics.recall_at_k(scores, targets, 2) == pytest.approx(1 / 3)
    assert metrics.recall_at_k(scores, targets, 4) == pytest.approx(2 / 3)
    assert metrics.recall_at_k(scores, targets, 10**6) == pytest.approx(2 / 3)
    assert metrics.precision_at_k(scores, targets, 4) == pytest.approx(2 / 4)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.ndcg_at_k(scores, targets, 4) == pytest.approx((1 / math.log2(3) + 1 / 2) / ideal)
    # Three are true, so a, b and c are predicted: F1 1, 1 and 0 of the codes b, c and x.
    assert metrics.weighted_f1_at_label_count(scores, targets) == pytest.approx(2 / 3)
    # Of the pairs of a target with the only negative, a: none is won.
    assert metrics.roc_auc(scores, targets, "micro") == 0.0
    # x is missed by 2 of 2 negatives, b and c win 1 of 2 and 0 of 2.
    more = np.array([[3.0, 2.0, 1.0, 1.5, -np.inf]]), np.array([[False, True, False, False, True]])
    assert metrics.roc_auc(*more, "micro") == pytest.approx((2 / 3 + 0) / 2)


def test_only_codes_outside_score_zero_and_nothing_is_predicted_of_them():
    scores, targets = np.array([[1.0, -np.inf, -np.inf]]), np.array([[False, True, True]])
    ranking = metrics.rank_targets(scores, targets)
    assert metrics.predict_label_count(ranking).sum() == 1, "two are true, but there is one candidate"
    assert metrics.mean_average_precision(scores, targets) == 0.0
    assert metrics.f1(scores > -5.0, targets, "micro") == 0.0
    assert math.isnan(metrics.roc_auc(scores, targets, "macro"))


@pytest.mark.parametrize("pooled", [False, True])
def test_every_resample_equals_the_metric_of_the_repeated_rows(pooled):
    scores, targets = make_case(2, pooled=pooled)
    weights = bootstrap.patient_weights([str(row // 2) for row in range(len(scores))], 8, seed=1)
    ranking = metrics.rank_targets(scores, targets)
    predicted = np.zeros_like(targets)
    np.put_along_axis(predicted, ranking.top, metrics.predict_label_count(ranking), axis=1)
    sparse = scipy.sparse.csr_array(predicted), scipy.sparse.csr_array(targets)
    found = {
        "map": bootstrap.row_mean(weights, metrics.row_average_precision(ranking)),
        "weighted f1 at label count": bootstrap.code_f1(weights, *sparse)["weighted"],
        "macro auc": bootstrap.macro_roc_auc(weights, scores, targets),
        "micro auc": bootstrap.micro_roc_auc(weights, scores, targets),
    }
    for number, drawn in enumerate(weights):
        rows = np.repeat(np.arange(len(scores)), drawn.astype(int))
        for name, values in found.items():
            assert values[number] == pytest.approx(METRICS[name][0](scores[rows], targets[rows]), rel=1e-5), name
