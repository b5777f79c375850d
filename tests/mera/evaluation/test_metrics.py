"""Each metric against a loop written here, hand-computed values, scikit-learn, and its invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from mera.evaluation import metrics


def make_case(
    seed: int, num_rows: int = 23, num_columns: int = 31, ties: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, C) and targets (N, C); row 0 has no target, column 0 none, row 1 has all but column 0."""
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((num_rows, num_columns)).astype(np.float32)
    if ties:
        scores = np.round(scores)
    targets = generator.random((num_rows, num_columns)) < 0.15
    targets[0] = False
    targets[1] = True
    targets[:, 0] = False
    return scores, targets


def loop_ranking(scores: np.ndarray) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda column, row=row: (-row[column], column)) for row in scores.tolist()]


def loop_mean(values: list[float]) -> float:
    return sum(values) / len(values)


def loop_recall(scores, targets, k, denominator="labels"):
    values = []
    for order, row in zip(loop_ranking(scores), targets, strict=True):
        if row.any():
            possible = int(row.sum()) if denominator == "labels" else min(k, int(row.sum()))
            values.append(sum(bool(row[column]) for column in order[:k]) / possible)
    return loop_mean(values)


def loop_precision(scores, targets, k):
    ranked = [(order, row) for order, row in zip(loop_ranking(scores), targets, strict=True) if row.any()]
    return loop_mean([sum(bool(row[column]) for column in order[:k]) / k for order, row in ranked])


def loop_ndcg(scores, targets, k):
    values = []
    for order, row in zip(loop_ranking(scores), targets, strict=True):
        if row.any():
            gain = sum(1 / math.log2(place + 2) for place, column in enumerate(order[:k]) if row[column])
            best = sum(1 / math.log2(place + 2) for place in range(min(k, int(row.sum()))))
            values.append(gain / best)
    return loop_mean(values)


def loop_average_precision(scores, targets):
    values = []
    for order, row in zip(loop_ranking(scores), targets, strict=True):
        hits, total = 0, 0.0
        for place, column in enumerate(order, start=1):
            if row[column]:
                hits += 1
                total += hits / place
        if hits:
            values.append(total / hits)
    return loop_mean(values)


def loop_f1(predicted, targets, average):
    def one(first, second):
        hits = sum(bool(a and b) for a, b in zip(first, second, strict=True))
        return 2 * hits / (sum(map(bool, first)) + sum(map(bool, second)))

    if average == "micro":
        return one(predicted.ravel(), targets.ravel())
    sets = (predicted, targets) if average == "samples" else (predicted.T, targets.T)
    pairs = [(p, t) for p, t in zip(*sets, strict=True) if t.any()]
    if average == "weighted":
        return sum(one(p, t) * t.sum() for p, t in pairs) / sum(t.sum() for _, t in pairs)
    return loop_mean([one(p, t) for p, t in pairs])


def loop_weighted_f1_at_label_count(scores, targets):
    predicted = np.zeros_like(targets)
    for index, order in enumerate(loop_ranking(scores)):
        predicted[index, order[: int(targets[index].sum())]] = True
    return loop_f1(predicted, targets, "weighted")


def loop_auc(scores, targets, average):
    def one(values, truth):
        wins = [(a > b) + (a == b) / 2 for a in values[truth].tolist() for b in values[~truth].tolist()]
        return sum(wins) / len(wins)

    if average == "micro":
        return one(scores.ravel(), targets.ravel())
    return loop_mean(
        [one(s, t) for s, t in zip(scores.T, targets.T, strict=True) if t.any() and not t.all()],
    )


