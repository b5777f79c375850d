"""What one training step needs: a trainer's own loss on its own first batch, with a model that takes no memory.

The batch is real and so is everything the trainer does with it; only weights, and what is computed from them, are fake
(mera/doctor/live_bytes.py). So the estimate follows the code: LoRA, recomputed activations, chunked losses, any
architecture.
"""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer

from mera.doctor.live_bytes import LiveBytes, hollow, tensors_in
from mera.language_models.lora import inputs_as_they_are
from mera.language_models.quantization import num_bytes, num_weights, plain_bytes
from mera.training.stage_trainer import StageTrainer
from mera.training.steps import Batch, StepLoader

SAMPLED_BATCHES = 32
"""Batches whose tokens are counted, to reckon those of an epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepAs:
    """Where a step is estimated to be taken."""

    precision: str = "float32"
    """`float32`: as written; `autocast`: in bf16 by autocast; `bfloat16`: with weights in bf16 (DeepSpeed, FSDP2)"""
    in_pieces: bool = False
    """whether the engine keeps each parameter in pieces (ZeRO-3, FSDP)"""
    on_gpu: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLength:
    """How long a run is, in steps of one process."""

    epoch_steps: int
    run_steps: int
    num_examples: int
    step_examples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightCounts:
    """What a model's weights are, without sharding."""

    parameters: int
    """number of weights"""
    trainable: int
    weight_bytes: int
    merged_bytes: int
    """of the weights that are saved in the end, when none is in 4 bits any more"""
    gradient_bytes: int
    """of all that is trained, in the type of its weights"""
    trained_embeddings: int
    """trained weights of embeddings"""
    layer_parameters: int
    """weights of the largest layer"""
    layer_trained: int
    """of them, those that are trained"""
    outside_parameters: int
    """weights in no layer"""
    outside_unit: int
    """of them, those without an output layer of its own: the embeddings"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEstimate(WeightCounts):
    """What a step needs on one device without sharding, and how many a run takes."""

    batch_shape: list[int]
    """of the first, longest batch"""
    examples: int
    step_examples: int
    epoch_steps: int
    run_steps: int
    asked_epochs: float
    """as the recipe has them; with `min_steps` the steps of more processes follow"""
    min_steps: int
    epoch_tokens: int
    """of one process, padding included"""
    forward_bytes: int
    """activations at the end of the forward pass"""
    peak_bytes: int
    """the most that activations and gradients take together, in a step whose gradients begin empty"""
    accumulated_bytes: int
    """the same where the gradients of an earlier batch are there already"""
    host_bytes: int = 0
    """the most that activation offloading has on the host"""


def write_estimate(trainer: StageTrainer, step_as: StepAs, file: Path) -> None:
    """Write `estimate(trainer, step_as)` as JSON."""
    file.write_text(json.dumps(asdict(estimate(trainer, step_as)), indent=2) + "\n", encoding="utf-8")


def estimate(trainer: StageTrainer, step_as: StepAs) -> StepEstimate:
    """What a step of `trainer` needs where `step_as` says. The trainer's model is hollow afterwards."""
    loader = trainer.get_train_dataloader()
    length = run_length(trainer, loader)
    batches, step_items = trainer.get_batch_samples(iter(loader), 1, torch.device("cpu"))
    assert trainer.model is not None, "a trainer of ours is built with its model"
    model = hollow(trainer.model, torch.bfloat16 if step_as.precision == "bfloat16" else None)
    model.train()
    recomputes = getattr(trainer.args, "activation_checkpointing", False)
    if recomputes:
        recompute_activations(model)
    counts = weight_counts(model)
    with (
        told_of_autocast(step_as),
        inputs_as_they_are(model, is_on=step_as.precision == "autocast"),
        trainer.loss_elsewhere(on_gpu=step_as.on_gpu, in_pieces=step_as.in_pieces),
    ):
        loss = in_autocast(partial(_loss, trainer, model, batches[0], step_items), step_as)
        step = step_bytes(model, loss, on_host=not step_as.on_gpu, offloads=trainer.offloads_activations)
        if trainer.kept_activations < 1 and not recomputes:
            recompute_activations(model)
            least = step_bytes(model, loss, on_host=not step_as.on_gpu, offloads=trainer.offloads_activations)
            step = between(least, step, trainer.kept_activations)
    return StepEstimate(
        **asdict(counts),
        batch_shape=_largest_ids(batches[0]),
        examples=length.num_examples,
        step_examples=length.step_examples,
        epoch_steps=length.epoch_steps,
        run_steps=length.run_steps,
        asked_epochs=trainer.asked_epochs,
        min_steps=trainer.min_steps,
        epoch_tokens=epoch_tokens(loader),
        forward_bytes=step.forward,
        peak_bytes=step.peak,
        accumulated_bytes=step.passing + counts.gradient_bytes,
        host_bytes=step.host,
    )


def recompute_activations(model: nn.Module) -> None:
    """Have the hollow `model` recompute the activations of its layers in the backward pass."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is not None:
        enable()
    else:
        cast("PreTrainedModel", model).gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )


def in_autocast(loss: Callable[[], torch.Tensor], step_as: StepAs) -> Callable[[], torch.Tensor]:
    """`loss` under autocast to bf16 where the step has it. The backward pass is outside, as in a Trainer's step:
    autocast keeps what it made of weights until it is left."""

    def with_it() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=step_as.precision == "autocast"):
            return loss()

    return with_it


@contextmanager
def told_of_autocast(step_as: StepAs) -> Iterator[None]:
    """For a step on a GPU, whose fake tensors are on the CPU, libraries that ask are told that autocast is on for GPUs:
    else PEFT turns the inputs of LoRA beside 4-bit weights into float32."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", step_as.precision == "autocast" and step_as.on_gpu)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before)


