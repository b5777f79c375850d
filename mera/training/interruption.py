"""Stopping in good order: SIGTERM, SIGUSR1 or Ctrl-C saves a checkpoint after the running step and ends the run.

Slurm sends the first two before it takes a node back, `docker stop` and Kubernetes the first before they kill. The
signal may reach the processes of a run in different steps, so after each step all of them ask each other.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mera.system.launcher import end_launcher_quietly
from mera.system.stop_signals import name_of
from mera.training.engine import all_agree_to

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class InterruptedRun(Exception):
    """A signal ended training; what was trained is saved. `signal_number` says which."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class StopOnSignal(TrainerCallback):
    """Ends training with a checkpoint once a signal came; `received` is then its number."""

    def __init__(self, save_every: int = 0) -> None:
        """`save_every`: steps between further checkpoints, 0: none."""
        self.received: int | None = None
        self.save_every = save_every
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        # A background job of a script is told to ignore Ctrl-C, which is meant for what runs in front.
        heard = [n for n in SIGNALS if n != signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._note) for number in heard}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.save_every and state.global_step % self.save_every == 0:
            control.should_save = True
        if all_agree_to(self.received is not None, args.device):
            self.received = self.received or signal.SIGTERM
            args.load_best_model_at_end = False
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
            if state.is_world_process_zero:
                print(f"{name_of(self.received)}: saving after step {state.global_step}", file=sys.stderr)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.received is not None and control.should_training_stop:
            control.should_evaluate = control.should_save = False  # the step has saved; there is no time to measure

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            end_launcher_quietly()
        # Asked again, by the launcher or when it dies, the run is already on its way out.
        self.received = self.received or number
