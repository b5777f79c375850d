"""The wide part: a linear model beside the language model, trained together with it (Cheng et al., "Wide & Deep
Learning for Recommender Systems", DLRS 2016).

    s_c = gate * logit_c + sum over features k of (w_k + v_ck) f_ck + b_c + u_c . p
    s_EOV = gate * logit_EOV + b_EOV + u_EOV . p

f (C, K) and p (D,) as in rank/wide/features.py; v is there for the first PER_CODE features. Everything but the gate
starts where `fit_wide_part` found the wide part alone to be best, and the gate at 0: before the first step the model
ranks as the wide part does. What is trained is the difference to that start, so weight decay pulls towards the start.

Shape suffixes: B patients, C candidates, K features of a candidate, D features of a patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mera.training.engine import whole_parameters
from rank.wide.features import FEATURES, PATIENT_FEATURES, PER_CODE, WidePatient, WideTables

GATE_SCALE, SHARED_SCALE = 10.0, 3.0
"""The model's learning rate is small for numbers of the size of a logit."""
PER_CODE_SPREADS, BIAS_SPREAD, PATIENT_SPREAD, SHARED_SPREAD = (0.2, 0.6), 0.3, 0.1, 3.0
"""Standard deviations of the weights before anything is seen: what little training data hold them to. How much the
codes differ in their own weights is a matter of the cohort, and of its size."""
HELD_OUT, BLOCKS = 5, 20
FIT_STEPS, MOST_ELEMENTS, MANY_FIRST_VISITS = 60, 2**23, 2000
"""Steps of the fit, and its rows x candidates, which take 600 MB."""
SCORED_AT_ONCE = 256
SEEN = FEATURES.index("seen")

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

    def add(
        self, scores: np.ndarray, eov: np.ndarray, patients: Sequence[WidePatient]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The whole scores (N, C) and EOV (N,) float32, from the language model's logits."""
        bonus = self.bonus(patients)
        gate = self.weights.gate[0]
        return gate * scores + bonus[:, :-1], gate * eov + bonus[:, -1]

    def bonus(self, patients: Sequence[WidePatient]) -> np.ndarray:
        """(N, C + 1) float32, EOV last: what the wide part says by itself."""
        weights = {part.name: torch.from_numpy(getattr(self.weights, part.name)) for part in fields(WideWeights)}
        bonus = np.empty((len(patients), len(self.tables.counts) + 1), dtype=np.float32)
        for start in range(0, len(patients), SCORED_AT_ONCE):
            batch = patients[start : start + SCORED_AT_ONCE]
            features, of_patients = batch_tensors(self.tables, batch)
            bonus[start : start + SCORED_AT_ONCE] = wide_scores(weights, features, of_patients).numpy()
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


def fit_wide_part(
    tables: WideTables, patients: Sequence[WidePatient], targets: Sequence[Sequence[int]], loss: WideLoss, seed: int
) -> WideWeights:
    """The wide part alone at its best on training patients who are left out of what was counted on them.

    Codes differ in their own weights as little as the first of PER_CODE_SPREADS says, unless the second, fitted on four
    fifths of the patients, has less loss on the others by more than two standard errors.

    Minimises the mean `loss` of the rows plus the squares of the weights by their prior spread over the rows, with
    L-BFGS (`_rows_to_fit` says of which rows). targets: columns of each patient's targets. The gate of the result is 0.
    """
    draw = np.random.default_rng(seed)
    rows = _rows_to_fit(patients, MOST_ELEMENTS // len(tables.counts), draw)
    is_held = _held_out(np.array([patients[row].owner for row in rows]), draw)
    little, much = PER_CODE_SPREADS
    per_code = little
    if is_held.sum() > 1 and not is_held.all():
        losses = _losses(tables, patients, targets, loss, rows, is_held)
        gain = losses[little] - losses[much]
        per_code = much if gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)) else little
    fitted = _fit(*_tensors(tables, patients, targets, rows), loss, per_code)
    numbers = {name: weight.detach().numpy() for name, weight in fitted.items()}
    return WideWeights(**numbers, gate=np.zeros(1, dtype=np.float32))


