"""Sets of codes with a promise: of an example's true codes at most 10% or 20% are missed, on average over patients.

Conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", arXiv 2208.02814). A
code is in the set where its margin, the score over the model's own threshold (or the score itself, where there is
none), is at least some cut. The loss of a patient is the mean over the patient's examples of the share of true codes
that are not in the set: it lies in [0, 1] and falls with the cut. With n validation patients the cut is the highest one
with

    n / (n + 1) * mean loss on validation + 1 / (n + 1) <= risk        (their equation 4, with B = 1)

and then the expected loss of a further patient is at most the risk. This assumes that validation and test patients are
exchangeable, and that the scores were not fitted to the validation patients. It holds over patients as a whole, not for
a single patient or a group of them. A true code that is no candidate is never in a set; where there are many, a risk
may be out of reach. Where a code is a candidate because validation has it (`fair_candidates`), it counts there as none,
as it would be one of a further patient.

Legend: N examples, T targets, P patients, B = 1 + resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mera.evaluation import bootstrap
from mera.evaluation.frequency_groups import fair_candidates
from mera.report.measures.estimates import Estimate, estimate
from mera.report.measures.load import Comparable
from mera.report.measures.strata import Stratification
from mera.runs.other_splits.validation_scores import FOLDER, read_validation
from mera.runs.predictions import Predictions
from mera.system.errors import UserError

RISKS = (0.2, 0.1)
NO_FOLDER = "no validation predictions"
OTHER_TASK = "validation predictions of another task"
OTHER_MODEL = "scored test by a model that was fitted again, on the validation patients too"
BLOCK_ELEMENTS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationMargins:
    """What a cut is fitted on. T targets of the validation split."""

    of_scores: np.ndarray
    """(T,) score of each target; -inf where it is no candidate, or only because validation has it."""
    thresholds: np.ndarray
    """(T,) the threshold of its example; NaN: the model sets none."""
    shares: np.ndarray
    """(T,) its share in the mean loss; they sum to 1."""
    patients: int
    """With a target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFigures:
    """Sets of codes on the test split; None where nothing can be measured."""

    miss_rate: Estimate
    """Share of an example's true codes that are not in its set, mean over examples, and over patients where they have
    several."""
    size: Estimate | None
    """Codes in a set, mean likewise; None for a group of codes, since a set has codes of several groups."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromisedSets:
    risk: float
    cut: float | None
    """Of the margin; None where no cut keeps the promise."""
    least_risk: float
    """The left-hand side of the promise when all candidates are in the set."""
    overall: SetFigures | None
    """None where no cut keeps the promise."""
    strata: Mapping[str, tuple[SetFigures, ...]]
    """Stratification -> its groups."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarantees:
    """One run's sets, with a promise and by its own threshold."""

    reason: str | None
    """Why there is none with a promise; None where there are."""
    validation_patients: int
    promised: tuple[PromisedSets, ...]
    """In order of RISKS."""
    own: SetFigures | None
    """None where the run sets no threshold."""
    own_strata: Mapping[str, tuple[SetFigures, ...]]


def validation_margins(path: Path, fingerprint: str, patient_ids: Sequence[str]) -> ValidationMargins | str:
    """Of the run or prediction folder in `path`; a reason where its validation split cannot be used.

    `patient_ids`: whom the run was scored on. Raises what `read_validation` raises where the validation predictions are
    damaged or of another split, and UserError where one of these patients is among theirs.
    """
    run_folder = path.resolve().parent if (path / "scores.npy").is_file() else path
    if not (run_folder / FOLDER).is_dir():
        return NO_FOLDER
    validation = read_validation(run_folder)
    if validation.manifest.get("task", {}).get("fingerprint") != fingerprint:
        return OTHER_TASK
    if validation.manifest.get("refitted"):
        return OTHER_MODEL
    common = len(set(validation.patient_ids) & set(patient_ids))
    if common:
        raise UserError(
            f"{run_folder / FOLDER} holds {common:,} of the patients that the run was scored on, for whom nothing that "
            "is fitted there can be promised; prepare the task and train again"
        )
    return margins_of(validation)


