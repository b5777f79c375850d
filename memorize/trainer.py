"""TRL's SFTTrainer on the completions of the questions, stopped when the model knows the codes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TypedDict, cast

import datasets
import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import ModelOutput
from trl import SFTConfig, SFTTrainer

from memorize.config import MemorizeConfig
from memorize.encoding import QuestionEncoder
from memorize.questions import QuestionBook
from memorize.recall import BOTH_WAYS, both_ways, is_known
from mera.runs.run_directory import RunDirectory
from mera.training.engine import has_whole_parameters
from mera.training.private_api import attention_name, gpu_kernels_of_trl
from mera.training.settings import training_arguments
from mera.training.stage_trainer import StageTrainer

CURVE_COLUMNS = ("step", "epoch", "train_seconds", *BOTH_WAYS)


class CurvePoint(TypedDict):
    """One measurement in training: a row of curve.csv, whose columns are CURVE_COLUMNS."""

    step: int
    epoch: int
    train_seconds: float
    """without the measurements"""
    code_to_definition: float
    """share of right answers, 0 to 1"""
    definition_to_code: float


class StopWhenKnown(TrainerCallback):
    """Measures exact match both ways every few epochs and ends training once it reaches `config.stop_at`.

    Exact match, not loss: with too high a learning rate the loss looks converged while half the codes are unknown.
    Every measurement is kept in the trainer's state (which survives a resume); `curve` reads them there.
    """

    def __init__(self, book: QuestionBook, encoder: QuestionEncoder, config: MemorizeConfig):
        self.book, self.encoder, self.config = book, encoder, config
        self._train_seconds, self._since = 0.0, 0.0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel | None = None,
        **_: object,
    ) -> None:
        assert model is not None, "the Trainer names its model to a callback"
        earlier = curve(state)
        self._train_seconds = earlier[-1]["train_seconds"] if earlier else 0.0
        if state.global_step and self._is_due(state) and state.global_step not in {row["step"] for row in earlier}:
            # The run was cut off between the checkpoint of an epoch's last step and that epoch's measurement.
            self._measure(state, model)
        self._since = time.perf_counter()

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel | None = None,
        **_: object,
    ) -> None:
        assert model is not None, "the Trainer names its model to a callback"
        if control.should_training_stop or args.max_steps > 0:  # a rehearsal takes a few steps and no epoch
            return
        if not self._is_due(state):
            return
        self._train_seconds += time.perf_counter() - self._since
        shares = self._measure(state, model)
        if self.config.stop_at is not None and is_known(shares, self.config.stop_at):
            control.should_training_stop = True
        self._since = time.perf_counter()

    def _is_due(self, state: TrainerState) -> bool:
        epoch = round(state.epoch, 6)
        return state.global_step >= state.max_steps or (epoch == int(epoch) and epoch % self.config.evaluate_every == 0)

    def _measure(self, state: TrainerState, model: PreTrainedModel) -> dict[str, float]:
        epoch = round(state.epoch)
        shares = both_ways(model, self.encoder, self.book, self.config.evaluation_batch_size)
        point = {"step": state.global_step, "epoch": epoch, "train_seconds": round(self._train_seconds, 1), **shares}
        state.log_history.append(point)
        return shares


def curve(state: TrainerState) -> list[CurvePoint]:
    """What StopWhenKnown measured."""
    return [
        {
            "step": int(entry["step"]),
            "epoch": int(entry["epoch"]),
            "train_seconds": entry["train_seconds"],
            "code_to_definition": entry["code_to_definition"],
            "definition_to_code": entry["definition_to_code"],
        }
        for entry in state.log_history
        if "train_seconds" in entry
    ]


class MemorizeTrainer(StageTrainer, SFTTrainer):
    """TRL's trainer, whose `train_dataset` holds `input_ids` and `labels` (-100 where no loss is carried)."""

    phase = "stage one"
    _as_if_in_pieces = False

    def example_lengths(self) -> list[int]:
        assert isinstance(self.train_dataset, datasets.Dataset)
        return [len(ids) for ids in self.train_dataset["input_ids"]]

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, ModelOutput]:
        """TRL's loss; under ZeRO-3 and FSDP the model's own, equal one.

        TRL multiplies by the output matrix itself. ZeRO-3 takes that to pieces again before the backward pass; under
        FSDP2 with LoRA each process then trains its piece of the matrix on its own examples alone.
        """
        if has_whole_parameters(self) and not self._as_if_in_pieces:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        return Trainer.compute_loss(self, model, inputs | {"use_cache": False}, return_outputs, num_items_in_batch)

    @contextmanager
    def loss_elsewhere(self, *, on_gpu: bool, in_pieces: bool) -> Iterator[None]:
        self._as_if_in_pieces = in_pieces
        try:
            with gpu_kernels_of_trl() if on_gpu else nullcontext():
                yield
        finally:
            self._as_if_in_pieces = False

    def blank(self, example: dict[str, list[int]]) -> dict[str, list[int]]:
        return example | {"labels": [-100] * len(example["labels"])}


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: datasets.Dataset,
    book: QuestionBook,
    encoder: QuestionEncoder,
    config: MemorizeConfig,
    run: RunDirectory,
) -> MemorizeTrainer:
    """`examples` hold `input_ids` and `completion_mask`; only completions carry loss.

    The batches are the same number of questions either way: flattened into one row without padding where the attention
    kernel keeps sequences apart, else of similar length.
    """
    flat = flattens(model, config)
    arguments = training_arguments(
        config.training,
        run,
        completion_only_loss=True,
        padding_free=flat,
        max_length=None,  # `tokenized` refuses what is too long; nothing is to be cut
        activation_checkpointing=config.model.gradient_checkpointing,
        logging_steps=50,
        save_strategy="steps",
        save_steps=0.1,
    )
    return MemorizeTrainer(
        min_steps=config.training.min_steps,
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=examples,
        processing_class=tokenizer,
        callbacks=[StopWhenKnown(book, encoder, config)],
    )


def flattens(model: PreTrainedModel, config: MemorizeConfig) -> bool:
    """Whether a batch becomes one row, its sequences told apart by their positions (see `packing` in the config).

    Flash attention computes only within sequences. Other kernels build a mask over the whole row instead: right, but
    slower than batches of equal length, so `auto` leaves them alone.
    """
    if config.packing == "auto":
        return "flash" in attention_name(model)
    return config.packing == "always"


def on_device(trainer: SFTTrainer) -> PreTrainedModel:
    """The model where it will train: engines move it only when training starts, and measuring comes before."""
    model = cast("PreTrainedModel", trainer.model)  # a Trainer takes any module, `build_trainer` gives it this one
    return model.to(trainer.args.device)  # type: ignore[arg-type]  # transformers wraps `to` so that it looks unbound


def unwrapped(trainer: SFTTrainer) -> PreTrainedModel:
    """The trained model without the engine's wrapper."""
    return trainer.accelerator.unwrap_model(trainer.model)