RANKED = {
    "recall@5": (lambda s, t: metrics.recall_at_k(s, t, 5), lambda s, t: loop_recall(s, t, 5)),
    "recall@5 of min": (lambda s, t: metrics.recall_at_k(s, t, 5, "min"), lambda s, t: loop_recall(s, t, 5, "min")),
    "recall@40": (lambda s, t: metrics.recall_at_k(s, t, 40), lambda s, t: loop_recall(s, t, 40)),
    "precision@5": (lambda s, t: metrics.precision_at_k(s, t, 5), lambda s, t: loop_precision(s, t, 5)),
    "precision@40": (lambda s, t: metrics.precision_at_k(s, t, 40), lambda s, t: loop_precision(s, t, 40)),
    "ndcg@7": (lambda s, t: metrics.ndcg_at_k(s, t, 7), lambda s, t: loop_ndcg(s, t, 7)),
    "map": (metrics.mean_average_precision, loop_average_precision),
}
ALL = RANKED | {
    "weighted f1 at label count": (metrics.weighted_f1_at_label_count, loop_weighted_f1_at_label_count),
    "micro auc": (lambda s, t: metrics.roc_auc(s, t, "micro"), lambda s, t: loop_auc(s, t, "micro")),
    "macro auc": (lambda s, t: metrics.roc_auc(s, t, "macro"), lambda s, t: loop_auc(s, t, "macro")),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("ties", [False, True])
def test_metric_equals_loop(name, ties):
    fast, loop = ALL[name]
    for seed in range(3):
        scores, targets = make_case(seed, ties=ties)
        assert fast(scores, targets) == pytest.approx(loop(scores, targets), rel=1e-9)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
def test_f1_equals_loop_and_scikit_learn(average):
    scores, targets = make_case(0)
    predicted = scores > 0.8
    assert metrics.f1(predicted, targets, average) == pytest.approx(loop_f1(predicted, targets, average))
    rows, columns = targets.any(axis=1), targets.any(axis=0)
    if average == "samples":
        predicted, targets = predicted[rows], targets[rows]
    elif average == "macro":
        predicted, targets = predicted[:, columns], targets[:, columns]
    expected = sklearn_metrics.f1_score(targets, predicted, average=average, zero_division=0)
    assert metrics.f1(predicted, targets, average) == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=25, deadline=None)
def test_auc_and_average_precision_equal_scikit_learn(seed, ties):
    scores, targets = make_case(seed, ties=ties)
    assert metrics.roc_auc(scores, targets, "micro") == pytest.approx(
        sklearn_metrics.roc_auc_score(targets.ravel(), scores.ravel())
    )
    usable = targets.any(axis=0) & ~targets.all(axis=0)
    assert metrics.roc_auc(scores, targets, "macro") == pytest.approx(
        sklearn_metrics.roc_auc_score(targets[:, usable], scores[:, usable], average="macro")
    )
    if not ties:
        rows = targets.any(axis=1)
        expected = sklearn_metrics.average_precision_score(targets[rows], scores[rows], average="samples")
        assert metrics.mean_average_precision(scores, targets) == pytest.approx(expected)
        assert metrics.ndcg_at_k(scores, targets, 7) == pytest.approx(
            sklearn_metrics.ndcg_score(targets[rows], scores[rows], k=7)
        )


def test_hand_computed_values():
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    targets = np.array([[True, False, True, False], [True, True, True, False]])
    assert metrics.recall_at_k(scores, targets, 2) == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert metrics.recall_at_k(scores, targets, 2, "min") == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert metrics.precision_at_k(scores, targets, 3) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert metrics.mean_average_precision(scores, targets) == pytest.approx(
        ((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3 + 3 / 4) / 3) / 2
    )
    assert metrics.ndcg_at_k(scores, targets, 1) == pytest.approx((1 + 0) / 2)
    # Predicted {0, 1} and {3, 2, 1}: F1 2/3, 2/3 and 2/3 for codes 0..2, which have supports 2, 1 and 2.
    assert metrics.weighted_f1_at_label_count(scores, targets) == pytest.approx((2 * 2 / 3 + 2 / 3 + 2 * 2 / 3) / 5)
    # Only code 1 has both classes: its target scores 2, its non-target 3. Codes 0 and 2 are always true, code 3 never.
    assert metrics.roc_auc(scores, targets, "macro") == 0.0
    assert metrics.roc_auc(np.array([[3.0, 1.0, 2.0, 2.0]]), np.array([[True, False, True, False]]), "micro") == 0.875


def test_ties_go_to_the_lower_column():
    scores = np.zeros((2, 4), dtype=np.float32)
    assert metrics.rank_candidates(scores, 3).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert metrics.recall_at_k(scores, np.eye(4, dtype=bool)[[0, 3]], 1) == 0.5


