"""Splits by time, in folds for cohorts too small for one test set, and by lists that come with the source."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data.cohorts.cohort import Patient
from data.task import SPLITS
from mera.system.errors import UserError


def temporal_split(patients: Iterable[Patient], fractions: Sequence[float]) -> dict[str, str]:
    """patient id -> split, by the time of the last visit: the earliest patients train, the latest test.

    A patient is in one split only, so every visit that trains is earlier than every visit that is a target in
    validation, and that than every target in test (a test patient's own history may reach back). Patients whose last
    visits are of one time stay together; `fractions` hold as nearly as that allows. Raises ValueError where a visit has
    no time, or too few different times leave a split empty.
    """
    times = {patient.patient_id: patient.visits[-1].period for patient in patients}
    undated = sum(time is None for time in times.values())
    if undated:
        raise UserError(
            f"--protocol temporal needs dates that patients share; {undated:,} of {len(times):,} patients have none "
            "(no dates in this source, or each patient's shifted apart); use random or kfold"
        )
    distinct, counts = np.unique(list(times.values()), return_counts=True)
    done = np.cumsum(counts) / max(1, len(times))
    # The last time that trains, and the last that validates: the ones whose cumulative share is nearest.
    ends = [int(np.argmin(np.abs(done - share))) for share in np.cumsum(fractions)[:2]]
    ends[1] = max(ends[1], ends[0] + 1)
    if len(distinct) < len(SPLITS) or ends[1] > len(distinct) - 2:
        raise UserError(
            f"--protocol temporal found {len(distinct):,} different times of last visits, too few to cut where "
            f"--fractions {' '.join(map(str, fractions))} asks; use other fractions or --protocol random"
        )
    train_until, validation_until = distinct[ends[0]], distinct[ends[1]]
    return {
        patient_id: SPLITS[int(time > train_until) + int(time > validation_until)] for patient_id, time in times.items()
    }


def kfold_split(
    patients: Iterable[Patient], folds: int, fold: int, fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """patient id -> split, where fold number `fold` (from 0) is the test set.

    All folds of one seed together have every patient in test exactly once, so that their predictions can be pooled. Of
    the other folds' patients the share `fractions[1] / (fractions[0] + fractions[1])` validates. Raises ValueError
    where a fold, or the validation set, would be empty.
    """
    ids = sorted(patient.patient_id for patient in patients)
    if folds < 2 or not 0 <= fold < folds:
        raise UserError(f"--folds must be at least 2 and --fold from 0 to folds - 1, got {folds} and {fold}")
    if len(ids) < folds + 2:
        raise UserError(f"{len(ids)} patients are too few for {folds} folds with training and validation patients")
    shuffled = [ids[index] for index in np.random.default_rng(seed).permutation(len(ids))]
    test = shuffled[fold::folds]
    rest = [patient_id for place, patient_id in enumerate(shuffled) if place % folds != fold]
    return dict.fromkeys(test, "test") | divide_training(rest, fractions, seed + 1 + fold)


def given_split(
    patients: Iterable[Patient], source_split: Mapping[str, str], fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """patient id -> split as the source's own lists, `source_split`, have it; who is in none of them has no split.

    Where the lists have no validation patients, the share `fractions[1] / (fractions[0] + fractions[1])` of the
    training patients is drawn for it.
    """
    ids = [patient.patient_id for patient in patients if patient.patient_id in source_split]
    split_of = {patient_id: source_split[patient_id] for patient_id in ids}
    if "validation" in split_of.values():
        return split_of
    return split_of | divide_training([name for name in split_of if split_of[name] == "train"], fractions, seed)


def divide_training(ids: Iterable[str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """id -> train or validation, in the proportion of the first two of `fractions`; at least one validates."""
    ordered = sorted(ids)
    shuffled = [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]
    validation = max(1, round(len(ordered) * fractions[1] / (fractions[0] + fractions[1])))
    return {name: "validation" if place < validation else "train" for place, name in enumerate(shuffled)}
