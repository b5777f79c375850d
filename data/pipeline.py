"""From a cohort to a prepared task on disk: filter, split, make examples, write."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data.code_table import code_table, group_table
from data.cohort import Patient
from data.examples import coarsen_to_categories, diagnosis_rows, keep_patients_with_visits, occurring_codes
from data.ledger import Ledger
from data.ontology import load_ontology
from data.splits import random_split
from data.tables import SourceTable
from data.task import Task, save_task

GRANULARITIES = ("full", "category")


@dataclass(frozen=True, kw_only=True, slots=True)
class DiagnosisOptions:
    """How a cohort becomes a `diagnosis` task."""

    min_visits: int = 2
    """Patients with fewer visits are dropped; at least 2."""
    granularity: str = "full"
    """`full`: codes as they are; `category`: cut to their category."""
    every_visit: bool = False
    """Each visit of a training patient but the first is a target, not only the last."""
    fractions: tuple[float, float, float] = (0.75, 0.10, 0.15)
    """Shares of patients in train, validation and test."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.min_visits < 2:
            raise ValueError(f"--min-visits must be at least 2 (a history and a target), got {self.min_visits}")
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"--granularity must be one of {', '.join(GRANULARITIES)}, got {self.granularity!r}")


def prepare_diagnosis_task(
    output: str | Path,
    *,
    source: str,
    system: str,
    patients: Sequence[Patient],
    tables: Sequence[SourceTable],
    ledger: Ledger,
    options: DiagnosisOptions,
    source_options: dict[str, str] | None = None,
) -> Task:
    """Write the `diagnosis` task of a cohort whose codes are canonical in `system`, and return it.

    `source_options` records what the adapter was told. Raises ValueError where too few patients are left.
    """
    ontology = load_ontology(system)
    if options.granularity == "category":
        patients = coarsen_to_categories(patients, ontology, ledger)
    patients = keep_patients_with_visits(patients, options.min_visits, ledger)
    if not patients:
        raise ValueError(f"no patient of {source} has {options.min_visits} visits with a usable code")
    ledger.check_used("patients", len(patients))
    ledger.check_used("visits", sum(len(patient.visits) for patient in patients))
    ledger.check_used("diagnoses", sum(len(visit.codes) for patient in patients for visit in patient.visits))
    split_of = random_split([patient.patient_id for patient in patients], options.fractions, options.split_seed)
    rows = diagnosis_rows(patients, split_of, options.every_visit)
    codes = code_table(occurring_codes(rows), ontology)
    protocol = {"name": "random", "seed": options.split_seed, "fractions": list(options.fractions)}
    info = {
        "source": source,
        "kind": "diagnosis",
        "ontology": ontology.system,
        "edition": ontology.edition,
        "protocol": protocol,
        "options": {**asdict(options), **(source_options or {})},
        "inputs": {table.file_name: table.sha256 for table in tables},
        **ledger.record(),
    }
    return save_task(output, rows, codes, group_table(codes, ontology), info)
