"""Which patient trains, which chooses, which tests: the protocols random, chet, temporal, kfold and given."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data.cohorts.cohort import Patient, Visit
from data.cohorts.filters import drop_visits
from data.ledger import Ledger
from data.task import SPLITS
from mera.system.errors import UserError


def random_split(patients: Iterable[Patient], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """patient id -> split, drawn at random.

    `fractions`: the shares of train, validation and test. Raises UserError where they are not three positive numbers
    with the sum 1, or leave a split without a patient.
    """
    check_fractions(fractions)
    ids = sorted(patient.patient_id for patient in patients)
    ends = np.round(np.cumsum(fractions) * len(ids)).astype(int)
    shuffled = [ids[index] for index in np.random.default_rng(seed).permutation(len(ids))]
    return _assign(shuffled, [ends[0], ends[1] - ends[0], len(ids) - ends[1]])


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise UserError where `fractions` are not three positive numbers with the sum 1."""
    if len(fractions) != len(SPLITS) or not min(fractions) > 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise UserError(f"--fractions must be three positive numbers with the sum 1, got {list(fractions)}")


def chet_split(patients: Iterable[Patient], sizes: Sequence[int], seed: int) -> dict[str, str]:
    """patient id -> split with exactly `sizes` patients in train, validation and test; the others are left out.

    The protocol of Chet (Lu et al. 2022) and CGL, as our design describes it: where there are more patients than the
    sizes ask for, a random sample of them is taken; the first patient with each code goes to train, so that no code
    is first met in validation or test; the rest are drawn. "First" is by patient id here. Raises UserError where
    there are too few patients, or more codes' first patients than train may hold.
    """
    if len(sizes) != len(SPLITS) or min(sizes) < 1:
        raise UserError(f"--sizes must be three numbers of patients, each at least 1, got {list(sizes)}")
    by_id = {patient.patient_id: patient for patient in patients}
    if len(by_id) < sum(sizes):
        raise UserError(
            f"--sizes asks for {sum(sizes):,} patients, but the cohort has {len(by_id):,} with enough visits"
        )
    generator = np.random.default_rng(seed)
    every_id = sorted(by_id)
    sample = sorted(every_id[index] for index in generator.permutation(len(every_id))[: sum(sizes)])
    first_with_code: dict[str, str] = {}
    for patient_id in sample:
        for code in (code for visit in by_id[patient_id].visits for code in visit.codes):
            first_with_code.setdefault(code, patient_id)
    forced = sorted(set(first_with_code.values()))
    if len(forced) > sizes[0]:
        raise UserError(
            f"{len(forced):,} patients are the first with some code and belong in train, but --sizes gives it "
            f"{sizes[0]:,}; ask for a larger train split"
        )
    rest = sorted(set(sample) - set(forced))
    return _assign([*forced, *(rest[index] for index in generator.permutation(len(rest)))], sizes)


def _assign(ids: Sequence[str], sizes: Sequence[int]) -> dict[str, str]:
    """The first `sizes[0]` ids to train, the next to validation, the next to test."""
    ends = np.cumsum(sizes)
    split_of: dict[str, str] = {}
    for name, end, size in zip(SPLITS, ends, sizes, strict=True):
        if not size:
            raise UserError(f"{len(ids)} patients are too few: the {name} split would be empty")
        split_of |= {patient_id: name for patient_id in ids[end - size : end]}
    return split_of


def temporal_split(patients: Iterable[Patient], fractions: Sequence[float]) -> dict[str, str]:
    """patient id -> split, by the time of the last visit: the earliest patients train, the latest test.

    A patient is in one split only, so every visit that trains is earlier than every last visit in validation, and that
    than every last visit in test (a test patient's own history may reach back; where every visit is a target,
    `only_later` leaves the earlier ones out). Patients whose last visits are of one time stay together; `fractions`
    hold as nearly as that allows. Raises UserError where a visit has no time, or too few different times leave a split
    empty.
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


def only_later(patients: Iterable[Patient], split_of: Mapping[str, str], ledger: Ledger) -> list[Patient]:
    """The patients of a `temporal_split` with the visits that are later than every visit of the splits before."""
    patients = list(patients)
    last = dict.fromkeys(SPLITS, -math.inf)
    for patient in patients:
        split = split_of[patient.patient_id]
        last[split] = max(last[split], *(_time(visit) for visit in patient.visits))
    before = {
        split: max((last[earlier] for earlier in SPLITS[:place]), default=None) for place, split in enumerate(SPLITS)
    }

    def is_later(patient: Patient, visit: Visit) -> bool:
        time = before[split_of[patient.patient_id]]
        return time is None or _time(visit) > time

    return drop_visits(patients, is_later, "not after the visits of the splits before", ledger)


def _time(visit: Visit) -> float:
    return -math.inf if visit.period is None else visit.period


def kfold_split(
    patients: Iterable[Patient], folds: int, fold: int, fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """patient id -> split, where fold number `fold` (from 0) is the test set.

    All folds of one seed together have every patient in test exactly once, so that their predictions can be pooled. Of
    the other folds' patients the share `fractions[1] / (fractions[0] + fractions[1])` validates. Raises UserError
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
    """id -> train or validation, in the proportion of the first two of `fractions`; of two or more at least one trains
    and one validates."""
    ordered = sorted(ids)
    shuffled = [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]
    validation = round(len(ordered) * fractions[1] / (fractions[0] + fractions[1]))
    validation = max(1, min(validation, len(ordered) - 1))
    return {name: "validation" if place < validation else "train" for place, name in enumerate(shuffled)}