def run_length(trainer: Trainer, loader: StepLoader) -> RunLength:
    """As the Trainer itself reckons when it begins."""
    _, epoch_steps, num_examples, _, step_examples, _, run_steps = trainer.set_initial_training_values(
        trainer.args, loader
    )
    return RunLength(
        epoch_steps=epoch_steps, run_steps=run_steps, num_examples=num_examples, step_examples=step_examples
    )


def weight_counts(model: nn.Module) -> WeightCounts:
    """What there is of the weights of `model`, which may be hollow."""
    weights = list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    embeddings = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    lists = (list(module) for module in model.modules() if isinstance(module, nn.ModuleList))
    layers = max(lists, key=lambda members: sum(map(_numel, members)), default=[])
    inside = {id(module) for layer in layers for module in layer.modules()}
    heads = {module.weight for module in model.modules() if isinstance(module, nn.Linear) and id(module) not in inside}
    outside = _numel(model) - sum(map(_numel, layers))
    largest = max(layers, key=_numel, default=nn.Identity())
    return WeightCounts(
        parameters=sum(map(num_weights, weights)),
        trainable=sum(weight.numel() for weight in trained),
        weight_bytes=sum(map(num_bytes, weights)),
        merged_bytes=sum(map(plain_bytes, weights)),
        gradient_bytes=sum(weight.numel() * weight.element_size() for weight in trained),
        trained_embeddings=sum(weight.numel() for weight in embeddings if weight.requires_grad),
        layer_parameters=_numel(largest),
        layer_trained=sum(weight.numel() for weight in largest.parameters() if weight.requires_grad),
        outside_parameters=outside,
        outside_unit=outside - sum(map(num_weights, heads - embeddings)),
    )


def let_gradients_go(model: nn.Module) -> None:
    """From now on every gradient leaves as soon as it is there: added to an earlier one, or handed to other processes.

    (Left where it is, a fake gradient would not be added in place, as a real one is, but beside the earlier one.)
    """
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = None
            weight.register_post_accumulate_grad_hook(_forget_gradient)


def _forget_gradient(weight: torch.Tensor) -> None:
    weight.grad = None


def _numel(module: nn.Module) -> int:
    return sum(map(num_weights, module.parameters()))


def _loss(trainer: Trainer, model: nn.Module, batch: Batch, step_items: torch.Tensor | int | None) -> torch.Tensor:
    loss = trainer.compute_loss(model, batch, num_items_in_batch=step_items)
    assert isinstance(loss, torch.Tensor), "the outputs were not asked for"
    return loss


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBytes:
    """What a step takes beside what is there before it."""

    forward: int
    """at the end of the forward pass"""
    peak: int
    """the most, with the gradients that it makes"""
    passing: int
    """the most where each gradient leaves as soon as it is there"""
    host: int
    """the most that activation offloading has on the host"""


def between(least: StepBytes, most: StepBytes, share: float) -> StepBytes:
    """What a step takes that keeps a `share` of what it keeps beyond the least."""
    sizes = asdict(most)
    return StepBytes(**{name: round(size + share * (sizes[name] - size)) for name, size in asdict(least).items()})


def step_bytes(model: nn.Module, loss: Callable[[], torch.Tensor], on_host: bool, offloads: bool = False) -> StepBytes:
    """Bytes of a step of the hollow `model` whose forward pass `loss` makes, where it `offloads` with activations on
    the host. Its gradients leave at once from then on."""
    forward, peak, host = _step(model, loss, on_host, offloads)
    let_gradients_go(model)
    return StepBytes(forward=forward, peak=peak, passing=_step(model, loss, on_host, offloads)[1], host=host)


def _step(model: nn.Module, loss: Callable[[], torch.Tensor], on_host: bool, offloads: bool) -> tuple[int, int, int]:
    gc.collect()
    live = LiveBytes(touched=on_host)
    live.ignore(model)
    with live, live.offloading() if offloads else nullcontext():
        value = loss()
        forward_bytes = live.live
        value.backward()
    return forward_bytes, live.peak, live.host_peak


def epoch_tokens(loader: StepLoader) -> int:
    """Tokens of an epoch of one process, padding included, reckoned from batches taken evenly from all of it."""
    batches = list(loader.share)
    sampled = batches[:: -(-len(batches) // SAMPLED_BATCHES)]
    counts = [num_tokens(loader.collate_fn([loader.dataset[place] for place in batch])) for batch in sampled]
    return round(sum(counts) / len(counts) * len(batches))


def num_tokens(batch: object) -> int:
    """Token ids of a trainer's batch, padding and those of a decoder beside an encoder included: what is computed."""
    return sum(tensor.numel() for name, tensor in _named(batch) if name in ("input_ids", "decoder_input_ids"))


def _largest_ids(batch: object) -> list[int]:
    shapes = [list(tensor.shape) for name, tensor in _named(batch) if name == "input_ids"]
    return max(shapes, key=lambda shape: shape[0] * shape[1], default=[])


def _named(batch: object, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if hasattr(batch, "items"):
        for key, value in batch.items():
            yield from _named(value, key)
    else:
        yield from ((name, leaf) for leaf in tensors_in(batch))
