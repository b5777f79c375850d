"""The training notes of a bi-encoder, scored by models of the other folds."""

import numpy as np
import pytest
from bi_encoder_runs import configuration, outputs_of, start
from ready_python import run_ready
from tiny_task import make_tiny_task

from bi_encoder.checkpoint import load_bi_encoder
from bi_encoder.reruns.fold_scores import score_fold
from mera.evaluation.metrics import mean_average_precision
from mera.root import ROOT
from mera.runs.other_splits.train_scores import folds_of_patients, read_train
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions
from mera.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A task, and a run on it."""
    folder = tmp_path_factory.mktemp("trained")
    task = make_tiny_task(folder / "task", kind="coding", patients=120)
    config = configuration(task, folder / "run", variant="mean_mrl")
    run, trainer = start(task, config)
    trainer.train()
    outputs_of(trainer, task, config, run)
    return task, run.finish()


def out_of_fold(run, task, output, folds):
    words = ("--run", run, "--task", task, "--output", output, "--folds", folds)
    return run_ready(["bi_encoder/reruns/out_of_fold.py", *words], cwd=ROOT, timeout=250)


def test_each_fold_is_scored_by_a_model_of_the_others(trained, tmp_path):
    task, run = trained
    output, partial = tmp_path / "candidates", tmp_path / ".candidates.partial"
    fold = folds_of_patients(task.splits["train"]["patient_id"], 2)
    done_before = partial / "fold-1"  # as an interrupted run would have left it
    done_before.mkdir(parents=True)
    mine = np.full(((fold == 1).sum(), len(task.codes)), 0.5, dtype=np.float32)
    np.save(done_before / "scores.npy", mine)
    done = out_of_fold(run, task.path, output, 2)
    assert done.returncode == 0, done.stderr[-2000:]
    train = read_train(output)
    np.testing.assert_array_equal(train.scores[fold == 1], mine)
    scores, targets = train.scores[fold == 0], task.targets("train")[fold == 0]
    by_chance = mean_average_precision(np.random.default_rng(0).normal(size=scores.shape), targets)
    assert mean_average_precision(scores, targets) > by_chance + 0.1
    assert train.manifest["candidate_folds"] == 2
    np.testing.assert_array_equal(read_predictions(output).scores, read_predictions(run).scores)
    np.testing.assert_array_equal(read_validation(output).scores, read_validation(run).scores)
    assert sorted(path.name for path in output.iterdir()) == ["predictions", "run.json", "train", "validation"]


def test_codes_are_named_by_the_notes_that_were_learnt_from(trained, tmp_path, monkeypatch):
    """With `selection.spans_per_code` the task that scores names codes by phrases marked in its training notes."""
    task, run = trained
    is_mine, read = np.arange(len(task.splits["train"])) % 2 == 0, []

    def scores_of(model, task, texts, widths, config):
        read.append((task.splits["train"]["example_id"], len(texts)))
        return {width: np.zeros((len(texts), len(task.codes)), np.float32) for width in widths}

    monkeypatch.setattr("bi_encoder.reruns.fold_scores.score_windows", scores_of)
    settings = read_predictions(run).manifest["config"]
    config = configuration(task, tmp_path / "run", variant="mean_mrl", training=settings["training"] | {"epochs": 1})
    _, record = load_bi_encoder(run / "checkpoint", codes=task.codes)
    score_fold(RunDirectory(tmp_path / "fold"), task, is_mine, config, record)
    others = [name for name, mine in zip(task.splits["train"]["example_id"], is_mine, strict=True) if not mine]
    ((names, number),) = read
    assert list(names) == others
    assert number == is_mine.sum()


def test_another_task_is_refused(trained, tmp_path):
    other = make_tiny_task(tmp_path / "other", kind="coding", patients=120, seed=5)
    refused = out_of_fold(trained[1], other.path, tmp_path / "candidates", 2)
    assert refused.returncode == 1
    assert f"{trained[1]} was trained on another task than {other.path}" in refused.stderr