def margins_of(validation: Predictions) -> ValidationMargins:
    rows, columns = np.nonzero(validation.targets)
    shares = target_shares(rows, validation.patient_ids)
    rule = validation.manifest.get("task", {}).get("candidates_rule", {}).get("name", "")
    is_fair = fair_candidates(validation.codes["train_count"].to_numpy(), rule)
    return ValidationMargins(
        of_scores=np.where(is_fair[columns], validation.scores[validation.targets].astype(np.float64), -np.inf),
        thresholds=validation.thresholds[rows].astype(np.float64),
        shares=shares,
        patients=len({validation.patient_ids[row] for row in np.unique(rows).tolist()}),
    )


def target_shares(rows: np.ndarray, patient_ids: Sequence[str]) -> np.ndarray:
    """(T,) what missing each target adds to the mean loss over patients; `rows` (T,): the example of each."""
    patients, patient_of_row = np.unique(np.asarray(patient_ids), return_inverse=True)
    num_targets = np.bincount(rows, minlength=len(patient_ids))
    examples_of = np.bincount(patient_of_row[num_targets > 0], minlength=len(patients))
    shares: np.ndarray = 1 / (num_targets[rows] * examples_of[patient_of_row[rows]] * max(1, np.sum(examples_of > 0)))
    return shares


def fit_cut(margins: np.ndarray, shares: np.ndarray, patients: int, risk: float) -> tuple[float | None, float]:
    """The highest cut that keeps the promise, and the least risk that any cut could promise.

    margins (T,): of the validation targets, -inf for what is no candidate; shares (T,) as `target_shares` gives them;
    risk in (0, 1). A code is in the set where its margin is at least the cut. None where no cut keeps the promise.
    """
    order = np.argsort(margins, kind="stable")
    ordered, missed_below = margins[order], np.cumsum(shares[order])
    # With the cut at a target's margin, the targets with lower margins are missed.
    first_of_equals = np.searchsorted(ordered, ordered, side="left")
    mean_loss = np.concatenate([[0.0], missed_below])[first_of_equals]
    bounds = (patients * mean_loss + 1) / (patients + 1)
    usable = ~np.isneginf(ordered)
    if not usable.any():
        return None, 1.0
    # Shares are rounded, so that a promise kept exactly would fail by the last digit.
    keeps = usable & (bounds <= risk + 1e-12)
    return (float(ordered[keeps][-1]) if keeps.any() else None), float(bounds[usable][0])


def guarantees(
    run: Predictions,
    shared: Comparable,
    strata: Sequence[Stratification],
    predicted: np.ndarray | None,
    validation: ValidationMargins | str,
    weights: np.ndarray,
) -> Guarantees:
    """predicted (N, C) bool: the run's own sets; weights (B, N)."""
    rows, _ = np.nonzero(shared.targets)
    measuring = _Measuring(rows, shared, strata, weights)
    own: tuple[SetFigures, Mapping[str, tuple[SetFigures, ...]]] | None = None
    if predicted is not None:
        own = measuring.figures(predicted.sum(axis=1), ~predicted[shared.targets])
    reason = validation if isinstance(validation, str) else None
    promised: list[PromisedSets] = []
    if not isinstance(validation, str):
        by_threshold = predicted is not None and bool(np.isfinite(validation.thresholds).all())
        margins = validation.of_scores - (validation.thresholds if by_threshold else 0.0)
        base = run.thresholds.astype(np.float64) if by_threshold else np.zeros(len(run.scores))
        cuts = [fit_cut(margins, validation.shares, validation.patients, risk) for risk in RISKS]
        sizes = _set_sizes(run.scores, base, [cut for cut, _ in cuts])
        of_targets = run.scores[shared.targets].astype(np.float64) - base[rows]
        for risk, (cut, least_risk), size in zip(RISKS, cuts, sizes, strict=True):
            figures = None if cut is None else measuring.figures(size, ~(of_targets >= cut))
            promised.append(
                PromisedSets(
                    risk=risk,
                    cut=cut,
                    least_risk=least_risk,
                    overall=None if figures is None else figures[0],
                    strata={} if figures is None else figures[1],
                )
            )
    return Guarantees(
        reason=reason,
        validation_patients=0 if isinstance(validation, str) else validation.patients,
        promised=tuple(promised),
        own=None if own is None else own[0],
        own_strata={} if own is None else own[1],
    )


