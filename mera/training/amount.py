"""How much a run trains, by the number of its examples: the same recipe for eighty patients and for a hundred thousand.

A recipe names a minimum of optimiser steps, how many of them an epoch should have at least, how often validation looks
and how long it waits. Few examples then get small batches and many epochs, many examples the batch size and the epochs
of the recipe, and both end when validation has not become better for a while. Validation looks after every epoch where
epochs are short: eighty patients are learnt by heart in the steps that lie between two looks at a hundred thousand.
"""

import math
import os
from dataclasses import replace

from mera.training.settings import TrainingConfig

LEAST_STEP_EXAMPLES = 16
"""Fewer examples in a step than this make its gradient too noisy."""


def fitting_batch_size(
    num_examples: int, batch_size: int, min_epoch_steps: int, other_factors: int = 1, least: int = LEAST_STEP_EXAMPLES
) -> int:
    """`batch_size`, halved until an epoch of `num_examples` has `min_epoch_steps` steps or a step `least` examples.

    A step takes batch_size x other_factors examples: accumulated batches times processes. 0 leaves `batch_size` as it
    is.
    """
    while (
        min_epoch_steps
        and batch_size > 1
        and batch_size * other_factors >= 2 * least
        and num_examples < min_epoch_steps * batch_size * other_factors
    ):
        batch_size //= 2
    return batch_size


def amount_for(config: TrainingConfig, num_examples: int) -> TrainingConfig:
    """The settings with the batch size that suits so many examples, on the processes that were launched, and a look at
    validation after `evaluate_every` steps or an epoch, whichever is shorter."""
    factors = config.gradient_accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    batch_size = fitting_batch_size(num_examples, config.batch_size, config.min_epoch_steps, factors)
    epoch_steps = math.ceil(num_examples / (batch_size * factors))
    return replace(config, batch_size=batch_size, evaluate_every=min(config.evaluate_every, epoch_steps))
