"""The Hugging Face Trainer with the stage-two loss, and validation by ranking."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from data.task import Task
from mera.evaluation.metrics import telling_k
from mera.language_models.code_tokens import token_ids
from mera.language_models.encoder_decoder import end_id, is_encoder_decoder, start_id
from mera.runs.run_directory import RunDirectory
from mera.training.amount import amount_for
from mera.training.interruption import Patience
from mera.training.settings import training_arguments
from mera.training.stage_trainer import StageTrainer
from rank.attention.masks import PADDING
from rank.attention.packing import packs_rows
from rank.config import LossConfig, RankConfig
from rank.loss import stage_two_loss
from rank.partial_outputs import (
    DecoderCollator,
    PartialOutputCollator,
    RankingBatch,
    RankingDataset,
    RankingExample,
    read_logits,
)
from rank.row_chunks import loss_in_chunks
from rank.start import WideStart, untrained_codes
from rank.validation import Validation


class RankTrainer(StageTrainer):
    """Trains on partial outputs; `measure(model)` returns the validation metrics, which choose the best epoch."""

    phase = "stage two"

    def __init__(
        self,
        *,
        loss: LossConfig,
        group_ids: Tensor,
        measure: Callable[[PreTrainedModel], dict[str, float]],
        repeated_weight: float = 1.0,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self.repeated_weight = repeated_weight
        self.loss, self.group_ids, self.measure = loss, group_ids, measure
        # The loss below is normalised by the rows of the whole step, so the trainer must not divide it again.
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor | float],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """The stage-two loss of a `RankingBatch`, normalised by the rows of the whole step."""
        batch = cast("RankingBatch", inputs)
        plain = self.accelerator.unwrap_model(model)
        logits = read_logits(model, plain, batch)
        wide, recurrence = getattr(plain, "wide", None), getattr(plain, "recurrence", None)
        bonus = None if recurrence is None else recurrence(batch["recurrence"])
        if wide is not None:
            bonus, gate = wide(batch["wide"], batch["wide_patients"])
            logits = gate * logits.float()
        assert not isinstance(num_items_in_batch, int), "step_items returns a tensor"
        if num_items_in_batch is None:
            own_rows = torch.tensor([batch["weight_of_rows"], batch["weight_of_positive_rows"]])
            step_rows = own_rows.to(logits.device)
        else:
            step_rows = num_items_in_batch

        def share(scores: Tensor, eov: Tensor, rows: slice) -> Tensor:
            targets = (batch["positive"][rows], batch["ignored"][rows])
            weights = batch["row_weights"][rows]
            seen = None if self.repeated_weight == 1 else batch["recurrence"][batch["row_example"][rows], :, 0]
            of_positives = None if seen is None else 1 + (self.repeated_weight - 1) * seen
            return stage_two_loss(
                scores, eov, *targets, self.group_ids, self.loss, weights, step_rows, positive_weights=of_positives
            )

        loss = loss_in_chunks(logits, bonus, batch["row_read"], batch["row_example"], share)
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over the processes
        return (loss, {"logits": logits}) if return_outputs else loss

    def step_items(self, batches: list[dict[str, Tensor | float]], device: torch.device) -> Tensor:
        """(2,): the weight of all rows, and of those with a positive, of the whole optimiser step: all accumulated
        batches, all processes."""
        ranking_batches = cast("list[RankingBatch]", batches)
        weights = torch.tensor(
            [sum(batch[key] for batch in ranking_batches) for key in ("weight_of_rows", "weight_of_positive_rows")],
            dtype=torch.float32,
            device=device,
        )
        return self.accelerator.reduce(weights, reduction="sum")

    def example_lengths(self) -> list[int]:
        assert isinstance(self.train_dataset, RankingDataset)
        return self.train_dataset.lengths()

    def token_padding(self) -> dict[str, int]:
        masked = ("input_ids", "attention_mask", "decoder_input_ids", "position_ids", "logits_to_keep")
        return {"order_ids": PADDING} | dict.fromkeys(masked, 0)

    def blank(self, example: RankingExample) -> RankingExample:
        return replace(example, targets=[], orders=[], is_blank=True)

    def evaluate(self, *_: object, metric_key_prefix: str = "eval", **__: object) -> dict[str, float]:
        """The metrics of `measure`, logged and shown to the callbacks as `Trainer.evaluate` does."""
        measured = self.measure(self.accelerator.unwrap_model(self.model))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: RankingDataset,
    validation: Validation,
    config: RankConfig,
    run: RunDirectory,
    wide: WideStart | None = None,
) -> RankTrainer:
    """A trainer of `model` (rank/start.py) that measures after every epoch, or every so many steps, and ends with the
    weights of the best look. `wide`: what `fitted_wide_part` returned."""
    collator = PartialOutputCollator(
        token_ids(tokenizer, task.codes),
        tokenizer.pad_token_id,
        ignore_known=config.loss.known == "ignore",
        prompt_weight=config.prompt_weight,
        wide=None if wide is None else wide.scorer.tables,
        left_out=untrained_codes(config, task),
        packs=packs_rows(config.packing, config.attention, model),
    )
    return RankTrainer(
        **arguments_for(config, run, len(examples), f"recall_at_{telling_k(len(task.codes))}"),
        model=model,
        train_dataset=examples,
        eval_dataset=validation.prompts,  # the trainer wants one; `evaluate` ranks with `measure` instead
        data_collator=(
            DecoderCollator(collator, start_id(model), end_id(model)) if is_encoder_decoder(model) else collator
        ),
        group_ids=torch.from_numpy(task.group_ids(config.loss.levels)),
        measure=validation.measure,
        repeated_weight=config.repeated_weight,
    )


def arguments_for(config: RankConfig, run: RunDirectory, num_examples: int, best_metric: str) -> dict[str, Any]:
    """What every Trainer of stage two gets of the configuration: as much training as suits so many examples, a look at
    validation after every epoch or every so many steps, and at the end the weights of the look with the best
    `best_metric`."""
    training = amount_for(config.training, num_examples)
    looks: dict[str, Any] = {"eval_strategy": "epoch"}
    if training.evaluate_every:
        every = training.evaluate_every
        looks = {"eval_strategy": "steps", "eval_steps": every, "save_strategy": "steps", "save_steps": every}
    arguments = TrainingArguments(
        **training_arguments(
            training,
            run,
            **looks,
            load_best_model_at_end=True,
            metric_for_best_model=best_metric,
            greater_is_better=True,
            remove_unused_columns=False,
            label_names=["positive"],
            activation_checkpointing=config.model.gradient_checkpointing,
        )
    )
    return {
        "callbacks": [Patience(training.patience)] if training.patience else None,
        "min_steps": config.training.min_steps,
        "compiles": config.training.compile,
        "kept_activations": config.training.kept_activations,
        "offloads_activations": config.model.activation_offloading,
        "args": arguments,
        "loss": config.loss,
    }
