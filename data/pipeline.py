"""From a cohort to a prepared task on disk: filter, split, make examples, write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.code_table import code_table, group_table
from data.cohort import Patient
from data.csv_tables import SourceTable
from data.examples import (
    Row,
    coarsen_to_categories,
    coding_rows,
    diagnosis_rows,
    drop_patients,
    occurring_codes,
)
from data.ledger import Ledger
from data.ontology import load_ontology
from data.splits import chet_split, random_split
from data.task import SPLITS, Task, save_task

GRANULARITIES = ("full", "category")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A cohort as an adapter read it."""

    name: str
    system: str
    """The ontology of its codes: `icd9cm` or `icd10cm`."""
    patients: Sequence[Patient]
    ledger: Ledger
    tables: Sequence[SourceTable] = ()
    options: Mapping[str, Any] | None = None
    """What the adapter was told, for task.json."""
    candidates: Sequence[str] | None = None
    """The task's codes; None: those that occur in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOptions:
    """Which patients train, validate and test."""

    fractions: tuple[float, float, float] = (0.75, 0.10, 0.15)
    """`random` protocol: shares of patients in train, validation and test."""
    sizes: tuple[int, int, int] | None = None
    """`chet` protocol, where given: patients in train, validation and test."""
    seed: int = 0

    def split(self, patients: Sequence[Patient]) -> dict[str, str]:
        """patient id -> split; a patient may have none."""
        if self.sizes is not None:
            return chet_split(patients, self.sizes, self.seed)
        return random_split(patients, self.fractions, self.seed)

    def protocol(self) -> dict[str, Any]:
        """For task.json."""
        if self.sizes is not None:
            return {"name": "chet", "seed": self.seed, "sizes": list(self.sizes)}
        return {"name": "random", "seed": self.seed, "fractions": list(self.fractions)}


@dataclass(frozen=True, kw_only=True, slots=True)
class DiagnosisOptions:
    """How a cohort becomes a `diagnosis` task."""

    min_visits: int = 2
    """Patients with fewer visits are dropped; at least 2."""
    granularity: str = "full"
    """`full`: codes as they are; `category`: cut to their category."""
    every_visit: bool = False
    """Each visit of a training patient but the first is a target, not only the last."""

    def __post_init__(self) -> None:
        if self.min_visits < 2:
            raise ValueError(f"--min-visits must be at least 2 (a history and a target), got {self.min_visits}")
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"--granularity must be one of {', '.join(GRANULARITIES)}, got {self.granularity!r}")


def prepare_diagnosis_task(
    output: str | Path,
    source: Source,
    options: DiagnosisOptions,
    split: SplitOptions,
    oracle: Callable[[Sequence[Row], Sequence[str]], np.ndarray] | None = None,
) -> Task:
    """Write the `diagnosis` task of a cohort, and return it.

    `oracle(test rows, candidates)` gives the true probabilities (N, C) where the source knows them; they are kept as
    `oracle.npy`. Raises ValueError where too few patients are left.
    """
    patients = source.patients
    if options.granularity == "category":
        patients = coarsen_to_categories(patients, load_ontology(source.system), source.ledger)
    reason = f"fewer than {options.min_visits} visits"
    patients = drop_patients(patients, lambda patient: len(patient.visits) >= options.min_visits, reason, source.ledger)
    if not patients:
        raise ValueError(f"no patient of {source.name} has {options.min_visits} visits with a usable code")
    split_of = split.split(patients)
    patients = _of_a_split(patients, split_of, source.ledger)
    rows = diagnosis_rows(patients, split_of, options.every_visit)
    return _write(output, "diagnosis", source, patients, rows, asdict(options), split, oracle)


def prepare_coding_task(output: str | Path, source: Source, split: SplitOptions) -> Task:
    """Write the `coding` task of a cohort whose visits have notes, and return it."""
    split_of = split.split(source.patients)
    patients = _of_a_split(source.patients, split_of, source.ledger)
    return _write(output, "coding", source, patients, coding_rows(patients, split_of), {}, split)


def _of_a_split(patients: Sequence[Patient], split_of: Mapping[str, str], ledger: Ledger) -> list[Patient]:
    return drop_patients(patients, lambda patient: patient.patient_id in split_of, "not in the sample", ledger)


def _write(
    output: str | Path,
    kind: str,
    source: Source,
    patients: Sequence[Patient],
    rows: dict[str, list[Row]],
    options: Mapping[str, Any],
    split: SplitOptions,
    oracle: Callable[[Sequence[Row], Sequence[str]], np.ndarray] | None = None,
) -> Task:
    ontology = load_ontology(source.system)
    source.ledger.check_used("patients", len(patients))
    source.ledger.check_used("visits", sum(len(patient.visits) for patient in patients))
    source.ledger.check_used("diagnoses", sum(len(visit.codes) for patient in patients for visit in patient.visits))
    codes = occurring_codes(rows) if source.candidates is None else sorted(source.candidates)
    table = code_table(codes, ontology)
    info = {
        "source": source.name,
        "kind": kind,
        "ontology": ontology.system,
        "edition": ontology.edition,
        "protocol": split.protocol(),
        "options": {**options, **(source.options or {})},
        "inputs": {table.file_name: table.sha256 for table in source.tables},
        **source.ledger.record(),
    }
    arrays = {}
    if oracle is not None and rows[SPLITS[-1]]:
        arrays["oracle.npy"] = oracle(rows[SPLITS[-1]], codes)
        info["oracle"] = "oracle.npy"
    return save_task(output, rows, table, group_table(table, ontology), info, arrays)
