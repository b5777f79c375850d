"""What a training shows: one bar with its last loss and look at validation. Every number goes to RUN/log.txt."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mera.system.terminal import is_verbose

LOG_NAME = "log.txt"
WITHOUT_TERMINAL = 10
"""Lines of a training whose stderr is a file."""
LOSS = "loss"
OF_THE_BAR = {
    LOSS: LOSS,
    "code_to_definition": "code to definition",
    "definition_to_code": "definition to code",
}
"""Numbers that the bar shows, besides the one that chooses the best checkpoint -> what it calls them."""


class TrainingProgress(TrainerCallback):
    """In the place of the Trainer's own bar and printed numbers, on the first process alone.

    Each entry of the Trainer's log is a line of `log` (time, step and the numbers, as JSON), and with `-v` of the
    terminal. Where stderr is no terminal there is a line at each tenth of the training instead of the bar.
    """

    def __init__(self, phase: str, log: Path):
        """`phase`: what is trained, in a few words."""
        self.phase, self.log = phase, log
        self._bar: tqdm[None] | None = None
        self._entries = 0
        """of the Trainer's log, that were taken"""
        self._first_step, self._step, self._started = 0, 0, 0.0
        self._last: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if not state.is_world_process_zero:
            return
        self._entries, self._started = len(state.log_history), time.monotonic()
        self._first_step = self._step = state.global_step
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.phase,
            unit="step",
            dynamic_ncols=True,
            disable=None,  # where stderr is no terminal
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._take(args, state)
        if self._bar is None:
            return
        self._bar.update(state.global_step - self._step)
        tenths = [step * WITHOUT_TERMINAL // state.max_steps for step in (self._step, state.global_step)]
        self._step = state.global_step
        if self._bar.disable and tenths[0] < tenths[1]:
            print(self._line(state), file=sys.stderr, flush=True)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._take(args, state)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._take(args, state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._take(args, state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._take(args, state)
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _take(self, args: TrainingArguments, state: TrainerState) -> None:
        """What was logged since the last call."""
        if self._bar is None or len(state.log_history) == self._entries:
            return
        new = state.log_history[self._entries :]
        self._entries = len(state.log_history)
        lines = [json.dumps({key: value for key, value in entry.items() if key != "total_flos"}) for entry in new]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.log.open("a", encoding="utf-8") as file:
            file.writelines(f"{now} {line}\n" for line in lines)
        if is_verbose():
            for line in lines:
                self._bar.write(line, file=sys.stderr)
        best = args.metric_for_best_model
        shown = OF_THE_BAR | ({} if best is None else {f"eval_{best.removeprefix('eval_')}": best})
        for entry in new:
            self._last |= {name: entry[key] for key, name in shown.items() if key in entry}
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in self._last.items()}, refresh=False)

    def _line(self, state: TrainerState) -> str:
        taken = time.monotonic() - self._started
        left = taken / (state.global_step - self._first_step) * (state.max_steps - state.global_step)
        numbers = "".join(f", {name} {value:.3f}" for name, value in self._last.items())
        when = f"about {left / 60:.0f} minutes left" if left >= 90 else f"about {left:.0f} s left"
        return f"{self.phase}: step {state.global_step:,} of {state.max_steps:,}{numbers}, {when}"
