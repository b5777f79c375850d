"""Runs of stage two and of baselines, fused, as one ranker: the fused run's own scores, and what it refuses."""

import json
import shutil

import numpy as np
import pytest
from fused_parts import write_part
from ready_python import run_ready
from small_note_run import make_note_run
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from mera.commands.fusion.fuse import fuse_runs
from mera.commands.predict import PROGRAMS, predict_command, what_it_ranks
from mera.root import ROOT
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, read_predictions, write_predictions
from mera.runs.records import task_record
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker
from rank.task_prediction.answers import PatientAnswers
from rank.task_prediction.fused_ranker import shown_to_any
from rank.task_prediction.open_ranker import open_ranker

HISTORY = [["I10", "I50.9"], ["N17.9"]]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=120)


@pytest.fixture(scope="module")
def runs(task, tmp_path_factory):
    """Stage two, EASE and the linear model; all three fused, and this with own history."""
    folder = tmp_path_factory.mktemp("runs")
    only = ("ease", "linear", "own-history")
    command = ("-m", "mera.cli", "baselines", "--task", task.path, "--output", folder, "--only", *only)
    done = run_ready(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    write_stage_two(task, folder / "two")
    fuse_runs([folder / name for name in ("two", "ease", "linear")], folder / "fused")
    fuse_runs([folder / "fused", folder / "own-history"], folder / "twice")
    return folder


def write_stage_two(task, output):
    """What rank/train.py leaves behind, of a model that was never trained."""
    run = RunDirectory(output)
    ranker = Ranker.load(make_checkpoint(task, run.path("checkpoint")))
    record = {"run": "two", "model": "stage two", "kind": "rank", "config": {}, "task": task_record(task, "test")}
    for split in ("test", "validation"):
        scores, eov = ranker.score(list(task.splits[split]))
        thresholds = ranker.rule.thresholds(scores, eov)
        if split == "validation":
            write_validation(run, task, scores, thresholds, record)
        else:
            write_predictions(run.path("predictions"), predictions_for_task(task, split, scores, thresholds, record))
    return run.finish()


@pytest.mark.parametrize("name", ["fused", "twice"])
def test_it_scores_the_test_split_as_the_run_did(runs, task, name):
    of_run, ranker = read_predictions(runs / name), open_ranker(runs / name)
    scores, eov = ranker.score(list(task.splits["test"]))
    np.testing.assert_allclose(scores, of_run.scores, rtol=1e-4, atol=1e-4)
    predicted = scores > ranker.rule.thresholds(scores, eov)[:, None]
    near = np.abs(of_run.scores - of_run.thresholds[:, None]) < 1e-3
    np.testing.assert_array_equal(predicted[~near], of_run.predicted[~near])
    assert ranker.called == of_run.manifest["model"]
    assert ranker.rule.slope == of_run.manifest["calibration"]["slope"]


def test_every_part_counts(runs, task):
    ranker = open_ranker(runs / "fused")
    rows = list(task.splits["test"])[:5]
    whole, _ = ranker.score(rows)
    for part in ranker.parts:
        score = part.score
        part.score = lambda rows, *more, score=score: (score(rows, *more)[0] * -1, score(rows, *more)[1])
        changed = not np.allclose(ranker.score(rows)[0], whole)
        assert changed == (ranker.fusion.fusion.weights[ranker.parts.index(part)] > 0)
        part.score = score


def test_it_is_asked_as_a_model_of_stage_two_is(runs, tmp_path):
    assert what_it_ranks(runs / "twice") == "patients"
    assert predict_command([str(runs / "twice")])[1].endswith(PROGRAMS["patients"])
    words = ("--history", "I10,I50.9;N17.9", "--days", "90;10", "--age", "70", "--sex", "F", "--json")
    done = run_ready(("-m", "mera.cli", "predict", runs / "fused", *words), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    ranker = open_ranker(runs / "fused")
    expected = ranker.rank(HISTORY, days_before=[90, 10], age=70, sex="F", top=20)
    assert [code["code"] for code in json.loads(done.stdout)["codes"]] == [code.code for code in expected]
    answers = PatientAnswers(ranker)
    assert answers.about()["model"] == "fusion of stage two, EASE, history to next visit, linear"
    visits = [{"codes": codes, "days_before": days} for codes, days in zip(HISTORY, (90, 10), strict=True)]
    patient = {"history": visits, "age": 70, "sex": "F", "text": None}
    (reply,) = answers.rank({"patients": [patient], "top": 20, "explain": False})["patients"]
    assert [code["code"] for code in reply["codes"]] == [code.code for code in expected]


def test_what_the_parts_do_not_read_is_told_once_for_each_that_reads_prompts(runs):
    ranker, told = open_ranker(runs / "fused"), []
    long = ranker.row([["I10"]] * 400)
    ranker.score([long], 4, told.append)
    assert len(told) == 1
    assert "visit" in told[0]


def test_parts_that_rank_no_patients_are_refused(runs, task, tmp_path):
    for name in ("ease", "own-history"):
        shutil.copytree(runs / name, tmp_path / name)
    write_part(task, tmp_path / "bare", 1.0, 1.0)
    fuse_runs([tmp_path / "ease", tmp_path / "bare"], tmp_path / "fused")
    assert what_it_ranks(tmp_path / "fused") == "patients"
    with pytest.raises(UserError) as refusal:
        open_ranker(tmp_path / "fused")
    sentence = (
        f"{tmp_path / 'bare'}, a part of {tmp_path / 'fused'}, keeps no model that ranks patients; fuse without it"
    )
    assert str(refusal.value) == sentence


def test_a_fusion_of_notes_stays_one(task, tmp_path):
    notes = make_tiny_task(tmp_path / "notes", kind="coding", patients=60)
    make_note_run(notes, tmp_path / "laa")
    write_part(notes, tmp_path / "bare", 1.0, 1.0)
    fuse_runs([tmp_path / "laa", tmp_path / "bare"], tmp_path / "fused")
    assert what_it_ranks(tmp_path / "fused") == "notes"


def test_what_any_part_was_shown():
    read, not_read, unknown = (TrainedOn(ontology="icd10cm", age=value) for value in (True, False, None))
    assert [
        shown_to_any(parts).age
        for parts in ([read, not_read], [not_read, not_read], [unknown, not_read], [unknown, read])
    ] == [True, False, None, True]
