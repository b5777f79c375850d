"""Which patients train, validate and test. No result depends on the order in which patients come."""

from collections.abc import Iterable, Sequence

import numpy as np

from data.cohorts.cohort import Patient
from data.task import SPLITS
from mera.system.errors import UserError


def random_split(patients: Iterable[Patient], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """patient id -> split, drawn at random.

    `fractions`: the shares of train, validation and test. Raises ValueError where they are not three positive numbers
    with the sum 1, or leave a split without a patient.
    """
    check_fractions(fractions)
    ids = sorted(patient.patient_id for patient in patients)
    ends = np.round(np.cumsum(fractions) * len(ids)).astype(int)
    shuffled = [ids[index] for index in np.random.default_rng(seed).permutation(len(ids))]
    return _assign(shuffled, [ends[0], ends[1] - ends[0], len(ids) - ends[1]])


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise ValueError where `fractions` are not three positive numbers with the sum 1."""
    if len(fractions) != len(SPLITS) or not min(fractions) > 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise UserError(f"--fractions must be three positive numbers with the sum 1, got {list(fractions)}")


def chet_split(patients: Iterable[Patient], sizes: Sequence[int], seed: int) -> dict[str, str]:
    """patient id -> split with exactly `sizes` patients in train, validation and test; the others are left out.

    The protocol of Chet (Lu et al. 2022) and CGL, as our design describes it: where there are more patients than the
    sizes ask for, a random sample of them is taken; the first patient with each code goes to train, so that no code
    is first met in validation or test; the rest are drawn. "First" is by patient id here. Raises ValueError where
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