def _losses(
    tables: WideTables,
    patients: Sequence[WidePatient],
    targets: Sequence[Sequence[int]],
    loss: WideLoss,
    rows: np.ndarray,
    is_held: np.ndarray,
) -> dict[float, np.ndarray]:
    """Of PER_CODE_SPREADS -> (B,) the loss of the rows that are held out, fitted on the others, in BLOCKS or, of fewer
    rows, each by itself; is_held (R,) bool."""
    known = _tensors(tables, patients, targets, rows[~is_held])
    fitted = {spread: _fit(*known, loss, spread) for spread in PER_CODE_SPREADS}
    del known
    features, of_patients, wanted = _tensors(tables, patients, targets, rows[is_held])
    blocks = np.array_split(np.arange(len(wanted)), min(BLOCKS, len(wanted)))
    losses = {}
    with torch.no_grad():
        for spread, weights in fitted.items():
            scores, seen = wide_scores(weights, features, of_patients), features[..., SEEN]
            of_blocks = [loss(scores[block, :-1], scores[block, -1], wanted[block], seen[block]) for block in blocks]
            losses[spread] = np.array([float(each) for each in of_blocks])
    return losses


def _fit(
    features: Tensor, of_patients: Tensor, wanted: Tensor, loss: WideLoss, per_code_spread: float
) -> dict[str, Tensor]:
    """features (R, C, K), of_patients (R, D), wanted (R, C) bool -> the weights, by the names of `WideWeights`."""
    num_codes, num_patient = wanted.shape[1], len(PATIENT_FEATURES)
    shapes = {
        "shared": (len(FEATURES),),
        "per_code": (num_codes, PER_CODE),
        "bias": (num_codes,),
        "patient": (num_codes, num_patient),
        "eov": (1 + num_patient,),
    }
    spreads = {"shared": SHARED_SPREAD, "per_code": per_code_spread, "bias": BIAS_SPREAD, "patient": PATIENT_SPREAD}
    weights = {name: torch.zeros(shape, requires_grad=True) for name, shape in shapes.items()}
    with torch.no_grad():
        weights["shared"][FEATURES.index("prior")] = 1.0  # popularity, which every other weight then corrects
    optimizer = torch.optim.LBFGS(weights.values(), max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

    def total() -> Tensor:
        optimizer.zero_grad()
        scores = wide_scores(weights, features, of_patients)
        penalty = sum((weights[name] ** 2).sum() / (2 * spread**2) for name, spread in spreads.items())
        value = loss(scores[:, :-1], scores[:, -1], wanted, features[..., SEEN]) + penalty / len(wanted)
        value.backward()
        return value

    optimizer.step(total)
    return weights


def _tensors(
    tables: WideTables, patients: Sequence[WidePatient], targets: Sequence[Sequence[int]], rows: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """What `_fit` reads of training rows."""
    features, of_patients = batch_tensors(tables, [patients[row] for row in rows])
    wanted = torch.zeros(len(rows), len(tables.counts), dtype=torch.bool)
    for number, row in enumerate(rows):
        wanted[number, list(targets[row])] = True
    return features, of_patients, wanted


def _held_out(owners: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """(R,) bool: the rows of one patient in HELD_OUT; owners (R,) int."""
    _, number = np.unique(owners, return_inverse=True)
    held: np.ndarray = draw.permutation(number.max() + 1)[number] % HELD_OUT == 0
    return held


def _rows_to_fit(patients: Sequence[WidePatient], most: int, draw: np.random.Generator) -> np.ndarray:
    """At most `most` rows, at random where there are more. Those without a history are the first visits of patients,
    sometimes most of the rows, and say nothing of what follows what: they get a quarter of the room where it is short,
    and are no more than the others or MANY_FIRST_VISITS."""
    has_history = np.array([patient.num_visits > 0 for patient in patients])
    later, first = (draw.permutation(np.flatnonzero(rows)) for rows in (has_history, ~has_history))
    first = first[: max(len(later), MANY_FIRST_VISITS)]
    later = later[: max(most - len(first), most * 3 // 4)]
    return np.sort(np.concatenate([later, first[: max(1, most - len(later))]]))
