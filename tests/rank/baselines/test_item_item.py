"""EASE and item-kNN on the next visit: by their definitions, and on a cohort where one code follows another."""

import numpy as np
import pytest
from planted_cohort import FOLLOWED_BY, planted_task

from mera.evaluation.metrics import recall_at_k, weighted_f1_at_label_count
from rank.baselines.history_matrices import task_matrices
from rank.baselines.item_item import PENALTIES, best_penalty, ease, item_knn, next_visit_cosine, with_constant
from rank.baselines.simple import own_history, popularity


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return planted_task(tmp_path_factory.mktemp("items") / "task")


def seen_rows(task, split):
    """(N, C + 1): 1 for the codes of the history, and the constant, one row after the other."""
    rows = np.zeros((len(task.splits[split]), len(task.codes) + 1))
    for number, history in enumerate(task.splits[split]["history"]):
        for visit in history:
            rows[number, [task.column[code] for code in visit["codes"]]] = 1
    rows[:, -1] = 1
    return rows


def test_matrices_equal_a_loop_over_the_visits(task):
    examples = task_matrices(task, "test")
    counts, last, since, days = (
        matrix.toarray()
        for matrix in (examples.visit_counts, examples.last_visit, examples.visits_since, examples.days_since)
    )
    for number, row in enumerate(task.splits["test"]):
        latest_first = row["history"][::-1]
        for code, column in task.column.items():
            having = [visit for visit in latest_first if code in visit["codes"]]
            assert counts[number, column] == len(having)
            assert last[number, column] == (code in latest_first[0]["codes"])
            assert since[number, column] == (1 + latest_first.index(having[0]) if having else 0)
            assert days[number, column] == (1 + having[0]["days_before"] if having else 0)
            assert examples.targets[number, column] == (code in row["targets"])
    assert task_matrices(task, "train", with_history=True).seen.nnz == seen_rows(task, "train")[:, :-1].sum()


def test_ease_solves_its_equations_with_the_penalty_that_validation_likes_best(task):
    scored = ease(task)
    inputs, targets = seen_rows(task, "train"), task.targets("train").astype(float)
    qualities = {}
    for penalty in PENALTIES:
        weights = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(inputs.shape[1]), inputs.T @ targets)
        scores, true = seen_rows(task, "validation") @ weights, task.targets("validation")
        qualities[penalty] = recall_at_k(scores, true, 10) + recall_at_k(scores, true, 20)
        qualities[penalty] += weighted_f1_at_label_count(scores, true)
        if penalty == scored.chosen["penalty"]:
            np.testing.assert_allclose(scored.test, seen_rows(task, "test") @ weights, atol=1e-5)
    assert qualities[scored.chosen["penalty"]] == pytest.approx(max(qualities.values()))
    train = task_matrices(task, "train", with_history=True)
    validation = with_constant(task_matrices(task, "validation").seen)
    assert best_penalty(train, validation, task.targets("validation")) == scored.chosen["penalty"]


def test_similarity_equals_a_loop(task):
    rows = task.splits["train"]
    similarity = next_visit_cosine(task_matrices(task, "train", with_history=True), shrinkage=5.0)
    had = [{code for visit in history for code in visit["codes"]} for history in rows["history"]]
    for before, place in task.column.items():
        for after in ("I10", *list(FOLLOWED_BY.values())[:3]):
            pairs = list(zip(had, rows["targets"], strict=True))
            both = sum(before in codes and after in targets for codes, targets in pairs)
            lengths = sum(before in codes for codes, _ in pairs) * sum(after in targets for _, targets in pairs)
            expected = both / max(lengths, 1) ** 0.5 * (both / (both + 5.0))
            assert similarity[place, task.column[after]] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("baseline", [ease, item_knn])
def test_planted_transitions_are_found(task, baseline):
    scored, targets = baseline(task), task.targets("test")
    floor = max(recall_at_k(other(task).test, targets, 2) for other in (popularity, own_history))
    assert recall_at_k(scored.test, targets, 2) > floor + 0.2
    np.testing.assert_array_equal(baseline(task).test, scored.test)


def test_item_knn_is_the_weighted_sum_that_it_says(task):
    scored = item_knn(task)
    chosen = scored.chosen
    train = task_matrices(task, "train", with_history=True)
    examples = task_matrices(task, "test")
    near = examples.seen.toarray() @ next_visit_cosine(train, chosen["shrinkage"])
    counts = examples.visit_counts.toarray()
    prior = task.targets("train").mean(axis=0)
    expected = chosen["neighbour_weight"] * near + chosen["own_history_weight"] * counts + prior
    np.testing.assert_allclose(scored.test, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", [ease, item_knn])
def test_nothing_but_codes_is_needed(tmp_path, baseline):
    task = planted_task(tmp_path / "bare", patients=30, bare=True)
    assert np.isfinite(baseline(task).test).all()
