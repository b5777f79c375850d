"""Ending a training run on a signal: on SIGTERM, SIGUSR1 or Ctrl-C it finishes its step, saves a checkpoint and ends.

Slurm sends SIGUSR1 and SIGTERM before it takes a node back; `docker stop` and Kubernetes send SIGTERM before they kill.
A signal may reach the processes of one run during different steps. So after each step the processes exchange whether
any of them has received one (`signal_of_any`), and all stop after the same step. Where validation would have looked
after that step, the run looks when it goes on: a node that is taken back leaves little time.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from mera.system.launcher import end_launcher_quietly
from mera.system.stop_signals import name_of
from mera.training.engine import signal_of_any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class InterruptedRun(Exception):
    """A signal has ended training, and a checkpoint was saved. `signal_number`: the signal."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class StopOnSignal(TrainerCallback):
    """Saves a checkpoint and ends training after the step in which a signal came.

    `received`: the signal's number, None where none came; `has_stopped`: whether it has ended training. Signals are
    handled while the Trainer trains; afterwards the earlier handlers are back.
    """

    def __init__(self, save_every: int = 0) -> None:
        """`save_every`: steps between further checkpoints, 0: none."""
        self.received: int | None = None
        self.has_stopped = False
        self.save_every = save_every
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        args.eval_on_start = look_was_left_out(args, state)
        # A shell starts background jobs with Ctrl-C ignored; such a job keeps ignoring it.
        heard = [n for n in SIGNALS if n != signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._note) for number in heard}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.save_every and state.global_step % self.save_every == 0:
            control.should_save = True
        agreed = signal_of_any(self.received, args.device)
        if agreed is not None:  # one that came meanwhile is of the next step
            self.received, self.has_stopped = agreed, True
            args.load_best_model_at_end = False
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
            if state.is_world_process_zero:
                print(f"{name_of(self.received)}: saving after step {state.global_step}", file=sys.stderr)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.received is not None and control.should_training_stop:
            control.should_evaluate = control.should_save = False  # on_step_end has saved; do not delay the end

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            end_launcher_quietly()
        # The launcher may send another signal, or die, which sends SIGTERM: the first signal counts.
        self.received = self.received or number


class Patience(EarlyStoppingCallback):
    """Ends training after so many looks without a better one. Looks before the learning rate has risen do not count:
    with few patients they follow every few steps. An interrupted run goes on counting, and one that had ended, and then
    died, ends again."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        super().on_train_begin(args, state, control, **rest)
        looks = [entry["step"] for entry in state.log_history if f"eval_{args.metric_for_best_model}" in entry]
        counted_from = max(state.best_global_step or 0, self._last_warmup_step(args, state))
        self.early_stopping_patience_counter = sum(step > counted_from for step in looks)
        control.should_training_stop |= self.early_stopping_patience_counter >= self.early_stopping_patience

    def check_metric_value(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metric_value: float
    ) -> None:
        super().check_metric_value(args, state, control, metric_value)
        if state.global_step <= self._last_warmup_step(args, state):
            self.early_stopping_patience_counter = 0

    def _last_warmup_step(self, args: TrainingArguments, state: TrainerState) -> int:
        return int(args.get_warmup_steps(state.max_steps))


def look_was_left_out(args: TrainingArguments, state: TrainerState) -> bool:
    """Whether validation looks after the step that training goes on from, and has not."""
    step = state.global_step
    if args.eval_strategy == IntervalStrategy.STEPS:
        is_due = step % state.eval_steps == 0 or step >= state.max_steps
    else:
        ends_epoch = float(state.epoch or 0.0).is_integer() or step >= state.max_steps
        is_due = args.eval_strategy == IntervalStrategy.EPOCH and ends_epoch
    looks = {entry["step"] for entry in state.log_history if any(key.startswith("eval_") for key in entry)}
    return step > 0 and is_due and step not in looks
