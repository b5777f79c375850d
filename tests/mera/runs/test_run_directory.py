"""A run directory is complete or absent, and resumes only what it began."""

import json
import sys

import pytest

from mera.root import ROOT
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.run_directory import RunDirectory


def test_nothing_is_visible_before_finish(tmp_path):
    run = RunDirectory(tmp_path / "runs" / "a")
    run.path("metrics.json").write_text("{}")
    run.path("trainer").mkdir()
    assert not run.final.exists()
    assert run.finish() == tmp_path / "runs" / "a"
    assert [path.name for path in run.final.iterdir()] == ["metrics.json"]
    assert not run.partial.exists()


def test_a_finished_run_is_not_overwritten(tmp_path):
    RunDirectory(tmp_path / "a").finish()
    with pytest.raises(ValueError, match="a already exists; choose another --output or remove it"):
        RunDirectory(tmp_path / "a")


def test_an_interrupted_run_is_resumed_only_by_itself(tmp_path):
    config = {"training": {"seed": 0}, "levels": ("all", "chapter")}
    RunDirectory(tmp_path / "a").claim(config, "fingerprint")
    (tmp_path / ".a.partial" / "trainer").mkdir()
    RunDirectory(tmp_path / "a").claim(config, "fingerprint")
    with pytest.raises(ValueError, match="an interrupted run that differs in training; repeat it"):
        RunDirectory(tmp_path / "a").claim(config | {"training": {"seed": 1}}, "fingerprint")
    with pytest.raises(ValueError, match="differs in task_fingerprint"):
        RunDirectory(tmp_path / "a").claim(config, "another")
    recorded = json.loads((tmp_path / ".a.partial" / "run.json").read_text())
    assert recorded["levels"] == ["all", "chapter"]


def test_a_run_that_ended_before_it_wrote_anything_holds_nobody_up(tmp_path):
    RunDirectory(tmp_path / "a").claim({"model": {"base": "a path with a mistake"}}, "fingerprint")
    RunDirectory(tmp_path / "a").claim({"model": {"base": "the right path"}}, "fingerprint")
    recorded = json.loads((tmp_path / ".a.partial" / "run.json").read_text())
    assert recorded["model"] == {"base": "the right path"}


def test_what_does_not_resume_begins_without_what_was_left_there(tmp_path):
    left = RunDirectory(tmp_path / "a")
    left.path("fitted").mkdir()
    again = RunDirectory.begun_anew(tmp_path / "a")
    assert [path.name for path in again.partial.iterdir()] == [".lock"]


def test_what_does_not_resume_leaves_an_interrupted_training_alone(tmp_path):
    RunDirectory(tmp_path / "a").claim({"training": {"seed": 0}}, "fingerprint")
    (tmp_path / ".a.partial" / "trainer").mkdir()
    with pytest.raises(ValueError, match="holds an interrupted training; repeat it as it was started to resume"):
        RunDirectory.begun_anew(tmp_path / "a")
    assert (tmp_path / ".a.partial" / "trainer").is_dir()


def test_the_recorded_command_does_not_say_where_the_project_lies(monkeypatch):
    root = ROOT
    arguments = [
        "--config",
        str(root / "configs" / "rank" / "tiny.yaml"),
        "--task",
        "prepared/x",
        "--output",
        "/data/r",
    ]
    monkeypatch.setattr(sys, "argv", [str(root / "rank" / "train.py"), *arguments])
    manifest = build_manifest(run="r", model="m", kind="rank", config={}, seed=0, task={}, clock=RunClock())
    assert manifest["command"] == "rank/train.py --config configs/rank/tiny.yaml --task prepared/x --output /data/r"
