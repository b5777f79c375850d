"""Optimisation settings that every stage shares, as the Hugging Face Trainer wants them."""

import os
from typing import Any

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

from mera.config import config_class
from mera.run_directory import RunDirectory
from mera.tracking import Tracking, set_up_tracking


@config_class
class TrainingConfig:
    epochs: float = 3.0
    """passes over the training examples"""
    batch_size: int = 32
    """examples per device and step"""
    gradient_accumulation: int = 1
    """batches per optimiser step"""
    learning_rate: float = 1e-4
    """peak learning rate of AdamW"""
    warmup: float = 0.05
    """share of the steps over which the learning rate rises"""
    schedule: str = "cosine"
    """learning-rate schedule: cosine, linear, constant_with_warmup, ..."""
    weight_decay: float = 0.0
    """AdamW weight decay"""
    max_grad_norm: float = 1.0
    """gradient clipping"""
    seed: int = 0
    """seed of initial weights, shuffling and orders"""
    tracking: Tracking = "none"
    """wandb: numbers go to W&B, offline unless you have logged in; none: nowhere"""

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch_size < 1 or self.gradient_accumulation < 1:
            raise ValueError("training.epochs, batch_size and gradient_accumulation must be positive")


class EpochSeededLengthSampler(LengthGroupedSampler):
    """Batches of similar length, shuffled by seed and epoch alone.

    Processes may draw other things from the global generator, so an order drawn from there could differ between them,
    and they would no longer share out the examples.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        super().__init__(batch_size, lengths=lengths)
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.generator = torch.Generator().manual_seed(self.seed + epoch)


def training_arguments(config: TrainingConfig, run: RunDirectory, **more: Any) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its subclasses; `more` wins over what is set here.

    Checkpoints for resuming go to `<run>/trainer`, one at a time. bf16 is used where the GPU has it; without a GPU
    training is in float32 on the CPU.
    """
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed looks for one, and warns
    arguments = {
        "output_dir": str(run.path("trainer")),
        "run_name": run.final.name,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup,
        "lr_scheduler_type": config.schedule,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed,
        "data_seed": config.seed,
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "use_cpu": not on_gpu,
        "report_to": set_up_tracking(config.tracking, run.final.name, run.partial),
        "logging_steps": 20,
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "dataloader_pin_memory": on_gpu,
        "ddp_find_unused_parameters": False,
    }
    if not on_gpu and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        arguments["ddp_backend"] = "gloo"
    return arguments | more


def last_checkpoint(run: RunDirectory) -> str | None:
    """The newest complete trainer checkpoint of an interrupted run, to resume from; None for a new run.

    The trainer writes `trainer_state.json` last, so a checkpoint without it was cut off while being written.
    """
    complete = [path.parent for path in run.path("trainer").glob("checkpoint-*/trainer_state.json")]
    newest = max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
    return None if newest is None else str(newest)
