"""Which examples each process trains on in each step, so that the steps are the same however many processes there are.

A step takes `batch_size x processes x gradient_accumulation` examples of an order that depends on seed and epoch alone.
Where an epoch's last batch has too few for all processes, blank examples that carry no loss fill it up: the usual way
out, examples from the epoch's beginning, would make the result depend on the number of processes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset
from transformers.trainer_pt_utils import LengthGroupedSampler

Example = Any
"""Of the training set, in the form that a stage's collator takes."""
Batch = dict[str, Any]
"""What a stage's collator makes for its `compute_loss`: tensors, mostly."""
ROWS_KEY = "example_rows"
"""A batch's key for the row numbers of its examples in the training set; blanks have none."""
FEW_STEPS = 100
"""Fewer optimiser steps than this are too few to learn from, whatever the model."""


def raised_epochs(epochs: float, epoch_steps: int, min_steps: int) -> float:
    """`epochs`, or the whole number of epochs of `epoch_steps` each that makes at least `min_steps` steps."""
    return epochs if math.ceil(epochs * epoch_steps) >= min_steps else math.ceil(min_steps / epoch_steps)


def too_few_steps(run_steps: int) -> str | None:
    """A sentence where a run of so many optimiser steps is too short to learn from."""
    if run_steps >= FEW_STEPS:
        return None
    return (
        f"{run_steps} optimiser steps are too few to learn from (fewer than {FEW_STEPS}): raise training.min_steps or "
        f"training.epochs, or make training.batch_size smaller"
    )


_MOST_EPOCHS = 1 << 20
"""Epochs below which no two seeds draw one order."""


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
        self.generator = torch.Generator().manual_seed(self.seed * _MOST_EPOCHS + epoch)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example stands: its row in the training set, and the batch it is drawn for."""

    row: int
    epoch: int
    batch: int
    is_blank: bool = False


class RowOrder(Protocol):
    """The rows of the training set in the order of an epoch; every process has the same."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[int]: ...

    def set_epoch(self, epoch: int) -> None: ...


class ShareOfSteps:
    """The batches of one process, as lists of `Place`. Every process gets as many batches, and rows in each, as others.

    `order` yields the rows of an epoch; a batch of all processes is the next `batch_size x processes` of them.
    """

    def __init__(self, order: RowOrder, batch_size: int, processes: int, process: int):
        self.order, self.batch_size, self.processes, self.process = order, batch_size, processes, process
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.order) // (self.batch_size * self.processes))

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch
        self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[Place]]:
        rows = list(self.order)
        together = self.batch_size * self.processes
        for batch, start in enumerate(range(0, len(rows), together)):
            shared = rows[start : start + together]
            size = -(-len(shared) // self.processes)
            own = [Place(row, self.epoch, batch) for row in shared[self.process * size : (self.process + 1) * size]]
            blanks = [Place(shared[0], self.epoch, batch, is_blank=True)] * (size - len(own))
            yield own + blanks


class Examples(Protocol):
    """A training set. Where it has a `set_epoch`, it is told the epoch before each example."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Example: ...


class PlacedExamples(Dataset[tuple[Place, Example]]):
    """The training set, asked for by `Place`: (place, example) pairs, the example blanked where the place is blank."""

    def __init__(self, examples: Examples, blank: Callable[[Example], Example]):
        self.examples, self.blank = examples, blank

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: Place) -> tuple[Place, Example]:
        if hasattr(self.examples, "set_epoch"):
            self.examples.set_epoch(place.epoch)
        example = self.examples[place.row]
        return place, self.blank(example) if place.is_blank else example


@dataclass(frozen=True, slots=True)
class SeededCollator:
    """Runs `collator` with a generator seeded by (seed, epoch, batch), and adds the rows' numbers to the batch.

    What a collator draws would otherwise depend on the process and on where a run was interrupted. The generators of
    GPUs go on as they are: a step's dropout draws from them, and a process without one spends more time on seeding what
    is not there (`torch.manual_seed`) than on collating.
    """

    collator: Callable[[list[Example]], Batch]
    seed: int

    def __call__(self, items: Sequence[tuple[Place, Example]]) -> Batch:
        place = items[0][0]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(hash((self.seed, place.epoch, place.batch)) % 2**63)
            batch = self.collator([example for _, example in items])
        batch[ROWS_KEY] = [place.row for place, _ in items if not place.is_blank]
        return batch


@dataclass(frozen=True, slots=True)
class EvenLengths:
    """Runs `collator` and pads what it made of tokens to one of few lengths, see `even_length`."""

    collator: Callable[[list[Example]], Batch]
    padding: dict[str, int]
    """name in the batch of each tensor (B, T) with an entry for each token -> what its padding is"""

    def __call__(self, examples: list[Example]) -> Batch:
        batch = self.collator(examples)
        for name, filler in self.padding.items():
            if name in batch:
                length = batch[name].shape[1]
                batch[name] = pad(batch[name], (0, even_length(length) - length), value=filler)
        return batch


def even_length(length: int) -> int:
    """The next of 8 lengths between each power of two and the one after it, all multiples of 16: 16, 32, ... 128, 144,
    ... 256, 288, ... 512; so at most an eighth is added beyond 128."""
    step = max(16, 2 ** ((length - 1).bit_length() - 1) // 8)
    return -(-length // step) * step


class StepLoader(DataLoader[tuple[Place, Example]]):
    """The batches of one process."""

    def __init__(
        self,
        examples: Examples,
        blank: Callable[[Example], Example],
        share: ShareOfSteps,
        collator: SeededCollator,
        pin_memory: bool = False,
    ):
        super().__init__(
            PlacedExamples(examples, blank), batch_sampler=share, collate_fn=collator, pin_memory=pin_memory
        )

    @property
    def share(self) -> ShareOfSteps:
        """What is loaded."""
        return cast("ShareOfSteps", self.batch_sampler)  # a DataLoader may have others

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.share.set_epoch(epoch)
