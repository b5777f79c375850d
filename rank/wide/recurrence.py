"""A learned bonus for codes the patient has had before.

Chronic diseases are coded again and again, and a small model under-learns it: on Diabetes-130's validation patients,
adding an untrained constant to every code in the history raised recall@20 from 62.0 to 63.8. So the score of a
candidate is its logit plus a term that leaves the model to learn what the history does not say outright:

    s_c = logit_c + w1_c [c seen before] + w2_c log(visits with c) + w3_c [c in the last visit]

Each w_c is a weight shared by all codes plus the code's own: heart failure recurs, appendicitis does not. The paper
has no such term; `wide: none` trains without it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
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
RARE_STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
MICRO_F1_COST = 0.001
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


def fit_rare_bonus(
    scores: np.ndarray,
    seen: Sequence[SeenCodes],
    train_counts: np.ndarray,
    quality: Callable[[np.ndarray], float],
    micro_f1: Callable[[np.ndarray], float],
) -> np.ndarray:
    """(C, 3): what to add to the trained weights, so that rare codes of the last visit stand higher.

    Training by likelihood ranks by probability, where a rare code that recurs stays below common new ones; F1 per code
    and recall want it higher. As in logit adjustment (Menon et al., ICLR 2021), a multiple of -log frequency is added,
    here to the codes of the last visit only. Micro F1 counts every code alike and wants probabilities, so of
    0 and `RARE_STRENGTHS` those that lower it by more than `MICRO_F1_COST` are out; of the others the one with the best
    mean of recall@10, recall@20 and weighted F1 at label count is taken, the smallest of equals.

    scores (N, C), `seen` N: the validation split; train_counts (C,); quality, micro_f1: scores (N, C) -> the
    mean of the three numbers, and the micro F1 of what is predicted from them.
    """
    rarity = np.log((train_counts.max() + 1) / (train_counts + 1)).astype(np.float32)
    best = np.zeros((len(rarity), NUM_FEATURES), dtype=np.float32)
    best_quality, least_micro_f1 = quality(scores), micro_f1(scores) - MICRO_F1_COST
    for strength in RARE_STRENGTHS:
        bonus = np.zeros_like(best)
        bonus[:, LAST_VISIT] = strength * rarity
        raised = add_recurrence(scores.copy(), seen, bonus)
        raised_quality = quality(raised)
        if raised_quality > best_quality and micro_f1(raised) >= least_micro_f1:
            best, best_quality = bonus, raised_quality
    return best
