"""What is called certain where patients do not differ, where only few have a value, and where intervals and tests
disagree: from predictions to sentences."""

import numpy as np
import pytest
from made_up_runs import NUM_CODES, NUM_EXAMPLES, change_run, make_runs

from mera.report.comparison.compare import compare
from mera.report.comparison.pairs import best_runs, find_pair
from mera.report.comparison.words.summary import verdict
from mera.report.measures.load import group_runs
from mera.runs.predictions import read_predictions

PATIENTS = NUM_EXAMPLES // 2


def compared(folder, scores, **changes):
    """The comparison of one run for each name in `scores`."""
    source = make_runs(folder / "plain")[1]
    paths = [change_run(source, folder / name, scores=of_run, **changes) for name, of_run in scores.items()]
    (group,) = group_runs(paths)
    return compare(group, bootstrap_samples=50, seed=0)


@pytest.fixture(scope="module")
def one_code(tmp_path_factory):
    """Every example has one true code, which one model ranks first and the other last."""
    targets = np.zeros((NUM_EXAMPLES, NUM_CODES), dtype=bool)
    targets[np.arange(NUM_EXAMPLES), np.arange(NUM_EXAMPLES) % NUM_CODES] = True
    right = targets.astype(np.float32)
    seen = targets & (np.arange(NUM_EXAMPLES) >= 2)[:, None]  # new to the first patient alone
    return compared(tmp_path_factory.mktemp("alike"), {"good": right, "bad": -right}, targets=targets, seen=seen)


def test_a_difference_of_all_patients_alike_is_tested_by_their_signs(one_code):
    pair = find_pair(one_code.pairs, "recall@20", "good", "bad")
    assert (pair.difference, pair.low, pair.high, pair.p) == (1.0, None, None, 2 * 0.5**PATIENTS)
    said = [bullet.sentence for bullet in verdict(one_code)]
    assert "good (good) ranks best:" in said[0].replace("MERA tiny", "good")
    assert said[1] == (
        "That is certain: by the paired test; MERA tiny (bad) comes nearest, 100.0 points lower for all patients alike."
    )


def test_a_metric_that_one_patient_has_is_not_tested(one_code):
    pair = find_pair(one_code.pairs, "new_recall@20", "good", "bad")
    assert (pair.difference, pair.low, pair.p, pair.p_holm) == (1.0, None, None, None)


def test_the_first_line_and_the_groups_have_the_same_interval(one_code):
    good = next(run for run in one_code.runs if run.name == "good")
    exact = pytest.approx((1.0, 0.025 ** (1 / PATIENTS), 1.0))
    recall = good.metrics["recall@20"]
    assert (recall.value, recall.low, recall.high) == exact
    visits = next(stratum for stratum in one_code.strata if len(stratum.groups) == 1 or stratum.key == "frequency")
    for group, share in zip(visits.groups, visits.values["good"], strict=True):
        if group.targets:
            assert (share.value, share.low) == pytest.approx((1.0, 0.025 ** (1 / group.patients)))


def test_a_single_patient_has_no_interval_but_the_exact_one(tmp_path):
    first = read_predictions(make_runs(tmp_path / "made")[1])
    comparison = compared(tmp_path, {"a": first.scores, "b": -first.scores}, patient_ids=["one"] * NUM_EXAMPLES)
    assert all(pair.p is None and pair.low is None for pair in comparison.pairs)
    assert not best_runs([], comparison.pairs)
    said = [bullet.sentence for bullet in verdict(comparison)]
    assert said[1].startswith(
        "It may not be the best: no test is possible, which takes two patients and two resamples: "
    )
    assert "told apart" not in " ".join(said)