class _Measuring:
    """Set figures of one test split, overall and by group; rows (T,): the example of each target."""

    def __init__(
        self, rows: np.ndarray, shared: Comparable, strata: Sequence[Stratification], weights: np.ndarray
    ) -> None:
        self.rows, self.strata, self.weights = rows, strata, weights
        self.num_targets = np.bincount(rows, minlength=len(shared.example_ids))
        patient_of_row = np.unique(np.asarray(shared.patient_ids), return_inverse=True)[1]
        counted = np.bincount(patient_of_row[self.num_targets > 0], minlength=patient_of_row.max() + 1)
        self.row_shares = np.where(self.num_targets > 0, 1 / np.maximum(1, counted[patient_of_row]), 0.0)

    def figures(
        self, sizes: np.ndarray, is_missed: np.ndarray
    ) -> tuple[SetFigures, Mapping[str, tuple[SetFigures, ...]]]:
        """sizes (N,): codes in each set; is_missed (T,) bool. Examples without a target are left out."""
        everything = self._of_groups(sizes, is_missed, np.zeros(len(self.rows), dtype=np.int64), 1, with_sizes=True)
        return everything[0], {
            part.key: self._of_groups(
                sizes, is_missed, part.group_of_target, len(part.labels), with_sizes=part.num_examples is not None
            )
            for part in self.strata
        }

    def _of_groups(
        self, sizes: np.ndarray, is_missed: np.ndarray, groups: np.ndarray, num_groups: int, with_sizes: bool
    ) -> tuple[SetFigures, ...]:
        cells = self.rows * num_groups + groups
        missed, totals = (
            np.bincount(chosen, minlength=len(sizes) * num_groups).reshape(len(sizes), num_groups)
            for chosen in (cells[is_missed], cells)
        )
        shares = np.where(totals > 0, self.row_shares[:, None], 0.0)
        rates = np.divide(missed, totals, out=np.zeros(missed.shape), where=totals > 0)
        columns = [shares * rates, *([shares * sizes[:, None]] if with_sizes else [])]
        ratios = bootstrap.ratio_of_sums(
            self.weights, np.column_stack(columns), np.column_stack([shares] * len(columns))
        )
        return tuple(
            SetFigures(
                miss_rate=estimate(ratios[:, group]),
                size=estimate(ratios[:, num_groups + group], bounds=(0.0, np.inf)) if with_sizes else None,
            )
            for group in range(num_groups)
        )


def _set_sizes(scores: np.ndarray, base: np.ndarray, cuts: Sequence[float | None]) -> list[np.ndarray]:
    """(N,) codes in the sets of each cut, 0 where there is no cut; scores (N, C), base (N,)."""
    sizes = [np.zeros(len(scores), dtype=np.int64) for _ in cuts]
    rows_at_once = max(1, BLOCK_ELEMENTS // scores.shape[1])
    for start in range(0, len(scores), rows_at_once):
        block = slice(start, start + rows_at_once)
        margins = scores[block].astype(np.float64) - base[block, None]
        for size, cut in zip(sizes, cuts, strict=True):
            if cut is not None:
                size[block] = np.count_nonzero(margins >= cut, axis=1)
    return sizes
