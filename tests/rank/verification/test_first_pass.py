"""A first pass: its candidates and log-odds, and what is refused, each by one sentence."""

import json
import shutil

import numpy as np
import pytest
from first_pass_runs import FOLDERS, write_first_pass
from tiny_task import make_tiny_task

from data.task import SPLITS
from mera.system.errors import UserError
from rank.verification.first_pass import FirstPass


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=40)


@pytest.fixture(scope="module")
def scores(task):
    generator = np.random.default_rng(0)
    return {
        split: (generator.normal(size=task.targets(split).shape) + 2 * task.targets(split)).astype(np.float32)
        for split in SPLITS
    }


@pytest.fixture
def run(task, scores, tmp_path):
    return write_first_pass(tmp_path / "first", task, scores, candidate_folds=5)


def rows_of(task, split):
    return list(task.splits[split])


@pytest.mark.parametrize("split", SPLITS)
def test_candidates_are_the_best_codes(task, run, scores, split):
    first_pass = FirstPass(run, task, 7)
    candidates = first_pass.candidates(split, rows_of(task, split))
    for row, columns in enumerate(candidates.columns):
        assert columns.tolist() == sorted(range(len(task.codes)), key=lambda c: -scores[split][row, c])[:7]
    slope, intercept = first_pass.scale.slope, first_pass.scale.intercept
    np.testing.assert_allclose(candidates.log_odds, slope * scores[split] + intercept, rtol=1e-5, atol=1e-5)
    assert slope > 0
    true = task.targets(split)
    reached = sum(true[row, columns].sum() for row, columns in enumerate(candidates.columns))
    assert f"{reached:,} of {true.sum():,} true codes are among the best 7" in first_pass.sentence(
        split, candidates, true
    )


def test_rows_are_found_by_their_id(task, run, scores):
    rows = rows_of(task, "train")
    chosen = FirstPass(run, task, 5).candidates("train", [rows[9], rows[2]])
    everything = FirstPass(run, task, 5).candidates("train", rows)
    np.testing.assert_array_equal(chosen.columns, everything.columns[[9, 2]])


def test_a_run_without_thresholds_gets_one_from_validation(task, scores, tmp_path):
    run = write_first_pass(tmp_path / "without", task, scores, threshold=None, candidate_folds=5)
    first_pass = FirstPass(run, task, 3)
    assert first_pass.scale.threshold is not None
    shifted = {split: values + 17 for split, values in scores.items()}
    moved = FirstPass(write_first_pass(tmp_path / "moved", task, shifted, threshold=None, candidate_folds=5), task, 3)
    expected, log_odds = (each.candidates("test", rows_of(task, "test")).log_odds for each in (first_pass, moved))
    np.testing.assert_allclose(log_odds, expected, atol=1e-3)


def refusal(task, run, split, num_candidates=5, rows=None):
    with pytest.raises(UserError) as error:
        FirstPass(run, task, num_candidates).candidates(split, rows_of(task, split) if rows is None else rows)
    return str(error.value)


def test_more_candidates_than_codes_are_refused(task, run):
    assert f"verification.num_candidates is 31, but {task.path} has 30 codes" in refusal(task, run, "test", 31)
    assert FirstPass(run, task, 30).candidates("test", rows_of(task, "test")).columns.shape[1] == 30


@pytest.mark.parametrize("split", SPLITS)
def test_a_note_without_a_candidate_is_refused(task, scores, tmp_path, split):
    silent = {name: values.copy() for name, values in scores.items()}
    silent[split][[1, 3]] = 0.25
    run = write_first_pass(tmp_path / "silent", task, silent, candidate_folds=5)
    sentence = refusal(task, run, split)
    assert f"has no candidate for 2 examples of {split} (the first: row 2)" in sentence


@pytest.mark.parametrize("split", SPLITS)
def test_a_first_pass_of_another_task_is_refused(task, run, split):
    path = run / FOLDERS[split] / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"task": manifest["task"] | {"fingerprint": "0" * 64}}))
    assert f"{run / FOLDERS[split]} is of another task than {task.path}" in refusal(task, run, split)


def test_another_split_under_the_name_of_this_one_is_refused(task, run):
    shutil.rmtree(run / "predictions")
    shutil.copytree(run / "validation", run / "predictions")
    assert "holds the split validation, not test" in refusal(task, run, "test")


def test_a_first_pass_without_training_candidates_is_refused(task, run):
    shutil.rmtree(run / "train")
    sentence = refusal(task, run, "train")
    assert f"{run} holds no out-of-fold scores of its training rows" in sentence
    assert "mera retrieval-baselines --task TASK --output RUNS --candidate_folds 5" in sentence


def test_training_scores_that_were_not_made_out_of_fold_are_refused(task, scores, tmp_path):
    run = write_first_pass(tmp_path / "memorised", task, scores)
    assert "does not say by how many folds it was made" in refusal(task, run, "train")


def test_a_first_pass_without_validation_is_refused(task, run):
    shutil.rmtree(run / "validation")
    assert "holds no validation predictions" in refusal(task, run, "test")


def test_a_first_pass_that_ranks_by_chance_is_refused(task, scores, tmp_path):
    reversed_scores = {split: -values for split, values in scores.items()}
    run = write_first_pass(tmp_path / "reversed", task, reversed_scores, candidate_folds=5)
    assert "ranks validation no better than chance" in refusal(task, run, "test")


def test_rows_that_the_first_pass_has_not_scored_are_refused(task, run):
    rows = rows_of(task, "test")
    rows[1] = rows[1] | {"example_id": "somebody else"}
    assert "has no scores for 1 of the 6 examples of test (the first: row 2)" in refusal(task, run, "test", rows=rows)
