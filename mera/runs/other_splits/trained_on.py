"""Whom a model was trained or tuned on, as its predictions record it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mera.runs.prediction_parts import read_array
from mera.system.errors import UserError

TRAINED_ON = "trained_on.npy"
"""In the folder of predictions: hashes of patients."""


def patient_hashes(groups: Iterable[Iterable[str]]) -> np.ndarray:
    """uint64 hash of each patient id of all groups, in order; equal ids have equal hashes, on every machine."""
    digests = (hashlib.blake2b(str(patient).encode(), digest_size=8).digest() for group in groups for patient in group)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def patients_trained_on(run: str | Path, patients: Iterable[str]) -> int:
    """How many of the different `patients` the model was trained or tuned on, as far as its run says, in whose folder,
    or below it (a checkpoint), `run` lies."""
    return int(np.isin(patient_hashes([dict.fromkeys(patients)]), _trained_on(run)).sum())


def with_those_of(base: str | Path | None, trained_on: np.ndarray | None) -> np.ndarray | None:
    """`trained_on` of `Predictions`, and whom the model was trained on that training began with."""
    known = np.zeros(0, dtype=np.uint64) if base is None else _trained_on(base)
    return trained_on if trained_on is None or not len(known) else np.union1d(trained_on, known)


def _trained_on(run: str | Path) -> np.ndarray:
    """(N,) uint64 hashes; none where no run says it."""
    folder = Path(run).expanduser().resolve()
    files = (each / "predictions" / TRAINED_ON for each in (folder, *folder.parents))
    known = next((path for path in files if path.is_file()), None)
    return np.zeros(0, dtype=np.uint64) if known is None else read_array(known)


def trained_on_sentence(run: str | Path, patients: Iterable[str]) -> str | None:
    """A warning where the model has read some of the patients that it is asked about."""
    asked = dict.fromkeys(patients)
    known = patients_trained_on(run, asked)
    if not known:
        return None
    return (
        f"the model was trained or tuned on {known:,} of these {len(asked):,} patients: what it gets right of them "
        f"says nothing about new ones"
    )


def refuse_trained_on_test(key: str, base: str | Path | None, patients: Iterable[str]) -> None:
    """Raises UserError where `base`, the model that the setting `key` names to begin with, was trained or tuned on any
    of the `patients` of the test split."""
    known = 0 if base is None else patients_trained_on(base, patients)
    if known:
        raise UserError(
            f"{key} {str(base)!r} was trained or tuned on {known:,} of the patients that this task tests, so that its "
            f"numbers would say nothing about new ones; begin with a model that has not read them"
        )
