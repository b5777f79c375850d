"""Notes that say nearly the same, by MinHash (Broder 1997): a copy would carry a test answer into training.

A note becomes the set of its runs of 5 words, lower case, letters only (numbers, dates and the blanks of
de-identification differ between copies). 32 hash functions each keep the set's smallest hash; the share of equal
smallest hashes estimates the Jaccard index of two sets. Pairs are looked up by 8 bands of 4 hashes: a pair of index
0.9 is met with a chance above 0.999, one of 0.8 with 0.98.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from data.cohorts.cohort import Patient
from data.cohorts.filters import drop_visits
from data.ledger import Ledger
from data.task import SPLITS

RUN_WORDS = 5
NUM_HASHES = 32
BAND = 4
SAME = 0.8
"""Notes with at least this estimated Jaccard index are near-duplicates."""
PRIME = (1 << 31) - 1
COMPARED = 2_000
"""In a bucket so full that it must be boilerplate, at most this many notes are compared with one."""


def drop_near_duplicates(patients: Sequence[Patient], split_of: Mapping[str, str], ledger: Ledger) -> list[Patient]:
    """The patients without the notes of train that nearly repeat one of validation or test, and those of validation
    that nearly repeat one of test.

    Test keeps every note, so that figures of tasks with and without the rule are over the same examples.
    """
    places = [
        (patient.patient_id, visit.admission_id, SPLITS.index(split_of[patient.patient_id]))
        for patient in patients
        for visit in patient.visits
    ]
    texts = (str(visit.text) for patient in patients for visit in patient.visits)
    copies = near_duplicates(texts, [split for _, _, split in places])
    copied = {places[index][:2] for index in copies}
    return drop_visits(
        patients,
        lambda patient, visit: (patient.patient_id, visit.admission_id) not in copied,
        "note nearly the same as one in a later split",
        ledger,
    )


def near_duplicates(texts: Iterable[str], ranks: Sequence[int]) -> list[int]:
    """Indices of the texts with a near-duplicate of higher rank, ascending. `texts` are taken one at a time."""
    signatures = np.zeros((len(ranks), NUM_HASHES), dtype=np.int64)
    for row, text in zip(signatures, texts, strict=True):
        row[:] = signature(text)
    rank = np.asarray(ranks)
    is_copy = np.zeros(len(rank), dtype=bool)
    for start in range(0, NUM_HASHES, BAND):
        for members in _buckets(signatures[:, start : start + BAND]):
            if rank[members].min() == rank[members].max():
                continue
            for index in members[~is_copy[members]]:
                later = members[rank[members] > rank[index]][:COMPARED]
                same = (signatures[later] == signatures[index]).mean(axis=1)
                is_copy[index] = same.max(initial=0) >= SAME
    return np.flatnonzero(is_copy).tolist()


def signature(text: str) -> np.ndarray:
    """(NUM_HASHES,) int64: for each hash function its smallest value over the text's runs of words."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if not words:
        # Nothing to compare: equal only to a text that is equal in every character.
        return np.arange(NUM_HASHES, dtype=np.int64) + ((zlib.crc32(text.encode()) % PRIME + 1) << 31)
    known: dict[str, int] = {}
    hashes = np.array([known.setdefault(word, zlib.crc32(word.encode()) % PRIME) for word in words], dtype=np.int64)
    length = min(RUN_WORDS, len(hashes))
    runs = np.zeros(len(hashes) - length + 1, dtype=np.int64)
    for offset in range(length):
        runs = (runs * 31 + hashes[offset : offset + len(runs)]) % PRIME
    runs = np.unique(runs)
    factors, shifts = _functions()
    smallest: np.ndarray = ((runs[:, None] * factors + shifts) % PRIME).min(axis=0)
    return smallest


def _functions() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(1, PRIME, NUM_HASHES), generator.integers(0, PRIME, NUM_HASHES)


def _buckets(band: np.ndarray) -> Iterator[np.ndarray]:
    """The indices of each two or more equal rows, ascending."""
    order = np.lexsort(band.T)
    new = np.flatnonzero((band[order[1:]] != band[order[:-1]]).any(axis=1)) + 1
    for members in np.split(order, new):
        if len(members) > 1:
            yield np.sort(members)