def test_ranking_in_blocks_equals_one_block(monkeypatch):
    scores, targets = make_case(4, ties=True)
    whole = metrics.rank_targets(scores, targets, 10)
    monkeypatch.setattr(metrics, "BLOCK_ELEMENTS", 5 * scores.shape[1])
    blocks = metrics.rank_targets(scores, targets, 10)
    for name in ("top", "rows", "columns", "ranks"):
        assert np.array_equal(getattr(whole, name), getattr(blocks, name))
    assert np.array_equal(metrics.rank_candidates(scores)[:, : whole.top.shape[1]], whole.top)
    assert whole.top.tolist() == [order[: whole.top.shape[1]] for order in loop_ranking(scores)]


@pytest.mark.parametrize("name", ALL)
def test_permuting_columns_changes_nothing_without_ties(name):
    scores, targets = make_case(5)
    columns = np.random.default_rng(0).permutation(scores.shape[1])
    assert ALL[name][0](scores[:, columns], targets[:, columns]) == pytest.approx(ALL[name][0](scores, targets))


@pytest.mark.parametrize("name", RANKED)
def test_split_batches_and_rows_without_targets_change_nothing(name):
    metric = RANKED[name][0]
    scores, targets = make_case(6)
    sizes = [int(part.any(axis=1).sum()) for part in np.split(targets, [9])]
    parts = [metric(s, t) for s, t in zip(np.split(scores, [9]), np.split(targets, [9]), strict=True)]
    assert metric(scores, targets) == pytest.approx(np.average(parts, weights=sizes))
    padded = np.vstack([targets, np.zeros((4, targets.shape[1]), dtype=bool)])
    assert metric(np.vstack([scores, scores[:4]]), padded) == pytest.approx(metric(scores, targets))


@pytest.mark.parametrize("name", [*RANKED, "weighted f1 at label count"])
def test_padding_with_last_ranked_candidates_changes_nothing(name):
    scores, targets = make_case(7)
    padded_scores = np.hstack([scores, np.full((len(scores), 3), scores.min() - 1)])
    padded_targets = np.hstack([targets, np.zeros((len(scores), 3), dtype=bool)])
    assert ALL[name][0](padded_scores, padded_targets) == pytest.approx(ALL[name][0](scores, targets))


def test_undefined_values_are_nan():
    scores, nothing = np.ones((2, 3)), np.zeros((2, 3), dtype=bool)
    for metric, _ in ALL.values():
        assert math.isnan(metric(scores, nothing))
    assert math.isnan(metrics.f1(nothing, nothing, "macro"))
    assert math.isnan(metrics.f1(nothing, nothing, "micro"))
    assert math.isnan(metrics.roc_auc(scores, ~nothing, "macro"))
    assert math.isnan(metrics.spearman(np.ones(4), np.arange(4)))


def test_spearman_on_known_orders():
    assert metrics.spearman(np.arange(5), np.arange(5) ** 3) == pytest.approx(1.0)
    assert metrics.spearman(np.arange(5), -np.arange(5)) == pytest.approx(-1.0)


def test_bad_arguments_are_named():
    scores, targets = make_case(0)
    with pytest.raises(ValueError, match="denominator must be 'labels' or 'min', got 'all'"):
        metrics.recall_at_k(scores, targets, 5, "all")
    with pytest.raises(ValueError, match=r"average must be .* got 'binary'"):
        metrics.f1(targets, targets, "binary")
    with pytest.raises(ValueError, match="average must be 'micro' or 'macro', got 'samples'"):
        metrics.roc_auc(scores, targets, "samples")
    with pytest.raises(ValueError, match=r"one shape, got \(23, 31\) and \(23, 30\)"):
        metrics.recall_at_k(scores, targets[:, 1:], 5)


def test_values_by_code_are_what_the_macro_metrics_average():
    scores, targets = make_case(3)
    predicted = scores > np.median(scores)
    for by_code, whole in (
        (metrics.f1_by_code(predicted, targets), metrics.f1(predicted, targets, "macro")),
        (metrics.roc_auc_by_code(scores, targets), metrics.roc_auc(scores, targets, "macro")),
    ):
        assert np.isnan(by_code[~targets.any(axis=0)]).all()
        assert np.nanmean(by_code) == pytest.approx(whole)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int8, np.int64])
def test_whole_numbers_rank_as_floats_do(kind):
    scores = np.array([[0, 3, 9, 3], [np.iinfo(kind).min, 1, 0, np.iinfo(kind).max]], dtype=kind)
    naive = [sorted(range(4), key=lambda column: -row[column]) for row in scores.tolist()]
    assert naive[0] == [2, 1, 3, 0]
    assert metrics.rank_candidates(scores).tolist() == naive
