"""The trees on pairs: features against loops over one patient, nothing of their own target, what is planted."""

import numpy as np
import pytest
from planted_cohort import planted_task

from mera.evaluation.metrics import recall_at_k
from rank.baselines.config import TreesConfig
from rank.baselines.history_matrices import task_matrices
from rank.baselines.simple import choice_quality, own_history, popularity
from rank.baselines.trees.code_statistics import TRANSITION_PRIOR, code_statistics
from rank.baselines.trees.gbdt import gbdt
from rank.baselines.trees.pair_features import FEATURES, PairBlock
from rank.baselines.trees.pair_table import drawn_folds, drawn_pairs, training_pairs

QUICK = TreesConfig(rounds=60, patience=10, likely=6, random=6, leaves=7)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return planted_task(tmp_path_factory.mktemp("trees") / "task")


def features_by_a_loop(task, row, column, item_score, place):
    """What FEATURES say of one patient and one candidate, from the rows of the prepared task."""
    train = [example for example in task.splits["train"] if example["history"]]
    code = task.codes[column]
    had = [{one for visit in example["history"] for one in visit["codes"]} for example in train]
    popularity = (sum(code in example["targets"] for example in train) + 0.5) / (len(train) + 1)

    def given(other):
        both = sum(other in codes and code in example["targets"] for codes, example in zip(had, train, strict=True))
        return (both + TRANSITION_PRIOR * popularity) / (sum(other in codes for codes in had) + TRANSITION_PRIOR)

    history = row["history"]
    places = [number for number, visit in enumerate(reversed(history), start=1) if code in visit["codes"]]
    days = [visit["days_before"] for visit in history if code in visit["codes"]]
    chances = [given(other) for other in {one for visit in history for one in visit["codes"]}]
    new = [code in example["targets"] for codes, example in zip(had, train, strict=True) if code not in codes]
    last = [code in example["targets"] for example in train if code in example["history"][-1]["codes"]]
    all_last = [one in example["targets"] for example in train for one in set(example["history"][-1]["codes"])]
    mean_return = sum(all_last) / len(all_last)
    return {
        "in the last visit": float(code in history[-1]["codes"]),
        "visits with the code": len(places),
        "share of the visits with the code": len(places) / len(history),
        "visits since the code": places[0] if places else np.nan,
        "days since the code": days[-1] if days and days[-1] is not None else np.nan,
        "visits": len(history),
        "days since the last visit": np.nan if history[-1]["days_before"] is None else history[-1]["days_before"],
        "codes of the last visit": len(set(history[-1]["codes"])),
        "codes of the history": len(chances),
        "age": np.nan if row["age"] is None else row["age"],
        "female": {"F": 1.0, "M": 0.0}.get(row["sex"], np.nan),
        "log popularity": np.log(popularity),
        "log onset": np.log((sum(new) + popularity) / (len(new) + 1)),
        "recurrence": (sum(last) + TRANSITION_PRIOR * mean_return) / (len(last) + TRANSITION_PRIOR)
        if places
        else np.nan,
        "max P(code | code of the history)": max(chances),
        "mean P(code | code of the history)": np.mean(chances),
        "max P(code | code of the last visit)": max(given(other) for other in set(history[-1]["codes"])),
        "item-item score": item_score,
        "place by item-item score": np.log1p(place),
    }


@pytest.mark.parametrize("last_apart", [False, True])
def test_features_equal_a_loop_over_one_patient(task, last_apart):
    statistics = code_statistics(task_matrices(task, "train", with_history=True), 3.0, last_apart)
    examples = task_matrices(task, "test")
    block = PairBlock(examples, statistics)
    rows, columns = np.divmod(np.arange(len(examples) * len(task.codes)), len(task.codes))
    values = block.features(rows, columns).reshape(len(examples), len(task.codes), len(FEATURES))
    generator = np.random.default_rng(0)
    for number in generator.choice(len(examples), 12, replace=False):
        row = task.splits["test"][int(number)]
        seen = np.zeros(len(task.codes))
        seen[[task.column[code] for visit in row["history"] for code in visit["codes"]]] = 1
        if last_apart:
            last = np.zeros(len(task.codes))
            last[[task.column[code] for code in row["history"][-1]["codes"]]] = 1
            seen = np.concatenate([seen, last])
        item_scores = seen @ statistics.item_weights + statistics.item_constant
        np.testing.assert_allclose(block.item_scores[number], item_scores, rtol=1e-4, atol=1e-6)
        for column in generator.choice(len(task.codes), 5, replace=False):
            own = block.item_scores[number, column]
            place = sum(score > own for score in block.item_scores[number])
            place += sum(score == own for score in block.item_scores[number, :column])
            expected = features_by_a_loop(task, row, int(column), item_scores[column], place)
            for name, value in expected.items():
                assert values[number, column, FEATURES.index(name)] == pytest.approx(value, rel=1e-4, nan_ok=True), name
    group = FEATURES.index("log popularity by age and sex")
    assert set(FEATURES) == {*expected, FEATURES[group]}
    assert np.ptp(values[:, :, group]) > 0


