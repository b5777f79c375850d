"""`--dry-run` on each of the three trainers: two steps, an evaluation, and nothing left behind."""

import json
import os
import re
import runpy
import tempfile
from itertools import islice
from pathlib import Path

import pytest
import torch
import wandb  # noqa: F401  (TRL imports it, and it makes temporary folders of its own then)
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from data.task import with_few_held_out
from memorize.config import MemorizeConfig
from mera.doctor.dry_run import DryRun, FirstStepAgain, Rehearsal, parse_training_config
from mera.doctor.step_estimate import SAMPLED_BATCHES, epoch_tokens, num_tokens
from mera.root import ROOT
from mera.training.steps import EpochSeededLengthSampler, SeededCollator, ShareOfSteps, StepLoader

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
    arguments += ["--training.min_steps", "0"]
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


@pytest.mark.parametrize("stage", CASES)
def test_a_dry_run_counts_the_least_number_of_steps(stage, task, tmp_path, monkeypatch, capsys):
    settings, _ = CASES[stage]
    monkeypatch.chdir(tmp_path)
    script = ROOT / stage / "train.py"
    arguments = ["--config", str(ROOT / "configs" / stage / "tiny.yaml"), "--task", str(task.path)]
    arguments += ["--output", "runs/x", "--dry-run", *options(settings | {"training.epochs": 2})]
    monkeypatch.setattr("sys.argv", [str(script), *arguments, "--training.min_steps", "1001"])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr()
    steps, examples = re.search(r"would run ([\d,]+) steps on ([\d,]+) examples", printed.out).groups()
    epoch_steps = -(-int(examples.replace(",", "")) // CASES[stage][1])
    epochs = -(-1001 // epoch_steps)
    assert int(steps.replace(",", "")) == epochs * epoch_steps
    assert f"{epochs} epochs instead of 2, for at least 1,001 optimiser steps (training.min_steps)" in printed.err
    assert "too few" not in printed.err


def test_both_steps_of_a_rehearsal_take_the_longest_batches():
    lengths = [3, 9, 4, 8, 1, 7, 2, 6, 5, 5]
    share = ShareOfSteps(EpochSeededLengthSampler(lengths, 4, seed=0), 2, 1, 0)
    plain = [[place.row for place in batch] for batch in share]
    share.order = FirstStepAgain(share.order, 4)  # two batches of two are a step
    share.set_epoch(0)
    rows = [[place.row for place in batch] for batch in share]
    assert len(rows) == len(plain) == len(share) == 5
    assert rows[:4] == plain[:2] + plain[:2]
    assert max(lengths[row] for row in rows[0]) == 9


def test_a_rehearsal_counts_the_tokens_of_each_step_and_leaves_the_trainer_as_it_is():
    lengths = [3, 9, 4, 8, 1, 7, 2, 6, 5, 5]
    examples = [{"input_ids": torch.zeros(1, length)} for length in lengths]

    def joined(some):
        return {"input_ids": torch.cat([each["input_ids"] for each in some], dim=1)}

    share = ShareOfSteps(EpochSeededLengthSampler(lengths, 4, seed=0), 2, 1, 0)
    loader = StepLoader(examples, lambda example: example, share, SeededCollator(joined, 0))
    first = [num_tokens(batch) for batch in islice(loader, 2)]
    rehearsal = Rehearsal(step_examples=4)
    rehearsal.on_train_begin(None, None, None, train_dataloader=loader)
    loader.set_epoch(0)
    batches = iter(loader)
    for _ in range(2):  # as the Trainer: the batches of a step, then the step
        assert [num_tokens(next(batches)) for _ in range(2)] == first
        rehearsal.on_step_begin()
        rehearsal.on_step_end()
    assert rehearsal.tokens == [sum(first)] * 2
    assert len(rehearsal.seconds) == 2


def test_tokens_of_an_epoch_are_reckoned_from_batches_of_all_of_it():
    lengths = list(range(1, 401))
    examples = [{"input_ids": torch.zeros(1, length)} for length in lengths]

    def padded(some):
        return {"input_ids": torch.zeros(len(some), max(each["input_ids"].shape[1] for each in some))}

    share = ShareOfSteps(EpochSeededLengthSampler(lengths, 2, seed=0), 2, 1, 0)
    loader = StepLoader(examples, lambda example: example, share, SeededCollator(padded, 0))
    true = sum(num_tokens(batch) for batch in loader)
    # The 32 first batches, sorted by length within hundreds, hold the longest texts of that hundred.
    assert epoch_tokens(loader) == pytest.approx(true, rel=0.1)
    first = [num_tokens(batch) for batch in islice(loader, SAMPLED_BATCHES)]
    assert sum(first) / len(first) * len(loader) > 1.2 * true


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
