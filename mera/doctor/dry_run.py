"""`--dry-run`: a rehearsal of a training run, which builds everything, takes two steps, and keeps nothing."""

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from mera.config import DryRun
from mera.doctor.host_memory import HostPeak
from mera.doctor.step_estimate import epoch_tokens, num_tokens, write_estimate
from mera.runs.manifest import peak_memory
from mera.runs.run_directory import RunDirectory
from mera.training.stage_trainer import StageTrainer
from mera.training.steps import EpochSeededLengthSampler

STEPS = 2
FEW_EXAMPLES = 8
"""Examples of each held-out split that a rehearsal evaluates."""
FEW_CODES = 16
"""Codes that a rehearsal of stage one is asked about."""


class TemporaryRun(RunDirectory):
    """A run directory that is gone when the process ends."""

    def __init__(self, name: str):
        self._folder = tempfile.TemporaryDirectory(prefix="mera-dry-run-")
        super().__init__(Path(self._folder.name) / name)


def open_run(output: str, dry_run: DryRun | None) -> RunDirectory:
    """The run directory of `output`, or a temporary one of the same name."""
    return TemporaryRun(Path(output).name) if dry_run else RunDirectory(output)


class FirstStepAgain:
    """The rows of an epoch's first step, time and again: the longest batch is met with the optimizer's state there."""

    def __init__(self, order: EpochSeededLengthSampler, step_examples: int):
        self._order, self._step_examples = order, step_examples

    def __len__(self) -> int:
        return len(self._order)

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self._order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        return islice(cycle(islice(self._order, self._step_examples)), len(self))


class StepClock(TrainerCallback):
    """Seconds of each optimiser step, and the tokens that this process computed in it, padding included."""

    def __init__(self, trainer: Trainer) -> None:
        self.seconds: list[float] = []
        self.tokens: list[int] = []
        self._training_step, trainer.training_step = trainer.training_step, self._count

    def _count(self, model: Any, inputs: Any, *more: Any, **options: Any) -> Any:
        self.tokens[-1] += num_tokens(inputs)
        return self._training_step(model, inputs, *more, **options)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.tokens.append(0)
        self._start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._start)


def rehearse(trainer: StageTrainer, evaluate: Callable[[], object], dry_run: DryRun) -> None:
    """Take two optimiser steps with `trainer`, call `evaluate`, and print what a whole run would take; or, where that
    is all that is asked for, write the estimate (mera/doctor/step_estimate.py).

    Both steps take the longest batches of the training set, the second one beside the optimizer's state, so that a run
    which survives this does not end in the middle for want of memory. Nothing is saved and nothing measured in between.
    """
    if dry_run.estimate is not None:
        return write_estimate(trainer, dry_run)
    trainer.tell_steps()
    arguments, loader = trainer.args, trainer.get_train_dataloader()
    _, epoch_steps, num_examples, _, step_examples, _, run_steps = trainer.set_initial_training_values(
        arguments, loader
    )
    run_tokens = epoch_tokens(loader) * run_steps / epoch_steps
    loader.batch_sampler.order = FirstStepAgain(loader.batch_sampler.order, step_examples)
    trainer.get_train_dataloader = lambda: loader
    clock = StepClock(trainer)
    trainer.add_callback(clock)
    _keep_nothing(arguments)
    host_peak = HostPeak()
    trainer.train()
    steps_bytes = host_peak.bytes()
    start = time.perf_counter()
    evaluate()
    evaluation_seconds = time.perf_counter() - start
    if trainer.is_world_process_zero():
        print(_summary(clock, run_steps, run_tokens, num_examples, step_examples, evaluation_seconds, steps_bytes))


def _keep_nothing(arguments: TrainingArguments) -> None:
    arguments.max_steps = STEPS
    arguments.save_strategy = SaveStrategy.NO
    arguments.eval_strategy = IntervalStrategy.NO
    arguments.load_best_model_at_end = False


def _summary(
    clock: StepClock,
    run_steps: int,
    run_tokens: float,
    num_examples: int,
    step_examples: int,
    evaluation_seconds: float,
    steps_bytes: int | None,
) -> str:
    # The first step also allocates memory and compiles kernels.
    seconds, tokens = clock.seconds[-1], clock.tokens[-1]
    memory = peak_memory()
    taken = "" if steps_bytes is None else f" ({steps_bytes / 2**30:.3f} of them by the steps)"
    peaks = [f"{memory['host_bytes'] / 2**30:.2f} GiB of host memory{taken}"]
    if "gpu_bytes" in memory:
        peaks.append(f"{memory['gpu_bytes'] / 2**30:.2f} GiB of its GPU's memory")
    return "\n".join(
        [
            f"dry run: {len(clock.seconds)} steps of {step_examples} examples and a small evaluation "
            f"({evaluation_seconds:.1f} s) went well; nothing was kept",
            f"dry run: {1 / seconds:.2f} steps/s, {tokens / seconds:,.0f} tokens/s with the longest batch, peak of "
            f"this process {' and '.join(peaks)}",
            f"dry run: would run {run_steps:,} steps on {num_examples:,} examples, about "
            f"{_duration(run_tokens / tokens * seconds)} without evaluations",
        ]
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
