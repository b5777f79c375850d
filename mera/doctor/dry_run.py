"""`--dry-run` and `--estimate` of a command that trains: a rehearsal that keeps nothing, or what a step needs alone.

A rehearsal builds everything, takes two steps and a small evaluation, and says what a whole run would take. Entry
scripts use `parse_training_config`, `open_run` and `rehearse`; a trainer knows nothing of it.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from mera.config import parse_with_options
from mera.doctor.host_memory import HostPeak
from mera.doctor.step_estimate import RunLength, StepAs, epoch_tokens, num_tokens, run_length, write_estimate
from mera.runs.manifest import peak_memory
from mera.runs.run_directory import RunDirectory
from mera.training.settings import TrainingConfig
from mera.training.stage_trainer import StageTrainer
from mera.training.steps import RowOrder, StepLoader

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class StageConfig(DataclassInstance, Protocol):
        """The configuration of a command that trains."""

        @property
        def training(self) -> TrainingConfig: ...


Config = TypeVar("Config", bound="StageConfig")
STEPS = 2
FEW_EXAMPLES = 8
"""Examples of each held-out split that a rehearsal evaluates."""
FEW_CODES = 16
"""Codes that a rehearsal of stage one is asked about."""
OPTIONS: dict[str, dict[str, object]] = {
    "--dry-run": {
        "action": "store_true",
        "help": "build everything, take two steps and a small evaluation, say what a run would take, and keep nothing",
    },
    "--estimate": {"metavar": "FILE", "help": "build everything but the weights, and write what a step needs (JSON)"},
    "--estimate-as": {
        "choices": ("float32", "autocast", "bfloat16"),
        "default": "float32",
        "help": "with --estimate: compute as written, in bf16 by autocast, or with weights in bf16 (DeepSpeed, FSDP2)",
    },
    "--estimate-in-pieces": {
        "action": "store_true",
        "help": "with --estimate: as under an engine that keeps the parameters in pieces (ZeRO-3, FSDP)",
    },
    "--estimate-on-gpu": {
        "action": "store_true",
        "help": "with --estimate: with the loss that a GPU computes, and memory as a GPU hands it out",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """A command that trains was asked not to: to rehearse, or only to say what a step needs."""

    estimate: Path | None = None
    """File to write the estimate to; None: rehearse with real weights."""
    step_as: StepAs = field(default_factory=StepAs)
    """Where the step to estimate would be taken."""


def parse_training_config(
    cls: type[Config], description: str, arguments: Sequence[str] | None = None
) -> tuple[Config, DryRun | None]:
    """`parse_config` for a command that trains, and its `--dry-run` or `--estimate`, neither of which tracks."""
    config, options = parse_with_options(cls, description, OPTIONS, arguments)
    if not (options.dry_run or options.estimate):
        return config, None
    config = replace(config, training=replace(config.training, tracking="none"))
    if options.estimate is None:
        return config, DryRun()
    if hasattr(config, "model"):
        config = replace(config, model=replace(config.model, weights="none"))
    step_as = StepAs(
        precision=options.estimate_as, in_pieces=options.estimate_in_pieces, on_gpu=options.estimate_on_gpu
    )
    return config, DryRun(estimate=Path(options.estimate), step_as=step_as)


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

    def __init__(self, order: RowOrder, step_examples: int):
        self._order, self._step_examples = order, step_examples

    def __len__(self) -> int:
        return len(self._order)

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self._order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        return islice(cycle(islice(self._order, self._step_examples)), len(self))


class Rehearsal(TrainerCallback):
    """Has every step take the longest batches, and notes of each its seconds and the tokens, padding included, that
    this process computed in it."""

    def __init__(self, step_examples: int) -> None:
        """`step_examples`: examples of an optimiser step, of all processes."""
        self.step_examples = step_examples
        self.seconds: list[float] = []
        self.tokens: list[int] = []
        self._start = 0.0
        self._loaded_tokens = 0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        train_dataloader: StepLoader | None = None,
        **_: object,
    ) -> None:
        assert train_dataloader is not None, "the Trainer names its loader to a callback"
        share, collate = train_dataloader.share, train_dataloader.collate_fn
        share.order = FirstStepAgain(share.order, self.step_examples)

        def collate_and_count(items: list[object]) -> object:
            batch = collate(items)
            self._loaded_tokens += num_tokens(batch)
            return batch

        train_dataloader.collate_fn = collate_and_count

    def on_step_begin(self, *_: object, **__: object) -> None:
        # The Trainer loads all batches of a step before it begins the step.
        self.tokens.append(self._loaded_tokens)
        self._loaded_tokens = 0
        self._start = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
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
        return write_estimate(trainer, dry_run.step_as, dry_run.estimate)
    trainer.tell_steps()
    loader = trainer.get_train_dataloader()
    length = run_length(trainer, loader)
    run_tokens = epoch_tokens(loader) * length.run_steps / length.epoch_steps
    rehearsal = Rehearsal(length.step_examples)
    trainer.add_callback(rehearsal)
    trainer.remove_callback(EarlyStoppingCallback)  # which wants the looks at validation that are left out here
    _keep_nothing(trainer.args)
    host_peak = HostPeak()
    trainer.train()
    steps_bytes = host_peak.bytes()
    start = time.perf_counter()
    evaluate()
    evaluation_seconds = time.perf_counter() - start
    if trainer.is_world_process_zero():
        print(_summary(rehearsal, length, run_tokens, evaluation_seconds, steps_bytes))


def _keep_nothing(arguments: TrainingArguments) -> None:
    arguments.max_steps = STEPS
    arguments.save_strategy = SaveStrategy.NO
    arguments.eval_strategy = IntervalStrategy.NO
    arguments.load_best_model_at_end = False


def _summary(
    rehearsal: Rehearsal,
    length: RunLength,
    run_tokens: float,
    evaluation_seconds: float,
    steps_bytes: int | None,
) -> str:
    # The first step also allocates memory and compiles kernels.
    seconds, tokens = rehearsal.seconds[-1], rehearsal.tokens[-1]
    memory = peak_memory()
    taken = "" if steps_bytes is None else f" ({steps_bytes / 2**30:.3f} of them by the steps)"
    peaks = [f"{memory['host_bytes'] / 2**30:.2f} GiB of host memory{taken}"]
    if "gpu_bytes" in memory:
        peaks.append(f"{memory['gpu_bytes'] / 2**30:.2f} GiB of its GPU's memory")
    return "\n".join(
        [
            f"dry run: {len(rehearsal.seconds)} steps of {length.step_examples} examples and a small evaluation "
            f"({evaluation_seconds:.1f} s) went well; nothing was kept",
            f"dry run: {1 / seconds:.2f} steps/s, {tokens / seconds:,.0f} tokens/s with the longest batch, peak of "
            f"this process {' and '.join(peaks)}",
            f"dry run: would run {length.run_steps:,} steps on {length.num_examples:,} examples, about "
            f"{_duration(run_tokens / tokens * seconds)} without evaluations",
        ]
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
