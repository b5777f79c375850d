"""Which signal the processes of a run say that they were ended by."""

import signal

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from mera.training.engine import signal_of_any
from mera.training.interruption import StopOnSignal


@pytest.fixture
def another_process(monkeypatch):
    """Takes what another process of the run brings to a reduction."""

    def join(other):
        def all_reduce(tensor, op):
            assert op == torch.distributed.ReduceOp.MIN
            tensor.clamp_(max=1_000 if other is None else other)

        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)

    return join


@pytest.mark.parametrize(
    ("own", "other", "agreed"),
    [
        (None, None, None),
        (signal.SIGTERM, None, signal.SIGTERM),
        (None, signal.SIGUSR1, signal.SIGUSR1),
        (signal.SIGTERM, signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM, signal.SIGINT),
    ],
)
def test_all_processes_agree_on_one_signal(another_process, own, other, agreed):
    cpu = torch.device("cpu")
    assert signal_of_any(own, cpu) == own  # alone
    another_process(other)
    assert signal_of_any(own, cpu) == agreed


def test_a_process_that_received_nothing_names_the_signal_of_the_others(another_process, tmp_path, capsys):
    stop = StopOnSignal()
    control, state = TrainerControl(), TrainerState(global_step=3, is_world_process_zero=True)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    another_process(None)
    stop.on_step_end(arguments, state, control)
    assert not control.should_training_stop
    another_process(signal.SIGINT)
    stop.on_step_end(arguments, state, control)
    assert control.should_training_stop
    assert stop.received == signal.SIGINT
    assert capsys.readouterr().err == "Ctrl-C: saving after step 3\n"
