"""How sure a difference between two models is, over patients and seeds, and what may be said of it.

Legend: N test examples, B = 1 + resamples (replicate 0 is what was observed), S seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse

from mera.evaluation import bootstrap, metrics
from mera.evaluation.hidden_codes import by_code_replicates, hidden_replicates, hidden_targets
from mera.report.measures.estimates import Estimate, estimate, finite
from mera.report.measures.measure import new_code_replicates
from mera.report.text import DASH, percent
from mera.runs.predictions import Predictions, read_predictions
from mera.system.errors import UserError

METRICS = {
    "recall@20": "recall@20",
    "recall@10": "recall@10",
    "new_recall@20": "recall@20 on new codes",
    "weighted_f1_at_label_count": "weighted F1 at label count",
    "micro_f1": "micro F1",
}
HIDDEN_METRICS = {
    f"hidden_{prefix}{key}": f"{label}{words}"
    for prefix, words in (("", ""), ("new_", ", new to the patient"))
    for key, label in {
        "recall@20": "recall@20 of hidden codes",
        "recall@100": "recall@100 of hidden codes",
        "mrr": "MRR of hidden codes",
        "mrr_among_hidden": "MRR among hidden codes",
    }.items()
}
BY_CODE = "hidden_by_code"
HIDDEN_METRICS |= {BY_CODE: "MRR among hidden codes, new to the patient, mean over codes"}
Outcome = Literal["found", "not found", "the other way round", "cannot be seen here"]
Replicates = Mapping[str, np.ndarray]
"""Metric -> (S, B)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewHiddenCases:
    """True codes that were hidden and that the history does not hold either: what stands behind their figures."""

    codes: int
    patients: int
    """With such a code."""

    @classmethod
    def of(cls, run: Predictions) -> "NewHiddenCases":
        rows, columns = np.nonzero(run.targets & ~run.seen & _is_hidden(run))
        return cls(codes=len(np.unique(columns)), patients=len({run.patient_ids[row] for row in rows.tolist()}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """Which patients and which seeds each resample holds, the same for every model, which makes differences paired."""

    patient_weights: np.ndarray
    """(B, N), as in `mera.evaluation.bootstrap`"""
    seed_weights: np.ndarray
    """(B, S), rows of mean 1: seeds are drawn with replacement as patients are; row 0 is all ones"""
    num_patients: int

    @classmethod
    def of(cls, patient_ids: Sequence[str], num_seeds: int, resamples: int) -> "Resampling":
        draw = np.random.default_rng(1)
        seeds = draw.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=resamples)
        return cls(
            patient_weights=bootstrap.patient_weights(patient_ids, resamples, seed=0),
            seed_weights=np.concatenate([np.ones((1, num_seeds)), seeds]),
            num_patients=len(set(patient_ids)),
        )

    def over_seeds(self, replicates: np.ndarray) -> np.ndarray:
        """(S, B) -> (B,): the mean over the seeds of each resample."""
        mean: np.ndarray = (self.seed_weights.T * replicates).mean(axis=0)
        return mean

    def value(self, replicates: np.ndarray, bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
        """The mean over seeds with its 95% interval, within what the number can be; without one where no seed's
        resamples vary, as of one patient or code: seeds alone say nothing of another."""
        measured = estimate(self.over_seeds(replicates), bounds=bounds)
        return measured if bootstrap.varies(replicates) else replace(measured, low=None, high=None)

    def difference(self, first: np.ndarray, second: np.ndarray) -> Estimate:
        """First minus second, paired over patients and seeds; (S, B) each."""
        return self.value(first - second, bounds=(-1.0, 1.0))


def measured_runs(folders: Sequence[Path], resampling: Resampling, examples: Sequence[str]) -> dict[str, np.ndarray]:
    """Metric -> (S, B) of the runs of one model, one for each seed. Raises UserError where a run scored others than
    `examples`."""
    measured = []
    for folder in folders:
        run = read_predictions(folder)
        if run.example_ids != list(examples):
            raise UserError(f"{folder} scored other patients than the other runs of the study; choose another --output")
        measured.append(run_replicates(run, resampling.patient_weights))
    return {key: np.stack([of_run[key] for of_run in measured]) for key in measured[0]}


def run_replicates(run: Predictions, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metric -> (B,), METRICS and, where codes were hidden, HIDDEN_METRICS; without micro F1 where the run sets no
    threshold. weights (B, N)."""
    ranking = metrics.rank_targets(run.scores, run.targets, 20)
    predicted = run.predicted if bool(np.isfinite(run.thresholds).all()) else None
    replicates = {f"recall@{k}": bootstrap.row_mean(weights, metrics.row_recall(ranking, k)) for k in (10, 20)}
    replicates["new_recall@20"] = new_code_replicates(run.scores, predicted, run.targets, run.seen, weights)[
        "new_recall@20"
    ]
    at_count = np.zeros_like(run.targets)
    np.put_along_axis(at_count, ranking.top, metrics.predict_label_count(ranking), axis=1)
    f1 = bootstrap.code_f1(weights, scipy.sparse.csr_array(at_count), scipy.sparse.csr_array(run.targets))
    replicates["weighted_f1_at_label_count"] = f1["weighted"]
    if predicted is not None:
        replicates["micro_f1"] = bootstrap.micro_f1(weights, predicted, run.targets)
    if "hidden" in run.codes.columns:
        places = hidden_targets(run.scores, run.targets, run.seen, _is_hidden(run))
        of_hidden = hidden_replicates(places, len(run.scores), weights)
        replicates |= {f"hidden_{key}": values for key, values in of_hidden.items()}
        replicates[BY_CODE] = by_code_replicates(places, max(1, len(weights) - 1), seed=0)
    return replicates


def _is_hidden(run: Predictions) -> np.ndarray:
    """(C,) bool."""
    hidden: np.ndarray = run.codes["hidden"].fill_null(False).to_numpy().astype(bool)
    return hidden


def outcome(difference: Estimate, least_effect: float) -> Outcome:
    """What may be said of a claim that `difference` is above 0, by its 95% interval.

    found: the interval lies above 0. the other way round: below 0. not found: a gain of `least_effect` or more lies
    outside the interval. Else it cannot be seen here: neither no gain nor such a gain can be ruled out, or there is no
    interval or one without a width, since fewer than two patients or codes have a value, or all the same.
    """
    if difference.low is None or difference.high is None or difference.low == difference.high:
        return "cannot be seen here"
    if difference.low > 0:
        return "found"
    if difference.high < 0:
        return "the other way round"
    return "not found" if difference.high < least_effect else "cannot be seen here"


def claim_sentence(
    claim: str,
    difference: Estimate,
    least_effect: float,
    what: str,
    where: str,
    unit: Literal["points", "correlation"] = "points",
) -> str:
    """A sentence that may be quoted. `what`: the difference in words, as `recall@20 with minus without stage one`;
    `where`: patients, seeds, sizes."""
    points = unit == "points"
    shown = partial(percent, signed=True) if points else _signed
    least = f"{percent(least_effect)} points" if points else f"{least_effect:g}"
    said = outcome(difference, least_effect)
    reasons = {
        "found": "the interval lies above 0",
        "the other way round": "the interval lies below 0",
        "not found": f"{least} or more lies outside the interval",
        "cannot be seen here": f"neither 0 nor {least} can be ruled out",
    }
    begin = f"{claim}: {said}. {what[0].upper()}{what[1:]} is {shown(difference.value)}{' points' * points}"
    if difference.low is None or difference.high is None or difference.low == difference.high:
        return f"{begin} (no interval; {where}): {_why_no_interval(difference)}."
    return f"{begin} (95% interval {shown(difference.low)} to {shown(difference.high)}; {where}): {reasons[said]}."


def _signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.2f}".replace("-", "−")


def _why_no_interval(difference: Estimate) -> str:
    if difference.value is None:
        return "nothing can be measured"
    if difference.value == 0:
        return (
            "both have the same value in every resample: nothing of the language model was let in, or neither finds any"
        )
    return "there are fewer than two to draw from, or all have the same value, which says nothing of others"


def as_numbers(value: Estimate) -> dict[str, float | None]:
    """For study.json."""
    return {"value": value.value, "low": value.low, "high": value.high}


def seed_values(replicates: np.ndarray) -> list[float | None]:
    """(S, B) -> what each seed has."""
    return [finite(float(value)) for value in replicates[:, 0]]
