"""What a training step sees: examples with their true codes, and the candidate codes it compares them with.

B rows, C codes, V views of codes (their texts, see label_views.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bi_encoder.config import ObjectiveConfig
from bi_encoder.inputs.batches import tokenize
from bi_encoder.inputs.label_views import LabelViews
from bi_encoder.inputs.windows import Windows, window_batch
from bi_encoder.negatives import HardNegatives


class TrainingExample(TypedDict):
    """A row of the training set (see start.py)."""

    row: int
    """Its number in the split, from 0."""
    windows: Windows
    """Token ids of the windows that are read in training."""
    length: int
    """Tokens in all windows."""
    targets: list[int]
    """Columns of its true codes, ascending, each once; empty: the example carries no loss."""
    spans: NotRequired[list[list[int]]]
    """Its annotated evidence, where training learns from it: `[column, first token, token behind the last]`."""


class StepBatch(TypedDict):
    """What a training step gets: B rows, V views of codes (see label_views.py)."""

    queries: dict[str, Tensor]
    """The rows' windows, see `window_batch`."""
    targets: Tensor
    """(B, L) int, see `padded_targets`."""
    views: Tensor
    """(V,) int: the views of the step's candidates."""
    spans: NotRequired[Tensor]
    """(S, 4) int: row, column, first token, token behind the last; only where the examples have spans."""


def step_codes(
    targets: Sequence[Sequence[int]], hard_negatives: Sequence[Sequence[int]], num_codes: int, limit: int
) -> Tensor:
    """Columns of the codes of a step (C,), ascending: those true for a row, the rows' hard negatives, then random
    others up to `limit`. Draws from torch's global generator, which checkpoints restore."""
    is_chosen = torch.zeros(num_codes, dtype=torch.bool)
    is_chosen[[code for row in (*targets, *hard_negatives) for code in row]] = True
    others = torch.nonzero(~is_chosen).squeeze(1)
    wanted = max(0, min(limit, num_codes) - int(is_chosen.sum()))
    is_chosen[others[torch.randperm(len(others))[:wanted]]] = True
    return torch.nonzero(is_chosen).squeeze(1)


def padded_targets(targets: Sequence[Sequence[int]]) -> Tensor:
    """True columns of each row (B, most), filled up with -1."""
    most = max(map(len, targets))
    return torch.tensor([[*row, *[-1] * (most - len(row))] for row in targets], dtype=torch.long)


def true_pairs(targets: Tensor, owners: Tensor) -> Tensor:
    """targets (B, L) as from `padded_targets`, the code each view belongs to (V,) -> (B, V) bool.

    Every view of every code that is true for a row is a positive of the row, wherever it came from: another row of the
    batch, another process, a hard negative of another row. So no true pair is a negative.
    """
    return (targets[:, :, None] == owners[None, None, :]).any(dim=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCollator:
    """Pads examples and draws the step's candidates and the texts each of them is seen by."""

    tokenizer: PreTrainedTokenizerBase
    views: LabelViews
    hard_negatives: HardNegatives
    objective: ObjectiveConfig
    window_overlap: int
    max_query_tokens: int = 512
    """Of a text that lists names."""

    def __call__(self, rows: Sequence[TrainingExample]) -> StepBatch:
        """Draws from torch's global generator, which checkpoints restore."""
        objective = self.objective
        lists = self._code_lists()
        targets = [row["targets"] for row in rows] + lists
        hard = [self.hard_negatives.draw(row["row"], row["targets"]) for row in rows]
        columns = step_codes(targets, hard, self.views.num_codes, objective.candidates_per_step)
        views = self.views.draw(
            columns.tolist(), objective.label_views, objective.synonym_probability, objective.view_kinds
        )
        windows = [row["windows"] for row in rows]
        windows += [[self._name_list(columns, set(views.tolist()))] for columns in lists]
        batch: StepBatch = {
            "queries": window_batch(self.tokenizer, windows, self.window_overlap),
            "targets": padded_targets(targets),
            "views": views,
        }
        spans = [[number, *span] for number, row in enumerate(rows) for span in row.get("spans", [])]
        if spans:
            batch["spans"] = torch.tensor(spans)
        return batch

    def _code_lists(self) -> list[list[int]]:
        """For each text that lists names the columns of different random codes that have further ones, ascending."""
        if not self.objective.name_lists:
            return []
        of_kinds = zip(*self.views.names.values(), strict=True)
        named = torch.tensor([column for column, names in enumerate(of_kinds) if any(names)], dtype=torch.long)
        size = self.objective.names_per_list
        return [
            named[torch.randperm(len(named))[:size]].sort().values.tolist() for _ in range(self.objective.name_lists)
        ]

    def _name_list(self, columns: Sequence[int], views: set[int]) -> list[int]:
        """Token ids of a text that names each code once, in random order, where possible by none of the step's
        `views`: a name that is compared with itself teaches nothing."""
        names, kinds = [], tuple(self.views.names)
        for position in torch.randperm(len(columns)).tolist():
            column = columns[position]
            name = self.views.draw_name(column, kinds, views)
            if name is None:
                name = self.views.draw_name(column, kinds) if column in views else column
            names.append(self.views.texts[column if name is None else name])
        return tokenize(self.tokenizer, [". ".join(names) + "."], self.max_query_tokens)[0]
