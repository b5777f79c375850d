"""`--dry-run` on each of the three trainers: two steps, an evaluation, and nothing left behind."""

import json
import os
import re
import runpy
import tempfile
from pathlib import Path

import pytest
import wandb  # noqa: F401  (TRL imports it, and it makes temporary folders of its own then)
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from data.few_rows import with_few_held_out
from memorize.config import MemorizeConfig
from mera.config import DryRun, parse_training_config

ROOT = Path(__file__).parent.parent
LANGUAGE_MODEL = {"model.base": None, "model.architecture": ARCHITECTURE}
ENCODER = {
    "model_type": "modernbert",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
CASES = {
    "memorize": (LANGUAGE_MODEL | {"training.batch_size": 16, "training.epochs": 3}, 16),
    "rank": (LANGUAGE_MODEL | {"training.batch_size": 8, "training.gradient_accumulation": 2}, 16),
    "bi_encoder": ({"encoder.architecture": ENCODER, "training.batch_size": 4}, 4),
}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=80)


def options(settings):
    return [part for key, value in settings.items() for part in (f"--{key}", json.dumps(value))]


def files_under(*folders):
    return {path for folder in folders for path in Path(folder).rglob("*")}


@pytest.mark.parametrize("stage", CASES)
def test_a_dry_run_takes_two_steps_and_leaves_nothing(stage, task, tmp_path, monkeypatch, capsys):
    settings, step_examples = CASES[stage]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    before = files_under(tmp_path, task.path)
    script = ROOT / stage / "train.py"
    arguments = ["--config", str(ROOT / "configs" / stage / "tiny.yaml"), "--task", str(task.path)]
    arguments += ["--output", "runs/x", "--dry-run", "--training.tracking", "wandb", *options(settings)]
    monkeypatch.setattr("sys.argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert f"dry run: 2 steps of {step_examples} examples and a small evaluation" in printed
    assert re.search(
        r"dry run: [\d.]+ steps/s, [\d,]+ tokens/s with the longest batch, peak of this process [\d.]+ GiB of host",
        printed,
    )
    steps, examples = re.search(r"would run ([\d,]+) steps on ([\d,]+) examples", printed).groups()
    epochs = {"memorize": 3, "rank": 5, "bi_encoder": 3}[stage]
    assert int(steps) == epochs * -(-int(examples) // step_examples)
    if stage != "memorize":
        assert int(examples) == len(task.splits["train"])
    assert files_under(tmp_path, task.path) == before
    assert not [name for name in os.environ if name.startswith("WANDB_") and "mera" in os.environ[name]]


def test_a_dry_run_tracks_nothing(capsys):
    given = ["--task", "t", "--output", "o", "--model.architecture", "{model_type: mistral}"]
    config, dry_run = parse_training_config(MemorizeConfig, "", [*given, "--training.tracking", "wandb"])
    assert (config.training.tracking, dry_run) == ("wandb", None)
    config, dry_run = parse_training_config(MemorizeConfig, "", ["--dry-run", *given, "--training.tracking", "wandb"])
    assert (config.training.tracking, dry_run) == ("none", DryRun())
    with pytest.raises(SystemExit):
        parse_training_config(MemorizeConfig, "", [*given, "--dry-runs"])
    assert "unknown key 'dry-runs'" in capsys.readouterr().err


def test_a_task_is_cut_down_without_changing_the_rest(task):
    few = with_few_held_out(task, 3)
    assert [len(few.splits[name]) for name in ("train", "validation", "test")] == [len(task.splits["train"]), 3, 3]
    assert few.targets("test").tolist() == task.targets("test")[:3].tolist()
    assert len(with_few_held_out(task, 10_000).splits["test"]) == len(task.splits["test"])
