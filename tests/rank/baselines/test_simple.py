"""The baselines against what they are defined to be."""

import numpy as np
import pytest
from tiny_task import make_tiny_task

from mera.evaluation.metrics import recall_at_k
from rank.baselines.linear import linear
from rank.baselines.simple import own_history, popularity


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("baselines") / "task", patients=200)


def test_popularity_is_the_order_of_training_counts_for_everyone(task):
    scores = popularity(task).test
    assert scores.shape == (len(task.splits["test"]), len(task.codes))
    assert (scores == scores[0]).all()
    counts = np.zeros(len(task.codes))
    for targets in task.splits["train"]["targets"]:
        for code in targets:
            counts[task.codes.index(code)] += 1
    np.testing.assert_array_equal(np.argsort(-scores[0], kind="stable"), np.argsort(-counts, kind="stable"))


def test_own_history_puts_codes_seen_more_often_first(task):
    scores, seen = own_history(task).test, task.seen("test")
    for row, example in enumerate(task.splits["test"]):
        counts = [sum(code in visit["codes"] for visit in example["history"]) for code in task.codes]
        for first in range(len(counts)):
            for second in range(len(counts)):
                if counts[first] > counts[second]:
                    assert scores[row, first] > scores[row, second]
        assert scores[row][seen[row]].min() > scores[row][~seen[row]].max()


def test_linear_uses_the_history(task):
    targets = task.targets("test")
    found = linear(task)
    assert recall_at_k(found.test, targets, 5) > recall_at_k(popularity(task).test, targets, 5) + 0.05
    assert found.chosen["ridge_penalty"] > 0


def test_linear_reads_notes(tmp_path):
    task = make_tiny_task(tmp_path / "notes", kind="coding", patients=200)
    targets = task.targets("test")
    assert recall_at_k(linear(task).test, targets, 5) > recall_at_k(popularity(task).test, targets, 5) + 0.05
