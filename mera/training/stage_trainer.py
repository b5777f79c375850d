"""What the trainers of all stages add to the Hugging Face Trainer: equal steps, safe checkpoints, no NaN."""

import math
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PrinterCallback, ProgressCallback, Trainer
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import TrainOutput
from transformers.training_args import OptimizerNames

from mera.language_models.activation_offloading import offloaded_activations
from mera.language_models.compiled_blocks import compiled_blocks
from mera.language_models.kernels.float32_products import float32_products
from mera.language_models.lora import inputs_as_they_are
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.system.folder_replacement import replace_folder
from mera.system.terminal import only_errors
from mera.training.engine import engine_name, keep_precise_outputs, let_fsdp_start_on_the_cpu, lost_steps
from mera.training.interruption import InterruptedRun, StopOnSignal
from mera.training.private_api import (
    load_schedule,
    load_universal,
    require_overridden_names,
    save_training_state,
)
from mera.training.progress import LOG_NAME, TrainingProgress
from mera.training.resume.checkpoints import PREFIX, Start, checkpoints, newest_usable, prune, seal, start_of
from mera.training.resume.universal import TAG, load_untrained, remove_leftover, universal_checkpoint
from mera.training.resume.write_errors import STAGING, explained_write_errors
from mera.training.settings import TrainingConfig
from mera.training.steps import (
    ROWS_KEY,
    Batch,
    EpochSeededLengthSampler,
    EvenLengths,
    Example,
    Examples,
    SeededCollator,
    ShareOfSteps,
    StepLoader,
    raised_epochs,
    too_few_steps,
)


