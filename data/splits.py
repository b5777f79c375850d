"""Which patients train, validate and test."""

from collections.abc import Sequence

import numpy as np

from data.task import SPLITS


def random_split(patient_ids: Sequence[str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """patient id -> split, drawn at random; the order in which the ids come does not matter.

    `fractions`: the shares of train, validation and test. Raises ValueError where they are not three positive numbers
    with the sum 1, or leave a split without a patient.
    """
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"split fractions must be three positive numbers with the sum 1, got {list(fractions)}")
    ids = sorted(set(patient_ids))
    ends = np.round(np.cumsum(fractions) * len(ids)).astype(int)
    shuffled = [ids[index] for index in np.random.default_rng(seed).permutation(len(ids))]
    parts = np.split(np.arange(len(ids)), ends[:-1])
    for name, part in zip(SPLITS, parts, strict=True):
        if not len(part):
            raise ValueError(f"{len(ids)} patients are too few: the {name} split would be empty")
    return {shuffled[index]: name for name, part in zip(SPLITS, parts, strict=True) for index in part}
