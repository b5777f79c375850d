"""Any number of processes takes the same steps: the same examples in each, blanks where the last batch is too small."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainingArguments

from mera.runs.run_directory import RunDirectory
from mera.training.amount import amount_for, fitting_batch_size
from mera.training.engine import lost_steps
from mera.training.resume.checkpoints import checkpoints, newest_usable
from mera.training.settings import TrainingConfig
from mera.training.stage_trainer import StageTrainer
from mera.training.steps import (
    FEW_STEPS,
    ROWS_KEY,
    EpochSeededLengthSampler,
    SeededCollator,
    ShareOfSteps,
    StepLoader,
    raised_epochs,
    too_few_steps,
)


def shares(num_examples, batch_size, processes, epoch=0):
    lengths = [1 + (7 * row) % 13 for row in range(num_examples)]
    found = []
    for process in range(processes):
        share = ShareOfSteps(EpochSeededLengthSampler(lengths, 8, seed=3), batch_size, processes, process)
        share.set_epoch(epoch)
        found.append(list(share))
        assert len(found[-1]) == len(share)
    return found


@pytest.mark.parametrize("num_examples", [1, 2, 5, 7, 8, 9, 16, 23])
@pytest.mark.parametrize("processes", [2, 4, 8])
def test_the_examples_of_a_step_do_not_depend_on_the_number_of_processes(num_examples, processes):
    (alone,) = shares(num_examples, 8, 1)
    together = shares(num_examples, 8 // processes, processes)
    assert not any(place.is_blank for batch in alone for place in batch)
    for step, batch in enumerate(alone):
        parts = [share[step] for share in together]
        assert len({len(part) for part in parts}) == 1, "every process needs as many rows"
        assert [place.row for part in parts for place in part if not place.is_blank] == [place.row for place in batch]
    assert {len(share) for share in together} == {len(alone)}


def test_an_epoch_has_every_example_once_and_another_order_than_the_next():
    (first,), (second,) = shares(23, 4, 1), shares(23, 4, 1, epoch=1)
    rows = [[place.row for batch in epoch for place in batch] for epoch in (first, second)]
    assert sorted(rows[0]) == sorted(rows[1]) == list(range(23))
    assert rows[0] != rows[1]


class Drawing:
    """Examples that know the epoch, as those of stage two."""

    epoch = None

    def __len__(self):
        return 5

    def __getitem__(self, row):
        return {"row": row, "epoch": self.epoch}

    def set_epoch(self, epoch):
        self.epoch = epoch


def collate(examples):
    return {"examples": examples, "drawn": torch.rand(3)}


def batches(epoch, process=0, skip=0):
    share = ShareOfSteps(EpochSeededLengthSampler([1] * 5, 2, seed=0), 1, 2, process)
    loader = StepLoader(Drawing(), lambda example: example | {"blank": True}, share, SeededCollator(collate, seed=0))
    loader.set_epoch(epoch)
    return list(loader)[skip:]


def test_what_a_collator_draws_depends_on_the_step_alone():
    torch.manual_seed(1)
    first = batches(epoch=2)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again = batches(epoch=2, process=1, skip=1)
    assert torch.equal(first[1]["drawn"], again[0]["drawn"])
    assert not torch.equal(first[0]["drawn"], first[1]["drawn"])
    assert not torch.equal(first[0]["drawn"], batches(epoch=3)[0]["drawn"])
    assert before.shape == torch.random.get_rng_state().shape
    assert all(example["epoch"] == 2 for batch in first for example in batch["examples"])


def test_a_collator_leaves_the_generators_of_gpus_alone(monkeypatch):
    monkeypatch.setattr("torch.cuda.manual_seed_all", lambda seed: pytest.fail("dropout would repeat itself"))
    assert len(batches(epoch=0)) == 3


def test_blank_examples_have_no_row_number():
    own, other = batches(epoch=0), batches(epoch=0, process=1)
    assert [batch[ROWS_KEY] for batch in other][-1] == []
    assert other[-1]["examples"][0]["blank"]
    assert sorted(row for batch in own + other for row in batch[ROWS_KEY]) == list(range(5))


@pytest.mark.parametrize(
    ("epochs", "epoch_steps", "min_steps", "expected"),
    [
        (5, 4, 0, 5),
        (5, 4, 20, 5),
        (5, 4, 21, 6),
        (5, 4, 480, 120),
        (2.5, 4, 10, 2.5),  # the Trainer rounds 2.5 epochs of 4 steps up to 10
        (2.5, 3, 8, 2.5),
        (2.5, 3, 9, 3),
        (5, 300, 480, 5),
        (1, 1, 7, 7),
    ],
)
def test_epochs_are_raised_for_few_steps_alone(epochs, epoch_steps, min_steps, expected):
    raised = raised_epochs(epochs, epoch_steps, min_steps)
    assert raised == expected
    assert math.ceil(raised * epoch_steps) >= min_steps


@pytest.mark.parametrize(
    ("examples", "batch_size", "min_epoch_steps", "factors", "expected"),
    [
        (490, 64, 30, 1, 16),
        (960, 64, 30, 1, 32),
        (1919, 64, 30, 1, 32),
        (1920, 64, 30, 1, 64),
        (80, 64, 30, 1, 16),  # no smaller step than 16 examples
        (80, 64, 0, 1, 64),
        (490, 64, 30, 2, 8),  # two processes or accumulated batches: 16 examples a step all the same
        (490, 8, 30, 1, 8),
        (100_000, 64, 30, 8, 64),
    ],
)
def test_the_batch_size_suits_the_number_of_examples(examples, batch_size, min_epoch_steps, factors, expected):
    assert fitting_batch_size(examples, batch_size, min_epoch_steps, factors) == expected


def test_the_amount_counts_accumulated_batches_and_processes(monkeypatch):
    config = TrainingConfig(batch_size=64, min_epoch_steps=30, gradient_accumulation=2)
    assert amount_for(config, 490).batch_size == 8
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert amount_for(config, 490).batch_size == 2
    assert amount_for(config, 490).min_epoch_steps == 30


def test_validation_is_looked_at_after_every_epoch_where_epochs_are_short():
    config = TrainingConfig(batch_size=64, min_epoch_steps=30, evaluate_every=250)
    assert amount_for(config, 168).evaluate_every == 11  # ceil(168 / 16)
    assert amount_for(config, 85_000).evaluate_every == 250
    assert amount_for(replace(config, gradient_accumulation=4, min_epoch_steps=0), 168).evaluate_every == 1
    assert amount_for(replace(config, evaluate_every=4), 168).evaluate_every == 4
    assert amount_for(replace(config, evaluate_every=0), 168).evaluate_every == 0
    with pytest.raises(ValueError, match="min_epoch_steps, evaluate_every and patience must be 0 or more"):
        TrainingConfig(patience=-1)


def test_a_run_that_is_too_short_is_named():
    assert too_few_steps(FEW_STEPS) is None
    assert too_few_steps(20).startswith("20 optimiser steps are too few to learn from (fewer than 100)")
    with pytest.raises(ValueError, match=r"training.min_steps 0 or more"):
        TrainingConfig(min_steps=-1)


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, labels):
        loss = ((self.weight * x - labels) ** 2).mean()
        return {"loss": loss}


class LineTrainer(StageTrainer):
    def example_lengths(self):
        return [1] * len(self.train_dataset)

    def blank(self, example):
        return example


def line_trainer(folder, min_steps, epochs=2.0, **changes):
    torch.manual_seed(0)
    rows = [{"x": torch.tensor([float(row)]), "labels": torch.tensor([2.0 * row])} for row in range(10)]
    settings = {
        "output_dir": str(folder / "trainer"),
        "num_train_epochs": epochs,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.05,
        "save_strategy": "epoch",
        "report_to": [],
        "use_cpu": True,
        "remove_unused_columns": False,
        "disable_tqdm": True,
    }
    arguments = TrainingArguments(**settings | changes)
    return LineTrainer(min_steps=min_steps, model=Line(), args=arguments, train_dataset=rows)


def test_training_takes_at_least_the_steps_that_are_asked_for(tmp_path, capsys):
    trainer, run = line_trainer(tmp_path, 10), RunDirectory(tmp_path / "run")
    assert trainer.epoch_steps() == 3
    trainer.resume_and_train(run, TrainingConfig())
    assert (trainer.state.global_step, trainer.state.epoch) == (12, 4)
    told = capsys.readouterr().err
    assert "4 epochs instead of 2, for at least 10 optimiser steps (training.min_steps)" in told
    assert "warning: 12 optimiser steps are too few to learn from" in told


def test_accumulated_batches_are_one_step(tmp_path):
    trainer = line_trainer(tmp_path, 10, gradient_accumulation_steps=2)
    assert (trainer.epoch_steps(), trainer.args.num_train_epochs) == (2, 5)


def test_without_a_minimum_the_epochs_count(tmp_path, capsys):
    trainer = line_trainer(tmp_path, 0)
    trainer.resume_and_train(RunDirectory(tmp_path / "run"), TrainingConfig())
    assert trainer.state.global_step == 6
    assert "instead of" not in capsys.readouterr().err


def test_a_resumed_run_takes_the_same_steps(tmp_path):
    whole = line_trainer(tmp_path / "whole", 10)
    whole.train()
    first = line_trainer(tmp_path, 10)
    first.args.max_steps = 6  # cut off after two of the four epochs
    first.train()
    start = first.start()
    assert checkpoints(tmp_path / "trainer")
    resumed = line_trainer(tmp_path, 10)
    resumed.train(resume_from_checkpoint=str(newest_usable(tmp_path / "trainer", start)))
    assert (resumed.state.global_step, resumed.state.max_steps) == (12, 12)


@pytest.mark.parametrize(("batch_size", "processes", "accumulation"), [(4, 1, 1), (2, 2, 1), (1, 2, 2), (1, 1, 4)])
def test_the_steps_of_an_epoch_do_not_depend_on_how_a_step_is_shared_out(batch_size, processes, accumulation):
    class Shared:
        _examples = range(10)
        args = SimpleNamespace(
            train_batch_size=batch_size, world_size=processes, gradient_accumulation_steps=accumulation
        )

    assert StageTrainer.epoch_steps(Shared()) == 3


@pytest.mark.parametrize(
    ("trained", "kept_by", "is_lost"),
    [
        (torch.bfloat16, None, True),
        (torch.float32, None, False),
        (torch.bfloat16, "is_deepspeed_enabled", False),
        (torch.bfloat16, "is_fsdp_enabled", False),
    ],
)
def test_steps_that_bfloat16_rounds_away_are_told(trained, kept_by, is_lost):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2, dtype=trained), torch.nn.Linear(2, 2, dtype=torch.bfloat16))
    model[1].requires_grad_(False)  # frozen weights take no steps
    engine = {"is_deepspeed_enabled": False, "is_fsdp_enabled": False} | ({kept_by: True} if kept_by else {})
    state = SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=2))
    args, accelerator = SimpleNamespace(world_size=2), SimpleNamespace(state=state)
    told = lost_steps(SimpleNamespace(model=model, args=args, accelerator=accelerator, **engine))
    assert (told is not None) == is_lost
    if is_lost:
        assert told.startswith("all weights train in bfloat16, in which a step below a 256th of a weight is rounded")