def test_the_target_of_a_training_patient_is_not_in_its_own_features(task):
    """Two tables of pairs, alike but for the targets of one patient: the features of its own pairs are the same, those
    of others are not."""
    examples = task_matrices(task, "train", with_history=True)
    changed = examples.of(np.arange(len(examples)))
    patient = int(examples.patients[3])
    own = np.flatnonzero(examples.patients == patient)
    targets = examples.targets.toarray()
    targets[own] = 1 - targets[own]
    changed = type(examples)(
        **{name: getattr(examples, name) for name in examples.__slots__ if name != "targets"},
        targets=type(examples.targets)(targets),
    )
    num_codes = targets.shape[1]
    tables = [training_pairs(part, 3.0, num_codes, 0, 10**6, folds=4, seed=0) for part in (examples, changed)]
    folds = drawn_folds(examples.patients, 4, np.random.default_rng(0))
    order = np.concatenate([np.flatnonzero(folds == fold) for fold in range(4)])
    of_pair = np.repeat(order, num_codes)
    is_own = np.isin(of_pair, own)
    assert is_own.sum() == len(own) * num_codes
    np.testing.assert_array_equal(tables[0].features[is_own], tables[1].features[is_own])
    assert (tables[0].targets[is_own] != tables[1].targets[is_own]).all()
    assert (tables[0].features[~is_own] != tables[1].features[~is_own]).any()


def test_a_patients_examples_are_in_one_fold():
    patients = np.array([0, 1, 1, 2, 3, 3, 3, 4])
    folds = drawn_folds(patients, 3, np.random.default_rng(1))
    assert all(len(set(folds[patients == patient])) == 1 for patient in range(5))
    assert sorted(np.bincount(folds[[0, 1, 3, 4, 7]])) == [1, 2, 2]


def test_drawn_pairs_stand_for_all_of_them(task):
    """Their weights sum to the number of candidates, and the weighted mean of a feature to that of all pairs."""
    examples = task_matrices(task, "train", with_history=True)
    statistics = code_statistics(examples, item_penalty=3.0)
    drawn = drawn_pairs(examples, statistics, 4, 6, np.random.default_rng(0))
    num_codes = len(task.codes)
    sums = np.add.reduceat(drawn.weights, np.concatenate([[0], np.cumsum(drawn.group_sizes)[:-1]]))
    np.testing.assert_allclose(sums, num_codes, rtol=1e-5)
    assert drawn.targets.sum() == examples.targets.sum()
    everything = drawn_pairs(examples, statistics, num_codes, 0, np.random.default_rng(0))
    assert (everything.weights == 1).all()
    assert everything.blind.all()
    feature = FEATURES.index("log popularity")
    tables = [drawn_pairs(examples, statistics, 4, 6, np.random.default_rng(seed)) for seed in range(20)]
    means = [np.average(table.features[:, feature], weights=table.weights) for table in tables]
    assert np.mean(means) == pytest.approx(everything.features[:, feature].mean(), rel=0.01)
    # What is there only for being a target is marked; without targets the rest would be the same.
    assert drawn.targets[~drawn.blind].all()
    assert (~drawn.blind).any()
    without = type(examples)(
        **{name: getattr(examples, name) for name in examples.__slots__ if name != "targets"},
        targets=type(examples.targets)(examples.targets.shape, dtype=np.float32),
    )
    blindly = drawn_pairs(without, statistics, 4, 6, np.random.default_rng(0))
    np.testing.assert_array_equal(blindly.features, drawn.features[drawn.blind])


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_planted_transitions_are_learnt_and_a_seed_fixes_the_result(task, objective):
    config = TreesConfig(rounds=60, patience=10, likely=6, random=6, leaves=7, objectives=(objective,))
    scored, targets = gbdt(task, config, seed=1), task.targets("test")
    assert scored.test.shape == targets.shape
    assert scored.chosen["objective"] == objective
    floor = max(recall_at_k(baseline(task).test, targets, 2) for baseline in (popularity, own_history))
    assert recall_at_k(scored.test, targets, 2) > floor + 0.2
    np.testing.assert_array_equal(gbdt(task, config, seed=1).test, scored.test)


def test_of_two_objectives_the_better_on_validation_scores(task):
    one_by_one = {
        objective: gbdt(task, TreesConfig(rounds=20, likely=6, random=6, leaves=7, objectives=(objective,)), seed=0)
        for objective in ("binary", "lambdarank")
    }
    both = gbdt(task, TreesConfig(rounds=20, likely=6, random=6, leaves=7), seed=0)
    qualities = {
        name: choice_quality(scored.validation, task.targets("validation")) for name, scored in one_by_one.items()
    }
    assert qualities[both.chosen["objective"]] == max(qualities.values())
    np.testing.assert_array_equal(both.test, one_by_one[both.chosen["objective"]].test)


def test_a_hospital_without_age_sex_or_dates_and_a_code_nobody_lacks(tmp_path):
    task = planted_task(tmp_path / "bare", patients=60, bare=True)
    scored = gbdt(task, QUICK, seed=0)
    assert np.isfinite(scored.test).all()
    assert np.isfinite(scored.validation).all()


def test_examples_are_left_out_where_pairs_would_be_too_many(task):
    examples = task_matrices(task, "train", with_history=True)
    table = training_pairs(examples, 3.0, 4, 4, 80, folds=4, seed=0)
    assert len(table.group_sizes) == 10
