"""A run keeps its scores of the validation split in the form of its predictions."""

import json

import numpy as np
import pytest
from made_up_runs import change_run, make_runs
from tiny_task import make_tiny_task

from mera.report.measures.load import group_runs
from mera.runs.other_splits.validation_scores import read_validation, write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny")


def write_run(task, output, **manifest):
    """A run of made-up scores; the matrices of both splits are returned with its folder."""
    run, generator = RunDirectory(output), np.random.default_rng(3)
    scores = {name: generator.standard_normal(task.targets(name).shape) for name in ("test", "validation")}
    record = {"run": output.name, "task": {"name": "tiny", "split": "test"}, **manifest}
    write_predictions(run.path("predictions"), predictions_for_task(task, "test", scores["test"], 0.5, record))
    write_validation(run, task, scores["validation"], 0.5, record)
    return run.finish(), scores


def test_they_are_read_as_predictions_of_the_validation_split(task, tmp_path):
    folder, scores = write_run(task, tmp_path / "run", seed=4)
    read = read_validation(folder)
    np.testing.assert_allclose(read.scores[:, : read.num_candidates], scores["validation"], rtol=1e-6)
    assert read.example_ids == list(task.splits["validation"]["example_id"])
    assert read.manifest == {"run": "run", "task": {"name": "tiny", "split": "validation"}, "seed": 4}
    assert read.thresholds == pytest.approx(0.5)


def test_a_report_does_not_read_them(tmp_path):
    folder = make_runs(tmp_path)[1]
    (folder / "validation").mkdir()
    (folder / "validation" / "scores.npy").write_bytes(b"no array")
    (group,) = group_runs([folder])
    assert group.first_run == "rank-tiny"


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("rank", "python rank/ablations/rescore.py --run {folder} --task TASK --output RUN"),
        ("bi_encoder", "python bi_encoder/reruns/rescore.py --run {folder} --task TASK --output RUN"),
        ("baseline", "the command of its manifest.json: rank/train.py --config configs/rank/tiny.yaml --run rank-tiny"),
    ],
)
def test_a_run_without_them_is_told_the_command(tmp_path, kind, command):
    folder = change_run(make_runs(tmp_path)[1], tmp_path / "bare", manifest={"kind": kind})
    with pytest.raises(UserError) as refused:
        read_validation(folder)
    assert str(refused.value) == (
        f"{folder} holds no validation predictions ({folder / 'validation'}); make a run that does with "
        + command.format(folder=folder)
    )


def test_a_baseline_is_told_the_command_that_a_user_types(tmp_path):
    changed = {"kind": "baseline", "command": "rank/run_baselines.py --task prepared/x --output runs"}
    folder = change_run(make_runs(tmp_path)[1], tmp_path / "bare", manifest=changed)
    with pytest.raises(UserError, match=r"manifest.json: mera baselines --task prepared/x --output runs"):
        read_validation(folder)


def test_a_pooled_run_has_none(tmp_path):
    folder = change_run(make_runs(tmp_path)[1], tmp_path / "bare", manifest={"pooled": ["mera pool"]})
    with pytest.raises(UserError, match="fuse the runs of each fold, and pool what that gives"):
        read_validation(folder)


def test_another_split_in_their_place_is_named(task, tmp_path):
    folder, _ = write_run(task, tmp_path / "run")
    manifest = folder / "validation" / "manifest.json"
    written = json.loads(manifest.read_text())
    for split, said in (("test", "test"), (None, "none that its manifest names")):
        manifest.write_text(json.dumps(written | {"task": written["task"] | {"split": split}}))
        with pytest.raises(UserError, match=f"validation holds no predictions of the validation split but of {said}; "):
            read_validation(folder)


def test_damaged_ones_are_named(task, tmp_path):
    folder, _ = write_run(task, tmp_path / "run")
    (folder / "validation" / "manifest.json").write_text(json.dumps(3))
    with pytest.raises(FileNotFoundError, match=r"validation has no manifest\.json"):
        read_validation(folder)
    (folder / "validation" / "scores.npy").unlink()
    with pytest.raises(FileNotFoundError, match="no predictions in"):
        read_validation(folder)
