"""What the wide part reads, against loops over visits, and a training patient's row against counts without him."""

import numpy as np
import pytest
from tiny_task import make_tiny_task

from rank.wide.features import FEATURES, GROUP_LEVELS, PATIENT_FEATURES, WideTables, count_training_visits
from rank.wide.item_scores import best_penalty, item_item_weights


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("wide") / "task", seed=3)


def naive_features(task, row, counts, linked_score):
    """(C, K) by the definitions, one code after the other. counts (C,), linked_score (C,) and the number of rows."""
    counts, num_rows = counts
    visits = [set(visit["codes"]) for visit in row["history"]]
    groups = {level: dict(zip(task.codes, task.groups(level), strict=True)) for level in GROUP_LEVELS}
    features = np.zeros((len(task.codes), len(FEATURES)))
    for place, code in enumerate(task.codes):
        number = sum(code in visit for visit in visits)
        seen, last = float(number > 0), float(bool(visits) and code in visits[-1])
        new, prior = float(bool(visits) and not seen), np.log1p(counts[place])
        base = (counts[place] + 0.5) / (num_rows + 1)
        same = {}
        if not seen:
            others = set().union(*visits) if visits else set()
            smaller = 0
            for level in reversed(GROUP_LEVELS):
                number_same = sum(groups[level][other] == groups[level][code] for other in others)
                same[level] = np.log1p(number_same - smaller)
                smaller = number_same
        features[place] = [
            np.log(max(base + linked_score[place], 0.1 * base) / base),
            10 * linked_score[place],
            *(new, seen, last, prior, np.log(number) if number else 0.0, new * prior, seen * prior, last * prior),
            np.log(number / len(visits)) if number else 0.0,
            seen * np.log(max(len(visits), 1)),
            *(same.get(level, 0.0) for level in GROUP_LEVELS),
        ]
    return features


def history_matrix(task, rows):
    history = np.zeros((len(rows), len(task.codes)))
    for number, row in enumerate(rows):
        for visit in row["history"]:
            history[number, [task.column[code] for code in visit["codes"]]] = 1
        for code in row["history"][-1]["codes"] if row["history"] else []:
            history[number, task.column[code]] = 2
    return history


def test_features_of_a_new_patient_equal_a_loop(task):
    tables, _ = count_training_visits(task)
    rows = [*task.splits["test"], {"age": None, "sex": None, "history": [], "text": None}]
    features = tables.features([tables.patient(row, task.column) for row in rows])
    for number, row in enumerate(rows):
        score = history_matrix(task, [row])[0] @ tables.item_weights
        expected = naive_features(task, row, (tables.counts, tables.num_rows), score)
        np.testing.assert_allclose(features[number], expected, rtol=1e-4, atol=1e-5)
    assert features[:-1, :, FEATURES.index("linked")].std() > 0.1


def test_a_training_patient_is_left_out_of_all_that_was_counted(task):
    tables, patients = count_training_visits(task)
    rows, targets = list(task.splits["train"]), task.targets("train").astype(float)
    owners = np.array(task.splits["train"]["patient_id"])
    history = history_matrix(task, rows)
    used = np.array([bool(row["history"]) for row in rows])
    extended = np.hstack([targets, np.ones((len(rows), 1))])
    penalty = best_penalty(history[used], extended[used], np.unique(owners[used], return_inverse=True)[1])
    for number in range(0, len(rows), 7):
        others = owners != owners[number]
        counts = (targets[others].sum(axis=0), int(others.sum()))
        base = (counts[0] + 0.5) / (counts[1] + 1)
        weights = item_item_weights(history[others & used], (targets - base)[others & used], penalty)
        expected = naive_features(task, rows[number], counts, history[number] @ weights)
        features = tables.features([patients[number]])[0]
        np.testing.assert_allclose(features, expected, rtol=5e-3, atol=2e-2)
        assert np.abs(features - tables.features([tables.patient(rows[number], task.column)])[0]).max() > 0.02


def test_features_of_a_patient():
    tables = WideTables(
        counts=np.array([3.0, 1.0], dtype=np.float32),
        num_rows=4,
        item_weights=np.zeros((2, 2), dtype=np.float32),
        linked=np.arange(2),
        group_ids=np.zeros((3, 2), dtype=np.int64),
        age=(60.0, 20.0),
        visits=0.5,
        codes=1.0,
    )
    history = [{"codes": ["A", "B"], "days_before": None}, {"codes": ["A"], "days_before": None}]
    old = tables.patient({"age": 90, "sex": "F", "history": history, "text": None}, {"A": 0, "B": 1})
    values = dict(zip(PATIENT_FEATURES, old.patient.tolist(), strict=True))
    assert values["age"] == 1.5
    assert values["age_squared"] == 1.25
    assert (values["sex"], values["no_history"]) == (1, 0)
    assert values["history_visits"] == pytest.approx(np.log(3) - 0.5)
    assert values["history_codes"] == pytest.approx(np.log(3) - 1)
    unknown = tables.patient({"age": None, "sex": None, "history": [], "text": None}, {"A": 0, "B": 1})
    assert unknown.patient.tolist() == [0, 0, 0, 1, 0, 0]
