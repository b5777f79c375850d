"""The wide part: a linear model beside the language model, trained together with it (Cheng et al., "Wide & Deep
Learning for Recommender Systems", DLRS 2016).

    s_c = gate * logit_c + sum over features k of (w_k + v_ck) f_ck + b_c + u_c . p
    s_EOV = gate * logit_EOV + b_EOV + u_EOV . p

f (C, K) and p (D,) as in rank/wide/features.py; v is there for the first PER_CODE features. Everything but the gate
starts where rank/wide/fit.py found the wide part alone to be best, and the gate at 0: before the first step the model
ranks as the wide part does. What is trained is the difference to that start, so weight decay pulls towards the start.

A code that no training example has as its target is trained down, whatever the patient has, and what training changed
of it says nothing else. So in ranking it keeps the distance to EOV that the start gives it (`WideScorer.start`).

Shape suffixes: B patients, C candidates, K features of a candidate, D features of a patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mera.training.engine import whole_parameters
from rank.wide.features import PER_CODE, WidePatient, WideTables

GATE_SCALE, SHARED_SCALE = 10.0, 3.0
"""The model's learning rate is small for numbers of the size of a logit."""
SCORED_AT_ONCE = 256

WideLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""scores (B, C), EOV (B,), targets (B, C) bool, seen before (B, C) 0 or 1 -> the mean loss of the rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WideWeights:
    """The numbers of the formula above, float32."""

    shared: np.ndarray
    """(K,)"""
    per_code: np.ndarray
    """(C, PER_CODE)"""
    bias: np.ndarray
    """(C,)"""
    patient: np.ndarray
    """(C, D)"""
    eov: np.ndarray
    """(1 + D,): b_EOV, u_EOV"""
    gate: np.ndarray
    """(1,)"""

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return {part.name: torch.from_numpy(getattr(self, part.name)) for part in fields(self)}


class WidePart(nn.Module):
    """A submodule of the language model while it trains, so that every engine updates it."""

    def __init__(self, start: WideWeights):
        super().__init__()
        for part in fields(WideWeights):
            values = torch.from_numpy(getattr(start, part.name).copy())
            self.register_buffer(f"start_{part.name}", values)
            self.register_parameter(part.name, nn.Parameter(torch.zeros_like(values)))

    def weights(self) -> dict[str, Tensor]:
        """By the names of `WideWeights`."""
        scales = {"gate": GATE_SCALE, "shared": SHARED_SCALE}
        return {
            part.name: getattr(self, f"start_{part.name}").float()
            + scales.get(part.name, 1.0) * getattr(self, part.name).float()
            for part in fields(WideWeights)
        }

    def forward(self, features: Tensor, patients: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, C, K), patients (B, D) -> what is added to the logits (B, C + 1), EOV last; the gate (1,)."""
        weights = self.weights()
        return wide_scores(weights, features, patients), weights["gate"]


def wide_scores(weights: dict[str, Tensor], features: Tensor, patients: Tensor) -> Tensor:
    """(B, C + 1), EOV last; `weights` by the names of `WideWeights`."""
    scores = features @ weights["shared"] + weights["bias"] + patients @ weights["patient"].T
    scores = scores + (features[..., :PER_CODE] * weights["per_code"]).sum(dim=-1)
    eov = weights["eov"][0] + patients @ weights["eov"][1:]
    return torch.cat([scores, eov[:, None]], dim=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class WideScorer:
    """The wide part as it ranks: its tables and its weights."""

    tables: WideTables
    weights: WideWeights
    start: WideWeights | None = None
    """The weights before training, by which codes without a training target are scored; None: all by `weights`."""

    @property
    def untrained(self) -> np.ndarray:
        """(C,) bool: codes that `start` scores; the language model says as much of them as of EOV."""
        return (self.tables.counts == 0) & (self.start is not None)

    def add(
        self, scores: np.ndarray, eov: np.ndarray, patients: Sequence[WidePatient]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The whole scores (N, C) and EOV (N,) float32, from the language model's logits."""
        bonus = self.bonus(patients)
        gate = self.weights.gate[0]
        scores = np.where(self.untrained, eov[:, None], scores)
        return gate * scores + bonus[:, :-1], gate * eov + bonus[:, -1]

    def bonus(self, patients: Sequence[WidePatient]) -> np.ndarray:
        """(N, C + 1) float32, EOV last: what the wide part says by itself."""
        weights, untrained = self.weights.tensors(), self.untrained
        bonus = np.empty((len(patients), len(self.tables.counts) + 1), dtype=np.float32)
        for start in range(0, len(patients), SCORED_AT_ONCE):
            batch = patients[start : start + SCORED_AT_ONCE]
            features, of_patients = batch_tensors(self.tables, batch)
            scores = wide_scores(weights, features, of_patients).numpy()
            if self.start is not None and untrained.any():
                at_start = wide_scores(self.start.tensors(), features, of_patients).numpy()
                scores[:, :-1][:, untrained] = (at_start[:, :-1] - at_start[:, -1:] + scores[:, -1:])[:, untrained]
            bonus[start : start + SCORED_AT_ONCE] = scores
        return bonus


def batch_tensors(tables: WideTables, patients: Sequence[WidePatient]) -> tuple[Tensor, Tensor]:
    """(B, C, K) and (B, D), as the wide part reads them."""
    of_patients = np.stack([patient.patient for patient in patients])
    return torch.from_numpy(tables.features(patients)), torch.from_numpy(of_patients)


def trained_weights(model: nn.Module) -> WideWeights:
    """The weights of `model.wide`; every process must call this."""
    wide = cast("WidePart", model.wide)  # or PEFT's wrapper of one, which hands its attributes through
    with whole_parameters(model, wide):
        return WideWeights(**{name: value.detach().cpu().numpy().copy() for name, value in wide.weights().items()})


def start_weights(model: nn.Module) -> WideWeights:
    """What the weights of `model.wide` were before it trained."""
    wide = cast("WidePart", model.wide)
    return WideWeights(
        **{part.name: getattr(wide, f"start_{part.name}").float().cpu().numpy() for part in fields(WideWeights)}
    )


def interpolated(start: WideWeights, trained: WideWeights, share: float) -> WideWeights:
    """`share` of the trained weights and the rest of those at the start: all scores are linear in them, so that they
    are mixed likewise. 0 leaves the wide part alone, as it was fitted."""
    mixed = {
        part.name: (1 - share) * getattr(start, part.name) + share * getattr(trained, part.name)
        for part in fields(WideWeights)
    }
    return WideWeights(**{name: values.astype(np.float32) for name, values in mixed.items()})
