"""Stage two's Trainer with candidates as branches in the place of partial outputs; the losses are the same."""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from data.task import Task
from mera.runs.run_directory import RunDirectory
from rank.attention.packing import packs_rows
from rank.config import LossConfig, RankConfig
from rank.loss import stage_two_loss
from rank.trainer import RankTrainer, arguments_for
from rank.verification.branches import VerificationBatch, VerificationDataset, VerificationExample
from rank.verification.scoring import read_batch
from rank.verification.start import VerifierInputs

BEST_METRIC = "mean_average_precision"


class VerificationTrainer(RankTrainer):
    """Trains on candidates of the first pass, read behind their notes."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor | float],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """The stage-two loss of a `VerificationBatch`, normalised by the rows of the whole step."""
        batch = cast("VerificationBatch", inputs)
        plain = self.accelerator.unwrap_model(model)
        values = read_batch(model, plain, batch)
        assert not isinstance(num_items_in_batch, int), "step_items returns a tensor"
        loss = batch_loss(values, batch, self.group_ids, self.loss, num_items_in_batch)
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over the processes
        return (loss, {"logits": values}) if return_outputs else loss

    def example_lengths(self) -> list[int]:
        assert isinstance(self.train_dataset, VerificationDataset)
        return self.train_dataset.lengths()

    def blank(self, example: VerificationExample) -> VerificationExample:  # type: ignore[override]
        return replace(example, is_blank=True, columns=[], branches=[], log_odds=[])


def batch_loss(
    values: Tensor, batch: VerificationBatch, group_ids: Tensor, config: LossConfig, step_rows: Tensor | None = None
) -> Tensor:
    """The stage-two loss of the read positions' scores (R,); `group_ids` (L, C) and `step_rows` as `stage_two_loss` has
    them. A code that is not read is neither positive nor negative."""
    device, (num_rows, num_codes) = values.device, batch["positive"].shape
    places = (batch["read_row"].to(device), batch["read_column"].to(device))
    table = values.new_zeros(num_rows, num_codes + 1).index_put(places, values)
    targets = (batch["positive"].to(device), batch["ignored"].to(device))
    weights = batch["row_weights"].to(device)
    return stage_two_loss(table[:, :-1], table[:, -1], *targets, group_ids, config, weights, step_rows)


def build_trainer(
    model: PreTrainedModel,
    task: Task,
    examples: VerificationDataset,
    inputs: VerifierInputs,
    config: RankConfig,
    run: RunDirectory,
) -> VerificationTrainer:
    """A trainer of `model` (rank/verification/start.py) that measures after every epoch and ends with the best epoch's
    weights."""
    return VerificationTrainer(
        **arguments_for(config, run, len(examples), BEST_METRIC),
        model=model,
        train_dataset=examples,
        eval_dataset=inputs.validation.prompts,  # the trainer wants one; `evaluate` ranks with `measure` instead
        data_collator=replace(inputs.collator, packs=packs_rows(config.packing, config.attention, model)),
        group_ids=torch.from_numpy(task.group_ids(config.loss.levels)),
        measure=inputs.measure,
    )
