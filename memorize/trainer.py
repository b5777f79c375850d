"""TRL's SFTTrainer on the completions of the questions, or, for an encoder-decoder, which TRL does not fine-tune, a
trainer of its own; stopped when the model knows the codes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypedDict, cast

import datasets
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
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
from mera.language_models.encoder_decoder import decoder_inputs, encoder_inputs, is_encoder_decoder, start_id
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training.engine import has_whole_parameters
from mera.training.private_api import attention_name, gpu_kernels_of_trl
from mera.training.settings import training_arguments
from mera.training.stage_trainer import StageTrainer

CURVE_COLUMNS = ("step", "epoch", "train_seconds", *BOTH_WAYS)
NO_LOSS = -100
"""The label of a token that carries none."""


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
            self._measure_and_end(state, control, model)
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
        self._measure_and_end(state, control, model)
        self._since = time.perf_counter()

    def _measure_and_end(self, state: TrainerState, control: TrainerControl, model: PreTrainedModel) -> None:
        """End the training where everything is known."""
        shares = self._measure(state, model)
        if self.config.stop_at is not None and is_known(shares, self.config.stop_at):
            control.should_training_stop = True

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


class MemorizeTrainer(StageTrainer):
    """What the trainers of both kinds of models share: `train_dataset` holds `input_ids` and `labels` (NO_LOSS where
    none is carried)."""

    phase = "stage one"

    @property
    def _dataset(self) -> datasets.Dataset:
        assert isinstance(self.train_dataset, datasets.Dataset)
        return self.train_dataset

    def example_lengths(self) -> list[int]:
        return [len(ids) for ids in self._dataset["input_ids"]]

    def loss_tokens(self) -> int:
        """Tokens that carry loss, in an epoch."""
        labels = self._dataset.with_format("numpy")["labels"]
        return sum(int((row[1:] != NO_LOSS).sum()) for row in labels)  # the first token is predicted by none

    def blank(self, example: dict[str, list[int]]) -> dict[str, list[int]]:
        return example | {"labels": [NO_LOSS] * len(example["labels"])}


class CausalTrainer(MemorizeTrainer, SFTTrainer):
    """TRL's trainer."""

    _as_if_in_pieces = False

    def token_padding(self) -> dict[str, int]:
        assert isinstance(self.args, SFTConfig), "`build_trainer` gives it"
        if self.args.padding_free:
            return {}  # a batch is one row of all its tokens
        return {"input_ids": 0, "attention_mask": 0, "labels": NO_LOSS}

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


