"""A learned bonus for codes the patient has had before.

Chronic diseases are coded again and again, and a small model under-learns it: on Diabetes-130's validation patients,
adding an untrained constant to every code in the history raised recall@20 from 62.0 to 63.8. So the score of a
candidate is its logit plus a term that leaves the model to learn what the history does not say outright:

    s_c = logit_c + w1_c [c seen before] + w2_c log(visits with c) + w3_c [c in the last visit]

Each w_c is a weight shared by all codes plus the code's own: heart failure recurs, appendicitis does not. The paper
has no such term; `wide: none` trains without it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from data.task_folder.features import VisitRow
from mera.training.engine import whole_parameters

NUM_FEATURES = 3
LAST_VISIT = 2
"""Number of the feature that is 1 for the codes of the last visit."""
# At the model's learning rate the weights, which are of the size of a logit, would lag behind it. A code's own weights
# see few examples and stay closer to the shared ones.
SHARED_SCALE, CODE_SCALE = 10.0, 3.0


@dataclass(frozen=True, slots=True)
class SeenCodes:
    """The candidates in one history: `columns` (S,), `features` (S, 3) float32."""

    columns: np.ndarray
    features: np.ndarray


def seen_codes(history: Sequence[VisitRow] | None, column: dict[str, int]) -> SeenCodes:
    """`history`: visits, oldest first. Codes that are no candidates have no score and are passed over."""
    visits = [{column[code] for code in visit["codes"] if code in column} for visit in history or []]
    counts = Counter(code for visit in visits for code in visit)
    columns = sorted(counts)
    features = [[1.0, np.log(counts[code]), float(code in visits[-1])] for code in columns]
    return SeenCodes(np.array(columns, dtype=np.int64), np.array(features, dtype=np.float32).reshape(-1, NUM_FEATURES))


class Recurrence(nn.Module):
    """The trained weights. A submodule of the language model while it trains, so that every engine updates it."""

    def __init__(self, num_codes: int):
        super().__init__()
        self.shared = nn.Parameter(torch.zeros(NUM_FEATURES))
        self.per_code = nn.Parameter(torch.zeros(num_codes, NUM_FEATURES))

    def weights(self) -> Tensor:
        """(C, 3): w1, w2, w3 of each code."""
        return SHARED_SCALE * self.shared + CODE_SCALE * self.per_code

    def forward(self, features: Tensor) -> Tensor:
        """features (B, C, 3) -> bonus (B, C)."""
        return (features * self.weights()).sum(dim=-1)


def recurrence_weights(model: nn.Module, num_codes: int) -> np.ndarray:
    """(C, 3) float32: the trained weights of `model`; zeros where it was trained without the term."""
    if not hasattr(model, "recurrence"):
        return np.zeros((num_codes, NUM_FEATURES), dtype=np.float32)
    recurrence = cast("Recurrence", model.recurrence)  # or PEFT's wrapper of one, which hands its attributes through
    with whole_parameters(model, recurrence):
        return recurrence.weights().detach().float().cpu().numpy()


def add_recurrence(scores: np.ndarray, seen: Sequence[SeenCodes], weights: np.ndarray) -> np.ndarray:
    """scores (N, C) plus the bonus of each row's seen codes, in place; `weights` (C, 3)."""
    for row, codes in enumerate(seen):
        scores[row, codes.columns] += (codes.features * weights[codes.columns]).sum(axis=1)
    return scores
