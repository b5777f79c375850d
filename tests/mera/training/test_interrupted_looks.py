"""A run that a signal ended, in whatever step, goes on to the same looks at validation, best look and end."""

import os
import signal

import pytest
import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments

from mera.runs.run_directory import RunDirectory
from mera.training.interruption import InterruptedRun, Patience
from mera.training.settings import TrainingConfig
from mera.training.stage_trainer import StageTrainer

LAST_STEP, BEST_STEP = 12, 6


class Weight(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x, labels=None):
        return {"loss": ((self.weight - x) ** 2).mean()}


class SignalIn(TrainerCallback):
    """SIGTERM in a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class LookingTrainer(StageTrainer):
    """Its looks are best after BEST_STEP."""

    def example_lengths(self):
        return [1] * len(self.train_dataset)

    def blank(self, example):
        return example

    def evaluate(self, *_, **__):
        metrics = {"eval_quality": -abs(self.state.global_step - BEST_STEP)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def train(folder, stop_in=None, patience=0, epochs=4.0, **changes):
    """Start the run, or let it go on; the trainer."""
    settings = {
        "eval_strategy": "steps",
        "eval_steps": 3,
        "save_strategy": "steps",
        "save_steps": 3,
        "num_train_epochs": epochs,
        "load_best_model_at_end": True,
        "metric_for_best_model": "quality",
        "greater_is_better": True,
        "per_device_train_batch_size": 2,
        "learning_rate": 0.1,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    run = RunDirectory(folder)
    arguments = TrainingArguments(output_dir=str(run.path("trainer")), **settings | changes)
    callbacks = [*([SignalIn(stop_in)] if stop_in else []), *([Patience(patience)] if patience else [])]
    rows = [{"x": torch.ones(1)}] * 6
    trainer = LookingTrainer(model=Weight(), train_dataset=rows, eval_dataset=rows, args=arguments, callbacks=callbacks)
    trainer.resume_and_train(run, TrainingConfig())
    return trainer


def outcome(trainer):
    looks = [entry["step"] for entry in trainer.state.log_history if "eval_quality" in entry]
    return looks, trainer.state.best_global_step, trainer.state.global_step, float(trainer.model.weight)


EPOCHS = {"eval_strategy": "epoch", "save_strategy": "epoch"}


@pytest.mark.parametrize("stop_in", [1, 3, 5, 6, 8, 9, 10, LAST_STEP])
@pytest.mark.parametrize(
    ("patience", "epochs", "changes"),
    [
        pytest.param(0, 4.0, {}, id="steps"),
        pytest.param(0, 4.0, {"eval_steps": 5, "save_steps": 5}, id="steps-that-do-not-end-it"),
        pytest.param(0, 3.5, {"eval_steps": 2, "save_steps": 2}, id="half-an-epoch"),
        pytest.param(0, 4.0, EPOCHS, id="epochs"),
        pytest.param(2, 8.0, {}, id="patience"),
        pytest.param(2, 8.0, EPOCHS, id="patience-epochs"),
        pytest.param(0, 3.5, EPOCHS, id="half-an-epoch-looked-at-by-epochs"),
    ],
)
def test_a_signal_in_any_step_changes_nothing(tmp_path, stop_in, patience, epochs, changes):
    whole = train(tmp_path / "whole", patience=patience, epochs=epochs, **changes)
    if stop_in > whole.state.global_step:
        return
    with pytest.raises(InterruptedRun, match=f"stopped after step {stop_in} of"):
        train(tmp_path / "again", stop_in, patience=patience, epochs=epochs, **changes)
    resumed = train(tmp_path / "again", patience=patience, epochs=epochs, **changes)
    assert outcome(resumed) == outcome(whole)


def test_the_end_of_patience_is_the_end(tmp_path):
    whole = train(tmp_path / "whole", patience=2, epochs=8.0)
    looks, best, last, weight = outcome(whole)
    assert (looks, best, last) == ([3, 6, 9, 12], BEST_STEP, LAST_STEP)
    assert weight == outcome(train(tmp_path / "kept", epochs=8.0))[3], "both end with the weights of the best look"


def test_a_run_that_had_ended_early_and_died_ends_again(tmp_path):
    """As one whose test patients were being scored: it must not train on, to another look and perhaps other weights."""
    whole = train(tmp_path / "run", patience=2, epochs=8.0)
    for _ in range(2):
        assert outcome(train(tmp_path / "run", patience=2, epochs=8.0)) == outcome(whole)


def test_looks_before_the_learning_rate_has_risen_do_not_count(tmp_path):
    looks, best, last, _ = outcome(train(tmp_path / "run", patience=2, epochs=20.0, warmup_steps=15))
    assert (looks, best, last) == ([3, 6, 9, 12, 15, 18, 21], BEST_STEP, 21)


def test_a_signal_after_the_last_step_is_not_one_in_training(tmp_path, monkeypatch):
    """It came while validation was looked at for the last time: the run is over, and may be finished."""

    def looked_at(trainer, *_, **__):
        if trainer.state.global_step == LAST_STEP:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(trainer)

    evaluate = LookingTrainer.evaluate
    monkeypatch.setattr(LookingTrainer, "evaluate", looked_at)
    ended = train(tmp_path / "run")
    assert outcome(ended)[1:3] == (BEST_STEP, LAST_STEP)