@dataclass(frozen=True, slots=True)
class TextToTextCollator:
    """Pads examples to `input_ids` and `attention_mask` (B, T) for the encoder, `decoder_input_ids` and `labels` (B, L)
    for the decoder."""

    pad_id: int
    start_id: int

    def __call__(self, examples: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        labels = [example["labels"] for example in examples]
        read = [[self.pad_id if token == NO_LOSS else token for token in row] for row in labels]
        width = max(map(len, labels))
        return {
            **encoder_inputs([example["input_ids"] for example in examples], self.pad_id),
            "decoder_input_ids": decoder_inputs(read, self.start_id, self.pad_id),
            "labels": torch.tensor([row + [NO_LOSS] * (width - len(row)) for row in labels]),
        }


class TextToTextTrainer(MemorizeTrainer):
    """Cross-entropy of the decoder's answers, in float32, over the answers' tokens of the whole optimiser step."""

    loss_is_scaled_for_ga = True
    """The loss is normalised by the tokens of the whole step, so the Trainer must not divide it again."""

    def example_lengths(self) -> list[int]:
        answers = self._dataset["labels"]
        return [length + len(answer) for length, answer in zip(super().example_lengths(), answers, strict=True)]

    def loss_tokens(self) -> int:
        return sum(map(len, self._dataset["labels"]))

    def token_padding(self) -> dict[str, int]:
        return {"input_ids": 0, "attention_mask": 0, "decoder_input_ids": 0, "labels": NO_LOSS}

    def step_items(self, batches: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """The labels that carry loss, of all accumulated batches and all processes."""
        number = sum(int((batch["labels"] != NO_LOSS).sum()) for batch in batches)
        return self.accelerator.reduce(torch.tensor(float(number), device=device), reduction="sum")

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, ModelOutput]:
        labels = inputs["labels"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            decoder_input_ids=inputs["decoder_input_ids"],
            use_cache=False,
        )
        logits = outputs.logits.float()
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NO_LOSS, reduction="sum")
        if num_items_in_batch is None:
            loss = loss / (labels != NO_LOSS).sum()
        else:  # gradients are averaged over the processes
            loss = loss / num_items_in_batch * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: datasets.Dataset,
    book: QuestionBook,
    encoder: QuestionEncoder,
    config: MemorizeConfig,
    run: RunDirectory,
) -> MemorizeTrainer:
    """`examples` as `memorize.encoding.as_examples` makes them; only completions carry loss.

    The batches are the same number of questions either way: flattened into one row without padding where the attention
    kernel keeps sequences apart, else of similar length. Raises UserError where an encoder-decoder, whose questions and
    answers are in different rows, is to have them flattened, or its adapter is to be saved.
    """
    arguments = training_arguments(
        config.training,
        run,
        activation_checkpointing=config.model.gradient_checkpointing,
        logging_steps=50,
        save_strategy="steps",
        save_steps=0.1,
    )
    watch = StopWhenKnown(book, encoder, config)
    if is_encoder_decoder(model):
        if config.packing == "always":
            raise UserError("packing: always is for causal models; an encoder-decoder takes a row for each question")
        if config.save_adapter:
            raise UserError(
                "save_adapter is for causal models: PEFT alone cannot put an adapter's embeddings into an encoder and "
                "a decoder; leave it out, the checkpoint has the adapter merged"
            )
        arguments |= {"remove_unused_columns": False, "label_names": ["labels"]}
        return TextToTextTrainer(
            min_steps=config.training.min_steps,
            compiles=config.training.compile,
            kept_activations=config.training.kept_activations,
            offloads_activations=config.model.activation_offloading,
            model=model,
            args=TrainingArguments(**arguments),
            train_dataset=examples,
            data_collator=TextToTextCollator(tokenizer.pad_token_id, start_id(model)),
            processing_class=tokenizer,
            callbacks=[watch],
        )
    # `tokenized` refuses what is too long; nothing is to be cut.
    arguments |= {"completion_only_loss": True, "padding_free": flattens(model, config), "max_length": None}
    return CausalTrainer(
        min_steps=config.training.min_steps,
        compiles=config.training.compile,
        kept_activations=config.training.kept_activations,
        offloads_activations=config.model.activation_offloading,
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=examples,
        processing_class=tokenizer,
        callbacks=[watch],
    )


def flattens(model: PreTrainedModel, config: MemorizeConfig) -> bool:
    """Whether a batch becomes one row, its sequences told apart by their positions (see `packing` in the config).

    Flash attention computes only within sequences. Other kernels build a mask over the whole row instead: right, but
    slower than batches of equal length, so `auto` leaves them alone.
    """
    if config.packing == "auto":
        return "flash" in attention_name(model)
    return config.packing == "always"


def on_device(trainer: MemorizeTrainer) -> PreTrainedModel:
    """The model where it will train: engines move it only when training starts, and measuring comes before."""
    model = cast("PreTrainedModel", trainer.model)  # a Trainer takes any module, `build_trainer` gives it this one
    return model.to(trainer.args.device)  # type: ignore[arg-type]  # transformers wraps `to` so that it looks unbound


def unwrapped(trainer: MemorizeTrainer) -> PreTrainedModel:
    """The trained model without the engine's wrapper."""
    return trainer.accelerator.unwrap_model(trainer.model)
