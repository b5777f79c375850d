"""Optimisation settings that every stage shares, as the Hugging Face Trainer wants them."""

import glob
import importlib.util
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mera.config import config_class
from mera.language_models.compiled_blocks import require_compiler
from mera.runs.run_directory import RunDirectory
from mera.runs.tracking import Tracking, set_up_tracking
from mera.system.errors import UserError
from mera.training.engine import prepare_engine, shares_out_parameters, uses_deepspeed


@config_class
class TrainingConfig:
    epochs: float = 3.0
    """passes over the training examples; more where they are fewer than min_steps"""
    min_steps: int = 0
    """optimiser steps that are planned at least: on few patients the epochs, also those given on the command line, are
    raised to as many as that needs; 0: the epochs alone count"""
    batch_size: int = 32
    """examples per device and step; fewer where there are few examples, see min_epoch_steps"""
    min_epoch_steps: int = 0
    """stage two: steps that an epoch should have: on few examples the batch size is halved, down to 16 examples a step,
    until it has; 0: the batch size stays"""
    evaluate_every: int = 0
    """stage two: optimiser steps between two looks at validation, each of which may be the best checkpoint; one look
    after every epoch where that is shorter, or with 0"""
    patience: int = 0
    """stage two: looks at validation without a better one after which training ends, those while the learning rate
    still rises not counted; 0: it never ends early"""
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
    optimizer: str = "adamw_torch_fused"
    """as the Hugging Face Trainer names it; `adamw_8bit` (pip install bitsandbytes) is AdamW with averages in a quarter
    of the memory, those of embeddings aside"""
    max_grad_norm: float = 1.0
    """gradient clipping"""
    compile: bool = False
    """torch.compile of the model's blocks while they train: about a minute (on a CPU several) before the first step,
    fewer and larger kernels after it. The same result, but that dropout draws other numbers"""
    kept_activations: float = 1.0
    """with compile, and without gradient_checkpointing: the share of a block's activations that is kept for the
    backward pass, 0 to 1; the compiler recomputes what is cheapest. 1: it decides by speed alone"""
    cpu_bf16: bool = False
    """multiply in bfloat16 on a CPU as well (GPUs do anyway), with float32 weights: 2.4 times as fast for SmolLM2 on a
    processor that has avx512_bf16 or amx_bf16 in `lscpu`. One without any instructions for it computes in float32"""
    seed: int = 0
    """seed of initial weights, shuffling and orders"""
    keep_last: int = 2
    """checkpoints kept to resume from, besides the best one; 2 leave one to go back to if the newest is damaged"""
    save_every: int = 0
    """steps between checkpoints, besides those that are saved anyway (stage one: each tenth of the training, else each
    epoch); 0: none"""
    tracking: Tracking = "none"
    """wandb: numbers go to W&B, offline unless you have logged in; none: nowhere"""

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch_size < 1 or self.gradient_accumulation < 1:
            raise UserError("training.epochs, batch_size and gradient_accumulation must be positive")
        if self.keep_last < 1 or self.save_every < 0 or self.min_steps < 0:
            raise UserError(
                "training.keep_last must be 1 or more, training.save_every and training.min_steps 0 or more"
            )
        if not 0 <= self.warmup < 1:
            raise UserError(f"training.warmup is a share of the steps, 0 or more and below 1, got {self.warmup}")
        if min(self.learning_rate, self.weight_decay, self.max_grad_norm, self.seed) < 0:
            raise UserError("training.learning_rate, weight_decay, max_grad_norm and seed must be 0 or more")
        if not 0 <= self.kept_activations <= 1:
            raise UserError(f"training.kept_activations is a share, from 0 to 1, got {self.kept_activations}")
        if self.kept_activations < 1 and not self.compile:
            raise UserError("training.kept_activations is for the compiler: set training.compile, or leave it at 1")
        if min(self.min_epoch_steps, self.evaluate_every, self.patience) < 0:
            raise UserError("training.min_epoch_steps, evaluate_every and patience must be 0 or more")


SCHEDULES = ("cosine", "linear", "constant_with_warmup", "constant", "polynomial", "inverse_sqrt")
NO_BITSANDBYTES = "training.optimizer {} needs bitsandbytes, which is not installed: pip install 'bitsandbytes>=0.49'"


def require_optimizer(name: str) -> None:
    """Raises UserError where the Hugging Face Trainer knows no optimizer of this name, or bitsandbytes is missing."""
    from transformers.training_args import OptimizerNames

    names = [known.value for known in OptimizerNames]
    if name not in names:
        nearest = get_close_matches(name, names, n=1) or ["adamw_torch_fused"]
        raise UserError(f"training.optimizer {name} is none that the Hugging Face Trainer knows: take {nearest[0]}")
    if is_of_bitsandbytes(name) and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(NO_BITSANDBYTES.format(name))


def require_schedule(name: str) -> None:
    """Raises UserError unless the learning-rate schedule `name` exists and needs no settings of its own."""
    if name not in SCHEDULES:
        nearest = get_close_matches(name, SCHEDULES, n=1) or ["cosine"]
        raise UserError(
            f"training.schedule {name} is none that is used here: take {nearest[0]}; there are {', '.join(SCHEDULES)}"
        )


def is_of_bitsandbytes(optimizer: str) -> bool:
    """Whether the optimizer of this name keeps its averages in 8 bits, or on pages, by bitsandbytes."""
    return optimizer.startswith("paged_") or "bnb" in optimizer or optimizer in ("adamw_8bit", "lion_8bit")


def require_name_without_patterns(folder: Path) -> None:
    """Raises UserError where the absolute path of `folder` has characters that DeepSpeed, which looks for its
    checkpoints by `glob`, takes for a pattern."""
    if glob.has_magic(str(folder.absolute())):
        raise UserError(
            f"{folder.absolute()}: DeepSpeed would not find its checkpoints there again, since it takes *, ? and [ in "
            "a path for a pattern; give --output a path without them"
        )


def training_arguments(config: TrainingConfig, run: RunDirectory, **more: Any) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its subclasses; `more` wins over what is set here.

    Checkpoints for resuming go to `<run>/trainer` (mera/training/resume/checkpoints.py). Raises UserError where
    `config.compile` or `config.optimizer` cannot be had here, or DeepSpeed would not find its checkpoints again.
    """
    on_gpu = prepare_engine(config.cpu_bf16)
    require_optimizer(config.optimizer)
    require_schedule(config.schedule)
    if uses_deepspeed():
        require_name_without_patterns(run.final)
    if config.compile:
        require_compiler(on_gpu, fetches_weights=uses_deepspeed() and shares_out_parameters())
    arguments = {
        "output_dir": str(run.path("trainer")),
        "run_name": run.final.name,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup,
        "lr_scheduler_type": config.schedule,
        "optim": config.optimizer,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed,
        "data_seed": config.seed,
        "bf16": os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16",
        "use_cpu": not on_gpu,
        "report_to": set_up_tracking(config.tracking, run.final.name, run.partial),
        "logging_steps": 20,
        "save_strategy": "epoch",
        "average_tokens_across_devices": True,
        "dataloader_pin_memory": on_gpu,
        "ddp_find_unused_parameters": False,
    }
    if not on_gpu and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        arguments["ddp_backend"] = "gloo"
    return arguments | more
