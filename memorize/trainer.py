"""TRL's SFTTrainer on the completions of the questions, stopped when the model knows the codes."""

import datasets
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState
from trl import SFTConfig, SFTTrainer

from data.task import Task
from memorize.config import MemorizeConfig
from memorize.recall import measure_recall
from mera.run_directory import RunDirectory
from mera.stage_trainer import StageTrainer
from mera.training import training_arguments


class StopWhenKnown(TrainerCallback):
    """Measures exact match both ways every few epochs and ends training once it reaches `config.stop_at`.

    Exact match, not loss: with too high a learning rate the loss looks converged while half the codes are unknown.
    """

    def __init__(self, task: Task, tokenizer: PreTrainedTokenizerBase, config: MemorizeConfig):
        self.task, self.tokenizer, self.config = task, tokenizer, config

    def on_epoch_end(
        self, args: SFTConfig, state: TrainerState, control: TrainerControl, model: PreTrainedModel, **_: object
    ) -> None:
        epoch = round(state.epoch)
        if control.should_training_stop or args.max_steps > 0:  # a rehearsal takes a few steps and no epoch
            return
        if self.config.stop_at is None or epoch % self.config.evaluate_every:
            return
        found = measure_recall(
            model,
            self.tokenizer,
            self.task,
            self.config.questions,
            self.config.evaluation_batch_size,
            both_ways_only=True,
        )
        if state.is_world_process_zero:
            shares = ", ".join(f"{kind.replace('_', ' ')} {share:.1%}" for kind, share in found.items())
            print(f"epoch {epoch}: {shares}", flush=True)
        if min(found.values()) >= self.config.stop_at:
            control.should_training_stop = True


class MemorizeTrainer(StageTrainer, SFTTrainer):
    """TRL's trainer; `train_dataset` holds `input_ids` and `completion_mask`."""

    def example_lengths(self) -> list[int]:
        return [len(ids) for ids in self.train_dataset["input_ids"]]

    def blank(self, example: dict[str, list[int]]) -> dict[str, list[int]]:
        return example | {"completion_mask": [0] * len(example["completion_mask"])}


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: datasets.Dataset,
    task: Task,
    config: MemorizeConfig,
    run: RunDirectory,
) -> MemorizeTrainer:
    """`examples` hold `input_ids` and `completion_mask`; only completions carry loss. Batches group equal lengths:
    packing needs an attention kernel that keeps sequences apart, which a CPU does not have.
    """
    arguments = training_arguments(
        config.training,
        run,
        completion_only_loss=True,
        packing=False,
        max_length=config.model.max_length,
        activation_checkpointing=config.model.gradient_checkpointing,
        logging_steps=50,
        save_strategy="steps",
        save_steps=0.1,
    )
    return MemorizeTrainer(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=examples,
        processing_class=tokenizer,
        callbacks=[StopWhenKnown(task, tokenizer, config)],
    )


def unwrapped(trainer: SFTTrainer) -> torch.nn.Module:
    """The trained model without the engine's wrapper."""
    return trainer.accelerator.unwrap_model(trainer.model)
