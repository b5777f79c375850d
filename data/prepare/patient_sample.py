"""A prepared task with fewer patients to train on: what a model makes of as many as a smaller hospital has."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from data.cohorts.hidden_codes import hash_of
from data.task import SPLITS, Task, save_task
from data.task_folder.features import task_features
from data.task_folder.task_info import PatientSample
from mera.system.errors import UserError

WRITTEN_ANEW = ("fingerprint", "counts", "candidates", "outside_candidates", "digests", "sample")


def sample_patients(task: Task, output: str | Path, num_train: int, num_validation: int | None, seed: int) -> Task:
    """Write the task with `num_train` patients in train, `num_validation` in validation (None: all), all of test, and
    the same candidates; return it.

    Which patients depends on `seed` and their ids alone, and of one seed a larger sample holds the smaller ones. Raises
    UserError where there are fewer patients than asked for, or where `output` exists.
    """
    wanted = {"train": num_train, "validation": num_validation, "test": None}
    tables: dict[str, pa.Table] = {}
    left_out: dict[str, int] = {}
    for name in SPLITS:
        table = task.splits[name].data.table
        patients = table["patient_id"].to_pylist()
        chosen = _first_patients(patients, wanted[name], seed, name)
        tables[name] = table.filter(pa.array([patient in chosen for patient in patients]))
        left_out[name] = len(set(patients)) - len(chosen)
    sample: PatientSample = {
        "of": task.fingerprint,
        "seed": seed,
        "patients_left_out": left_out,
        "examples_left_out": {name: len(task.splits[name]) - tables[name].num_rows for name in SPLITS},
    }
    info = {key: value for key, value in task.info.items() if key not in WRITTEN_ANEW} | {"sample": sample}
    oracle = task.info.get("oracle")
    return save_task(
        output,
        tables,
        task.code_table.drop("train_count"),
        pl.read_parquet(task.path / "groups.parquet"),
        info,
        arrays=None if oracle is None else {oracle: np.load(task.path / oracle, allow_pickle=False)},
        features=task_features(task.has_past_notes, task.has_events),
        other_codes=task.other_code_table.drop("train_count"),
        terms=task.terms if "book" in task.info and task.info["book"] is not None else None,
        rules=task.rules if task.rules.height else None,
        translations=task.translations,
        event_names=task.events.drop("train_patients") if task.has_events else None,
    )


def _first_patients(patients: Sequence[str], number: int | None, seed: int, split: str) -> set[str]:
    """The `number` patients with the smallest hash of seed and id; None: all."""
    distinct = set(patients)
    if number is None:
        return distinct
    if not 1 <= number <= len(distinct):
        raise UserError(
            f"{split} has {len(distinct):,} patients, so a sample is 1 to {len(distinct):,}; got {number:,}"
        )
    return set(sorted(distinct, key=lambda patient: (hash_of(seed, patient), patient))[:number])
