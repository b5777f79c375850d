"""Hard negatives: codes that are easily taken for a true one of an example, and are not true for it.

Two kinds: siblings of a true code in the ontology, and the mistakes of the model's own code index (ANCE, Xiong et al.
2020, arXiv 2007.00808).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import datasets
import numpy as np
import torch

from bi_encoder.config import BiEncoderConfig
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.model import BiEncoder
from bi_encoder.predict import code_vectors_of, embed_windows
from data.task import Task

SIBLING_LEVELS = ("subcategory", "category", "block", "chapter")
"""From the nearest relatives to the furthest."""
MISTAKES_PER_NEGATIVE = 4
"""An example keeps so many of the index's mistakes for each one that a step draws."""


@dataclass(kw_only=True, slots=True)
class HardNegatives:
    """Draws the hard negatives of an example. A true code of the example is never among them."""

    num_siblings: int
    """Siblings drawn for an example."""
    num_mistakes: int
    """Mistakes of the index drawn for an example."""
    siblings: list[np.ndarray]
    """For each code the columns of its nearest group with other members, itself included."""
    mistakes: list[list[int]] = field(default_factory=list)
    """For each training example the columns that the index wrongly ranks first; empty until it has been searched."""

    @classmethod
    def of_task(cls, task: Task, kind: str, per_row: int) -> "HardNegatives":
        """`kind`: none, siblings, mistakes, or both (half of each)."""
        num_siblings = {"none": 0, "siblings": per_row, "mistakes": 0, "both": per_row - per_row // 2}[kind]
        num_mistakes = 0 if kind in ("none", "siblings") else per_row - num_siblings
        siblings = sibling_columns(task) if num_siblings else []
        return cls(num_siblings=num_siblings, num_mistakes=num_mistakes, siblings=siblings)

    def draw(self, row: int, targets: Sequence[int]) -> list[int]:
        """Columns for the example `row` of the training set with the true columns `targets`; fewer where there are
        not enough. Draws from torch's global generator, which checkpoints restore."""
        taken = set(targets)
        drawn: list[int] = []
        if self.num_siblings:
            # Each true code offers one sibling in turn, so that a large block does not crowd out the others.
            siblings = (self.siblings[targets[number]] for number in _shuffled(len(targets)) * self.num_siblings)
            drawn += _one_of_each(siblings, self.num_siblings, taken)
        if self.num_mistakes and self.mistakes:
            mistakes = ([column] for column in _in_random_order(self.mistakes[row]))
            drawn += _one_of_each(mistakes, self.num_mistakes, taken)
        return drawn

    @property
    def mistakes_per_example(self) -> int:
        """Mistakes of the index that are kept for an example to draw from."""
        return MISTAKES_PER_NEGATIVE * self.num_mistakes


def sibling_columns(task: Task) -> list[np.ndarray]:
    """For each code the columns of the first of SIBLING_LEVELS where it is not alone; of itself where it always is."""
    siblings: list[np.ndarray | None] = [None] * len(task.codes)
    for level in SIBLING_LEVELS:
        groups = np.array(task.groups(level))
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.r_[True, groups[order][1:] != groups[order][:-1]])
        for members in np.split(order, starts[1:]):
            for column in members if len(members) > 1 else ():
                if siblings[column] is None:
                    siblings[column] = members
    return [np.array([column]) if members is None else members for column, members in enumerate(siblings)]


def index_mistakes(
    model: BiEncoder, task: Task, examples: datasets.Dataset, config: BiEncoderConfig, per_example: int
) -> list[list[int]]:
    """For each training example the first `per_example` codes that the mean-pooled index ranks first and that are not
    true for it; in a distributed run every process finds all of them."""
    batch_size = config.selection.batch_size
    vectors = code_vectors_of(model, task, config)
    queries = embed_windows(model, examples["windows"], config.encoder.window_overlap, batch_size).cpu().numpy()
    targets = list(examples["targets"])
    num_ranked = per_example + max(map(len, targets))
    index = CodeIndex.build(vectors.embeddings.cpu().numpy(), task.codes, owner=vectors.owner.cpu().numpy())
    ranked, _ = index.search_columns(queries, num_ranked, first_pass_dim=model.hidden_size)
    return wrong_first_codes(ranked.tolist(), targets, per_example)


def wrong_first_codes(ranked: Iterable[Sequence[int]], targets: Iterable[Sequence[int]], keep: int) -> list[list[int]]:
    """The first `keep` columns of each ranking that are not among the row's true columns."""
    return [
        [column for column in row if column not in true][:keep]
        for row, true in zip(ranked, map(set, targets), strict=True)
    ]


def _one_of_each(offers: Iterable[Sequence[int] | np.ndarray], count: int, taken: set[int]) -> list[int]:
    """One column of each offer that is not `taken` yet, until there are `count`; `taken` grows by them."""
    drawn: list[int] = []
    for offer in offers:
        free = [int(column) for column in offer if int(column) not in taken]
        if free and len(drawn) < count:
            drawn.append(free[int(torch.randint(len(free), ()))])
            taken.add(drawn[-1])
    return drawn


def _in_random_order(columns: Sequence[int]) -> list[int]:
    return [columns[position] for position in _shuffled(len(columns))]


def _shuffled(length: int) -> list[int]:
    return torch.randperm(length).tolist()
