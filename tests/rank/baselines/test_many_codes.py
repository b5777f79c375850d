"""Of very many codes others are foretold from the most frequent ones alone; each code's own past is read of all."""

import numpy as np
import pytest
from planted_cohort import planted_task
from sklearn.linear_model import Ridge

from mera.runs.run_directory import RunDirectory
from rank.baselines import history_columns
from rank.baselines.config import TreesConfig
from rank.baselines.fitted.ranker import BaselineRanker
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.history_matrices import history_matrices, task_matrices
from rank.baselines.item_item import ease, item_knn
from rank.baselines.linear import LinearFeatures, RidgeEquations, linear
from rank.baselines.simple import own_history
from rank.baselines.trees.code_statistics import code_statistics
from rank.baselines.trees.gbdt import gbdt
from rank.baselines.trees.pair_features import FEATURES, PairBlock
from rank.wide import item_scores
from rank.wide.features import count_training_visits
from rank.wide.item_scores import linked_codes
from rank.wide.storage import load_wide_part, save_wide_part
from rank.wide.wide_part import WideScorer, WideWeights

MOST = 10
QUICK = TreesConfig(rounds=30, patience=10, likely=6, random=6, leaves=7)
CALIBRATION = {"slope": 1.0, "intercept": 0.0}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return planted_task(tmp_path_factory.mktemp("many") / "task")


@pytest.fixture
def bounded(monkeypatch):
    for module in (item_scores, history_columns):
        monkeypatch.setattr(module, "MOST_LINKED", MOST)


def most_frequent(task):
    """By a loop: the codes that most training histories hold, the first of equals."""
    histories = [
        {code for visit in row for code in visit["codes"]} for row in task.splits["train"]["history"] if len(row)
    ]
    counts = {code: sum(code in history for history in histories) for code in task.codes}
    return set(sorted(task.codes, key=lambda code: -counts[code])[:MOST])


def test_all_codes_are_linked_where_they_are_few(task):
    assert linked_codes(np.array([3, 0, 7])).tolist() == [0, 1, 2]
    columns = HistoryColumns.of_task(task)
    assert columns.linked is None
    assert columns.linked_columns.tolist() == list(range(len(task.codes)))


def test_the_most_frequent_codes_are_linked_and_the_first_of_equals(task, bounded):
    frequencies = np.array([5, 1, 5, 9, *[5] * 20])
    assert linked_codes(frequencies).tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    columns = HistoryColumns.of_task(task)
    assert set(columns.linked) == most_frequent(task)
    assert [task.codes[column] for column in columns.linked_columns] == columns.linked
    matrices = task_matrices(task, "test", columns)
    np.testing.assert_array_equal(matrices.linked_seen.toarray(), matrices.seen.toarray()[:, columns.linked_columns])
    assert len(matrices.of(np.array([1, 4])).linked) == MOST


def test_ease_is_the_ridge_of_the_linked_codes(task, bounded):
    found = ease(task)
    kept = [task.column[code] for code in HistoryColumns.of_task(task).linked]
    train, test = (task_matrices(task, split, with_history=split == "train") for split in ("train", "test"))
    inputs = np.column_stack([train.seen.toarray()[:, kept], np.ones(len(train))])
    design = np.vstack([inputs, np.sqrt(found.chosen["penalty"]) * np.eye(MOST + 1)])
    wanted = np.vstack([train.targets.toarray(), np.zeros((MOST + 1, len(task.codes)))])
    weights = np.linalg.lstsq(design, wanted, rcond=None)[0]
    expected = np.column_stack([test.seen.toarray()[:, kept], np.ones(len(test))]) @ weights
    np.testing.assert_allclose(found.test, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fit", [ease, item_knn, linear, lambda task: gbdt(task, QUICK, seed=0)])
def test_a_baseline_of_many_codes_is_kept_and_ranks_as_it_did(task, bounded, fit, tmp_path):
    fitted = fit(task)
    run = RunDirectory(tmp_path / "run")
    BaselineRanker.of_task(fitted.model, "called", task, 0.0, CALIBRATION).save(run)
    scores, _ = BaselineRanker.load(run.finish()).score(list(task.splits["test"]))
    np.testing.assert_array_equal(scores, fitted.test)
    assert np.ptp(fitted.test, axis=0).min() >= 0
    assert not np.array_equal(fitted.test, own_history(task).test)


def test_a_code_that_is_not_linked_speaks_of_itself_alone(task, bounded):
    columns = HistoryColumns.of_task(task)
    apart = next(code for code in task.codes if code not in columns.linked)
    row = {**task.splits["test"][0], "history": [{"codes": [apart], "days_before": 30}]}
    statistics = code_statistics(task_matrices(task, "train", columns, with_history=True), 3.0)
    block, every = PairBlock(history_matrices([row], columns), statistics), np.arange(len(task.codes))
    features = dict(zip(FEATURES, block.features(0 * every, every).T, strict=True))
    is_apart = every == task.column[apart]
    np.testing.assert_array_equal(features["in the last visit"], is_apart)
    np.testing.assert_array_equal(features["visits with the code"], is_apart)
    assert not features["max P(code | code of the history)"].any()
    np.testing.assert_array_equal(features["item-item score"], statistics.item_constant)


def test_the_wide_part_of_many_codes_is_stored_and_reads_linked_ones(task, bounded, tmp_path):
    tables, patients = count_training_visits(task)
    assert tables.item_weights.shape == (MOST, len(task.codes))
    assert {task.codes[column] for column in tables.linked} == most_frequent(task)
    numbers = np.random.default_rng(0)
    shapes = {"shared": (15,), "per_code": (len(task.codes), 5), "bias": (len(task.codes),), "gate": (1,)}
    shapes |= {"patient": (len(task.codes), 6), "eov": (7,)}
    weights = WideWeights(**{name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})
    save_wide_part(WideScorer(tables=tables, weights=weights), tmp_path)
    rows = [tables.patient(row, task.column) for row in task.splits["test"]]
    for row in rows:
        assert {task.codes[tables.linked[number]] for number in row.items.columns} <= most_frequent(task)
    expected = WideScorer(tables=tables, weights=weights).bonus(rows)
    np.testing.assert_array_equal(load_wide_part(tmp_path).bonus(rows), expected)
    assert len(patients) == len(task.splits["train"])


@pytest.mark.parametrize("penalty", [0.5, 40.0])
def test_linear_equals_scikit_learns_ridge(task, penalty):
    features, targets = LinearFeatures.of_task(task).of(list(task.splits["train"])), task.targets("train")
    weights, intercepts = RidgeEquations.of(features, task_matrices(task, "train").targets).solved(penalty)
    model = Ridge(alpha=penalty, solver="cholesky").fit(features.toarray().astype(np.float64), targets.astype(float))
    np.testing.assert_allclose(weights, model.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(intercepts, model.intercept_, rtol=1e-4, atol=1e-6)


def test_linear_reads_what_a_loop_reads(task):
    features = LinearFeatures.of_task(task)
    rows = list(task.splits["test"])[:20]
    found = features.of(rows).toarray()
    for row, values in zip(rows, found, strict=True):
        counts = [sum(code in visit["codes"] for visit in row["history"]) for code in task.codes]
        last = [float(code in row["history"][-1]["codes"]) for code in task.codes]
        expected = [(row["age"] or 60) / 100, float(row["sex"] == "F"), *np.log1p(counts), *last]
        np.testing.assert_allclose(values, expected, rtol=1e-6)
