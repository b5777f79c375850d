"""Where training starts: the wide part alone at its best, fitted by the loss that the whole model is trained with.

What is fitted reads training patients who are left out of all that was counted on them (rank/wide/features.py). How
much codes may differ in their own weights, which such rows cannot say, is decided on a fifth of the patients, for whom
everything is counted anew without them: a score that leaves one row out still tells a little of that row, as what the
others say is lower where the row has the code and higher where it has not, and a code's own weights learn to read it.

Shape suffixes: R rows, C candidates, K features of a candidate, D features of a patient.
"""

from collections.abc import Sequence
from dataclasses import replace

import datasets
import numpy as np
import torch
from torch import Tensor

from data.task import Task
from rank.wide.features import (
    FEATURES,
    PATIENT_FEATURES,
    PER_CODE,
    WidePatient,
    WideTables,
    count_training_visits,
)
from rank.wide.wide_part import WideLoss, WideScorer, WideWeights, batch_tensors, wide_scores

PER_CODE_SPREADS, BIAS_SPREAD, PATIENT_SPREAD, SHARED_SPREAD = (0.2, 0.6), 0.3, 0.1, 3.0
"""Standard deviations of the weights before anything is seen: what little training data hold them to. How much the
codes differ in their own weights is a matter of the cohort, and of its size."""
HELD_OUT, BLOCKS = 5, 20
FIT_STEPS, MOST_ELEMENTS, MANY_FIRST_VISITS = 60, 2**23, 2000
"""Steps of the fit, and its rows x candidates, which take 600 MB."""
SEEN = FEATURES.index("seen")


def fit_wide_part(task: Task, loss: WideLoss, seed: int) -> tuple[WideScorer, list[WidePatient]]:
    """The wide part of a task's train split, and the training rows as it reads them.

    Minimises the mean `loss` of the rows plus the squares of the weights by their prior spread over the rows, with
    L-BFGS (`_rows_to_fit` says of which rows). Codes differ in their own weights as little as the first of
    PER_CODE_SPREADS says, unless the second, fitted on four fifths of the patients, has less loss on the others by more
    than two standard errors. The gate of the result is 0.
    """
    draw = np.random.default_rng(seed)
    tables, patients = count_training_visits(task)
    rows = _rows_to_fit(patients, MOST_ELEMENTS // len(tables.counts), draw)
    is_held = _held_out(np.array([patient.owner for patient in patients]), draw)
    per_code = _per_code_spread(task, rows, is_held, loss)
    targets = task.target_columns("train")
    tensors = _tensors(tables, [patients[row] for row in rows], [targets[row] for row in rows])
    fitted = _fit(*tensors, loss, per_code)
    numbers = {name: weight.detach().numpy() for name, weight in fitted.items()}
    weights = WideWeights(**numbers, gate=np.zeros(1, dtype=np.float32))
    return WideScorer(tables=tables, weights=weights), patients


def _per_code_spread(task: Task, rows: np.ndarray, is_held: np.ndarray, loss: WideLoss) -> float:
    """Of PER_CODE_SPREADS; `rows` are those to fit, is_held (N,) bool, of all training rows."""
    little, much = PER_CODE_SPREADS
    held = rows[is_held[rows]]
    if len(held) < 2 or is_held.all():
        return little
    losses = _losses(task, rows[~is_held[rows]], held, is_held, loss)
    gain = losses[little] - losses[much]
    return much if gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)) else little


def _losses(
    task: Task, known: np.ndarray, held: np.ndarray, is_held: np.ndarray, loss: WideLoss
) -> dict[float, np.ndarray]:
    """Of PER_CODE_SPREADS -> (B,) the loss of the rows `held`, in BLOCKS or, of fewer rows, each by itself, fitted on
    the rows `known`. All that is counted is counted without the patients held out."""
    train, targets = task.splits["train"], task.target_columns("train")
    fewer = replace(task, splits=datasets.DatasetDict({**task.splits, "train": train.select(np.flatnonzero(~is_held))}))
    tables, patients = count_training_visits(fewer)
    place = np.cumsum(~is_held) - 1
    tensors = _tensors(tables, [patients[place[row]] for row in known], [targets[row] for row in known])
    fitted = {spread: _fit(*tensors, loss, spread) for spread in PER_CODE_SPREADS}
    del tensors
    others = [tables.patient(row, task.column) for row in train.select(held)]
    features, of_patients, wanted = _tensors(tables, others, [targets[row] for row in held])
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
    tables: WideTables, patients: Sequence[WidePatient], targets: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """What `_fit` reads of rows, of each its patient and the columns of its targets."""
    features, of_patients = batch_tensors(tables, patients)
    wanted = torch.zeros(len(patients), len(tables.counts), dtype=torch.bool)
    for number, columns in enumerate(targets):
        wanted[number, list(columns)] = True
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