class StageTrainer(Trainer):
    """Mixed in before a Trainer class; a stage gives `example_lengths` and `blank`."""

    phase = "training"
    """what its bar calls the training"""
    keep_last = 2
    """checkpoints kept for resuming, besides the best one"""

    def __init__(
        self,
        *positional: Any,
        min_steps: int = 0,
        compiles: bool = False,
        kept_activations: float = 1.0,
        offloads_activations: bool = False,
        **arguments: Any,
    ):
        """`min_steps`: optimiser steps that are taken at least; the epochs of the arguments are raised for them.
        `compiles`: whether the model's blocks train compiled, with `kept_activations` of theirs (`compiled_blocks`).
        `offloads_activations`: whether what the backward pass needs waits in the host's memory."""
        require_overridden_names()
        super().__init__(*positional, **arguments)
        self.compiles, self.offloads_activations = compiles, offloads_activations
        self.kept_activations = kept_activations
        self._around_step: AbstractContextManager[object] = nullcontext()
        self._resumed_from: str | None = None
        self.stop_on_signal = StopOnSignal()
        self.add_callback(self.stop_on_signal)
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        self.add_callback(TrainingProgress(self.phase, self._folder.parent / LOG_NAME))
        self._trained = {
            name: list(getattr(parameter, "ds_shape", parameter.shape))
            for name, parameter in self._plain_model.named_parameters()
            if parameter.requires_grad
        }
        self.min_steps, self.asked_epochs = min_steps, self.args.num_train_epochs
        if min_steps:
            self.args.num_train_epochs = raised_epochs(self.asked_epochs, self.epoch_steps(), min_steps)

    def create_accelerator_and_postprocess(self) -> None:
        """Called by the Trainer when it is built."""
        let_fsdp_start_on_the_cpu()
        super().create_accelerator_and_postprocess()
        keep_precise_outputs(self.accelerator)

    def example_lengths(self) -> list[int]:
        """Tokens of each training example, for batches of similar length."""
        raise TypeError(f"{type(self).__name__} must say how long its examples are")

    @property
    def _examples(self) -> Examples:
        return cast("Examples", self.train_dataset)  # the Trainer allows others

    @property
    def _plain_model(self) -> torch.nn.Module:
        assert self.model is not None, "a Trainer has a model"
        return self.model

    @property
    def _folder(self) -> Path:
        """Where the checkpoints are."""
        assert self.args.output_dir is not None, "training_arguments names a folder"
        return Path(self.args.output_dir)

    def epoch_steps(self) -> int:
        """Optimiser steps of an epoch, the same in every process."""
        batches = -(-len(self._examples) // (self.args.train_batch_size * self.args.world_size))
        return -(-batches // self.args.gradient_accumulation_steps)

    def tell_steps(self) -> None:
        """Say on stderr where there are more epochs than were asked for, too few steps to learn from, or steps that are
        rounded away."""
        epochs, steps = self.args.num_train_epochs, math.ceil(self.args.num_train_epochs * self.epoch_steps())
        if not self.is_world_process_zero():
            return
        if epochs != self.asked_epochs:
            print(
                f"{epochs:g} epochs instead of {self.asked_epochs:g}, for at least {self.min_steps:,} optimiser steps "
                f"(training.min_steps)",
                file=sys.stderr,
                flush=True,
            )
        for warning in filter(None, (too_few_steps(steps), lost_steps(self))):
            print(f"warning: {warning}", file=sys.stderr, flush=True)

    def tokens_trained_on(self) -> int:
        """Tokens of all examples times the epochs so far, over all processes; padding is not counted."""
        return round(self.state.epoch * sum(self.example_lengths()))

    def blank(self, example: Example) -> Example:
        """An example of the same form that carries no loss."""
        raise TypeError(f"{type(self).__name__} must say what a blank example is")

    def token_padding(self) -> dict[str, int]:
        """What fills up the batches where blocks are compiled, which they are for each length anew: see `EvenLengths`.
        Here: nothing, so they are compiled for all lengths at once, which is slower code."""
        return {}

    def loss_elsewhere(self, *, on_gpu: bool, in_pieces: bool) -> AbstractContextManager[None]:
        """Within it `compute_loss` computes as it would on a GPU, or under an engine that keeps each parameter in
        pieces (ZeRO-3, FSDP): for an estimate of what a step needs there. Here: the loss is the same everywhere."""
        return nullcontext()

    def train(self, *positional: Any, **arguments: Any) -> TrainOutput:
        """As the Trainer, with what the model is to be trained with: compiled blocks, activations on the host. Raises
        UserError where that cannot be had."""
        assert self.model is not None, "a trainer of ours is built with its model"
        if self.offloads_activations:
            self._around_step = offloaded_activations(self.model, not self.args.use_cpu)
        of_any_length = not self.token_padding()
        compiled = compiled_blocks(self.model, of_any_length, self.kept_activations) if self.compiles else nullcontext()
        products = float32_products(self.model, is_on=self.args.use_cpu)
        with products, compiled, inputs_as_they_are(self.model, is_on=self.args.bf16):
            return super().train(*positional, **arguments)

    def resume_and_train(self, run: RunDirectory, config: TrainingConfig) -> None:
        """Train from the newest usable checkpoint of `run`, or from the start.

        Raises InterruptedRun where a signal ended training, UserError where the loss is not a number any more or the
        checkpoint was written under a start that this one cannot go on from.
        """
        self.tell_steps()
        folder = run.path("trainer")
        self.keep_last, self.stop_on_signal.save_every = config.keep_last, config.save_every
        if self.is_world_process_zero():
            remove_leftover(folder)
        checkpoint = [newest_usable(folder, self.start()) if self.is_world_process_zero() else None]
        if self.args.world_size > 1:
            torch.distributed.broadcast_object_list(checkpoint)
        self._resumed_from = None if checkpoint[0] is None else str(checkpoint[0])
        with only_errors("transformers.trainer_utils"):  # it compares a share of the steps with their number
            self.train(resume_from_checkpoint=self._resumed_from)
        number, best = self.stop_on_signal.received, self.state.best_global_step
        is_over = self.state.global_step == self.state.max_steps and not self.stop_on_signal.has_stopped
        if best and (number is None or is_over) and self.is_world_process_zero():
            what = f"{self.args.metric_for_best_model} {self.state.best_metric:.3f}"
            print(f"kept: step {best:,}, the best look at validation ({what})", file=sys.stderr)
        if is_over:
            return
        if number is not None:
            raise InterruptedRun(
                f"stopped after step {self.state.global_step} of {self.state.max_steps}; the checkpoint is saved in "
                f"{folder}, and the same command goes on from there",
                number,
            )
        if self.is_world_process_zero():
            print(f"ended early, after step {self.state.global_step:,} of {self.state.max_steps:,}", file=sys.stderr)

    def start(self) -> Start:
        """How this run was started."""
        return Start(
            engine=engine_name(self),
            processes=self.args.world_size,
            batch_size=self.args.per_device_train_batch_size,
            gradient_accumulation=self.args.gradient_accumulation_steps,
            optimizer=OptimizerNames(self.args.optim).value,
            trained=self._trained,
        )

    def get_train_dataloader(self) -> StepLoader:
        """This process's share of every step; not prepared by accelerate, which would share it out again."""
        step_examples = self.args.train_batch_size * self.args.world_size * self.args.gradient_accumulation_steps
        order = EpochSeededLengthSampler(self.example_lengths(), step_examples, self.args.seed)
        share = ShareOfSteps(order, self.args.train_batch_size, self.args.world_size, self.args.process_index)
        padding = self.token_padding() if self.compiles else {}
        evened = EvenLengths(self.data_collator, padding) if padding else self.data_collator
        collator = SeededCollator(evened, self.args.seed)
        return StepLoader(self._examples, self.blank, share, collator, pin_memory=self.args.dataloader_pin_memory)

    def step_items(self, batches: list[Batch], device: torch.device) -> torch.Tensor | int | None:
        """What the loss of an optimiser step is divided by, over all its accumulated batches and all processes;
        `compute_loss` gets it as `num_items_in_batch`. Here: the labels that carry loss."""
        return super()._get_num_items_in_batch(batches, device)

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor | int | None:
        """Called by the Trainer before each step."""
        return self.step_items(batch_samples, device)

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Raises UserError, naming the rows of the training set, where the loss is not a finite number."""
        rows = inputs.pop(ROWS_KEY)
        with self._around_step:
            loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            saved = checkpoints(self._folder)
            raise UserError(
                f"the loss is {loss.item()} in step {self.state.global_step + 1}, on the training rows "
                f"{', '.join(map(str, rows)) or 'of other processes'}; nothing was saved since "
                f"{saved[0].name if saved else 'the start'}. Look at these rows, lower training.learning_rate or "
                f"training.max_grad_norm, and start anew"
            )
        return loss

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: StepLoader, resume_from_checkpoint: str | None
    ) -> tuple[torch.nn.Module, StepLoader]:
        """Build the engine, and load a checkpoint into it. Called by the Trainer before the first step."""
        if resume_from_checkpoint is None or not self._is_in_other_pieces(resume_from_checkpoint):
            return super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        self._load_shared_out_anew(resume_from_checkpoint)
        load_schedule(self, resume_from_checkpoint)
        return prepared

    def _run_epoch(self, *positional: object, **arguments: object) -> None:
        """Called by the Trainer; nothing is left to do where training goes on from its last step, or a look that was
        left out has ended it."""
        if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            super()._run_epoch(*positional, **arguments)

    def _evaluate(self, trial: object, ignored: list[str] | None, skip_scheduler: bool = False) -> dict[str, float]:
        """Called by the Trainer for each look, and before the first step (`skip_scheduler`) for the look that a signal
        left out (`StopOnSignal`): the checkpoint that training goes on from may be the best."""
        metrics = super()._evaluate(trial, ignored, skip_scheduler)
        if skip_scheduler and self._determine_best_metric(metrics, None):
            self.state.best_model_checkpoint = self._resumed_from
        return metrics

    def _load_best_model(self) -> None:
        """Called by the Trainer after the last step."""
        best = self.state.best_model_checkpoint
        assert best is not None, "the Trainer looks whether there is one"
        if self._is_in_other_pieces(best):
            self._load_shared_out_anew(best)
        else:
            super()._load_best_model()

    def _is_in_other_pieces(self, checkpoint: str) -> bool:
        """Whether another number of ZeRO processes wrote it."""
        return self.is_deepspeed_enabled and self.start().shares_out_anew(start_of(Path(checkpoint)))

    def _load_shared_out_anew(self, checkpoint: str) -> None:
        """Weights and optimizer of a checkpoint that another number of ZeRO processes wrote, into the engine."""
        first, written, here = self.is_world_process_zero(), start_of(Path(checkpoint)), self.args.world_size
        if first:
            print(
                f"{Path(checkpoint).name} is converted: {written.processes} processes wrote it, {here} read it",
                file=sys.stderr,
                flush=True,
            )
        with universal_checkpoint(Path(checkpoint), self.args.device, first) as folder:
            load_universal(self.model_wrapped, folder, TAG)
        load_untrained(self._plain_model, Path(checkpoint))

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        """Write a checkpoint beside its place and rename it when it is complete. Called by the Trainer."""
        folder = self._folder
        final = folder / f"{PREFIX}{self.state.global_step}"
        staging = folder / STAGING / final.name
        if self.is_world_process_zero():
            shutil.rmtree(folder / STAGING, ignore_errors=True)
            staging.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        with explained_write_errors(folder):
            self._write_checkpoint(staging, final)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                seal(staging, self.start())
        if self.is_world_process_zero():
            replace_folder(staging, final)  # there may be a damaged one of the same step, which was not resumed from
            prune(folder, self.keep_last, self.state.best_model_checkpoint, self.state.global_step)
        self.accelerator.wait_for_everyone()

    def _write_checkpoint(self, staging: Path, final: Path) -> None:
        """What Trainer._save_checkpoint writes; the state names the checkpoint's final place."""
        save_training_state(self, str(staging))
        if self.state.best_global_step == self.state.global_step:
            self.state.best_model_checkpoint = str(final)
        if self.args.should_save:
            # TrainerState makes a mapping of the list that it is given.
            states = cast("dict[str, dict[str, object]]", self.state.stateful_callbacks)
            for callback in [*self.callback_handler.callbacks, self.control]:
                if isinstance(callback, ExportableState):
                    states[type(callback).__name__] = callback.state()
            self.state.save_to_json(str(staging / "trainer_state.json"))
