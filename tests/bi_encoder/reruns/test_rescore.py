"""The scores of the validation split, made again from a checkpoint."""

import shutil

import numpy as np
import pytest
from bi_encoder_runs import configuration, outputs_of, start
from ready_python import run_ready
from tiny_task import make_tiny_task

from bi_encoder.inputs.code_names import names_for_scoring
from bi_encoder.start import with_carried_evidence
from mera.root import ROOT
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A task, and a run on it."""
    folder = tmp_path_factory.mktemp("trained")
    task = make_tiny_task(folder / "task", kind="coding", patients=120)
    run, trainer = start(task, configuration(task, folder / "run", variant="laa_mrl"))
    trainer.train()
    outputs_of(trainer, task, configuration(task, folder / "run", variant="laa_mrl"), run)
    return task, run.finish()


def rescore(run, task, output):
    words = ("--run", run, "--task", task, "--output", output)
    return run_ready(["bi_encoder/reruns/rescore.py", *words], cwd=ROOT, timeout=120)


def test_the_checkpoint_gives_what_training_left(trained, tmp_path):
    task, run = trained
    shutil.copytree(run, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "validation")
    done = rescore(tmp_path / "bare", task.path, tmp_path / "scored")
    assert done.returncode == 0, done.stderr
    again, first = read_validation(tmp_path / "scored"), read_validation(run)
    np.testing.assert_allclose(again.scores, first.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(again.thresholds, first.thresholds)
    predictions = read_predictions(tmp_path / "scored")
    np.testing.assert_array_equal(predictions.scores, read_predictions(run).scores)
    assert predictions.records["evidence"] == read_predictions(run).records["evidence"]


def test_names_that_training_took_from_a_translation_are_read_again(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding", marked=False)
    marked = make_tiny_task(tmp_path / "marked", kind="coding")
    names = {"selection.code_vectors": "best", "selection.spans_per_code": 2, "selection.scoring": "full"}
    names |= {"evidence.translation": str(marked.path)}
    config = configuration(task, tmp_path / "run", variant="laa_mrl", **names)
    carried, _ = with_carried_evidence(task, config)
    assert len(names_for_scoring(carried, 8, 2).texts) > len(names_for_scoring(task, 8, 2).texts)
    run, trainer = start(carried, config)
    outputs_of(trainer, carried, config, run)
    done = rescore(run.finish(), task.path, tmp_path / "scored")
    assert done.returncode == 0, done.stderr
    again, first = read_validation(tmp_path / "scored"), read_validation(tmp_path / "run")
    np.testing.assert_allclose(again.scores, first.scores, rtol=1e-4, atol=1e-3)


def test_another_task_is_refused(trained, tmp_path):
    other = make_tiny_task(tmp_path / "other", kind="coding", patients=120, seed=5)
    refused = rescore(trained[1], other.path, tmp_path / "scored")
    assert refused.returncode == 1
    assert f"{trained[1]} was trained on another task than {other.path}" in refused.stderr
    assert not (tmp_path / "scored").exists()
