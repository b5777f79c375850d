"""What a training shows where stderr is a file and where it is a terminal, and what goes to log.txt."""

import io
import json
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from mera.system.terminal import VERBOSE
from mera.training.progress import TrainingProgress

ARGUMENTS = SimpleNamespace(metric_for_best_model="recall_at_20")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def training(tmp_path):
    """Takes steps one by one; `logged`: step -> entry of the Trainer's log."""

    def train(last_step, logged, *, first_step=0, ends_at=None, first_process=True):
        progress, control = TrainingProgress("stage two", tmp_path / "log.txt"), TrainerControl()
        state = TrainerState(max_steps=last_step, global_step=first_step, is_world_process_zero=first_process)
        state.log_history = [{"loss": 99.0, "step": 0}] if first_step else []
        progress.on_train_begin(ARGUMENTS, state, control)
        for step in range(first_step + 1, (ends_at or last_step) + 1):
            state.global_step = step
            if step in logged:
                state.log_history.append(logged[step] | {"step": step})
            progress.on_step_end(ARGUMENTS, state, control)
        state.log_history.append({"train_loss": 1.5, "step": state.global_step})
        progress.on_train_end(ARGUMENTS, state, control)
        log = tmp_path / "log.txt"
        return [line.split(" ", 1) for line in log.read_text().splitlines()] if log.exists() else []

    return train


def test_a_file_gets_a_line_at_each_tenth_with_the_last_numbers(training, capsys):
    training(40, {10: {"loss": 2.0, "grad_norm": 1.0}, 20: {"eval_recall_at_20": 0.5}, 30: {"loss": 1.25}})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"stage two: step {step} of 40" for step in range(4, 41, 4)]
    assert lines[0].startswith("stage two: step 4 of 40, about ")
    assert lines[2].startswith("stage two: step 12 of 40, loss 2.000, about ")
    assert lines[-1].startswith("stage two: step 40 of 40, loss 1.250, recall_at_20 0.500, about 0 s left")


def test_a_resumed_training_goes_on_from_its_step_and_logs_what_is_new(training, capsys):
    log = training(20, {15: {"loss": 3.0}}, first_step=10)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("stage two: step 12 of 20, about ")
    assert [json.loads(entry) for _, entry in log] == [{"loss": 3.0, "step": 15}, {"train_loss": 1.5, "step": 20}]


def test_every_entry_is_a_line_of_the_log_without_the_count_of_operations(training):
    log = training(4, {2: {"loss": 2.0, "total_flos": 7.0}})
    assert [json.loads(entry) for _, entry in log] == [{"loss": 2.0, "step": 2}, {"train_loss": 1.5, "step": 4}]
    assert all(time.endswith("+00:00") for time, _ in log)


def test_other_processes_are_silent(training, capsys):
    assert training(10, {5: {"loss": 1.0}}, first_process=False) == []
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_bar_that_stands_at_the_last_step(training, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    training(10, {5: {"loss": 0.5}}, ends_at=8)
    shown = terminal.getvalue()
    assert shown.count("\n") == 1, "one bar, and no line besides"
    last = shown.rstrip("\n").split("\r")[-1]
    assert last.startswith("stage two:  80%")
    assert "8/10" in last
    assert "loss=0.500" in last


def test_verbose_shows_the_entries_too(training, monkeypatch, capsys):
    monkeypatch.setenv(VERBOSE, "1")
    training(4, {2: {"loss": 2.0}})
    assert '{"loss": 2.0, "step": 2}' in capsys.readouterr().err
