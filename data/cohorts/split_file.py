"""Splits that others published: files that say of each id which split it is in.

Read are tables of two columns (Edin's feather files of `_id` and `split`, MEDS' `subject_splits.parquet`), and lists of
ids of one split each, with or without a header, whose names say which (Mullenbach's `train_full_hadm_ids.csv`). Ids are
of patients or of visits. Which column holds what is known by its values: the split by the names of splits, the ids by
being the cohort's; a column's name decides only where both kinds of ids would fit.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.cohorts.cohort import Patient
from data.cohorts.filters import drop_patients, drop_visits
from data.cohorts.source import Source
from data.table_files import meanings
from data.table_files.stored_files import InputFile
from data.table_files.text_tables import all_columns, read_text_table
from data.task_folder.features import SPLITS
from data.task_folder.task_info import SplitFileFacts
from mera.system.errors import UserError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "tuning": "validation",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "held_out": "test",
}
"""Names of splits, in lower case with `_` for other characters, and ours."""
_SPLIT_COLUMNS = ("split", "set", "fold", "partition", "subset", "dataset")
_PATIENT_COLUMNS = ("patient_id", "subject_id", "person_id", "patient", "subject", "pid", "uniquepid")
_VISIT_COLUMNS = ("visit_id", "hadm_id", "admission_id", "encounter_id", "stay_id", "visit", "_id", "document")
_CLEARLY_MORE = 2
"""So many times as many ids of one kind, where ids of both kinds are in the cohort."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _SplitTable:
    """One file: the split of each row, our name or None for another, and the columns that may hold ids."""

    file: InputFile
    split_column: str | None
    splits: list[str | None]
    columns: Mapping[str, list[str | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ids:
    """The column of ids in the files, and what its ids are of."""

    column: str
    of_visits: bool


def split_name(text: str) -> str | None:
    """`train`, `validation` or `test` for one of the names of SPLIT_NAMES in any case; None for another text."""
    return SPLIT_NAMES.get(re.sub(r"\W", "_", text.strip().lower()))


def with_split_file(source: Source, kind: str, paths: Sequence[str | Path]) -> Source:
    """`source` with the splits of the files at `paths`.

    A visit (of a `coding` task with ids of visits) or a patient that no file names is dropped and counted in the
    source's ledger; ids that the cohort lacks are counted in its facts. Raises FileNotFoundError or UserError where a
    file cannot be used, no id is in the cohort, an id or a patient is in two splits, or nobody is in train or test.
    """
    tables = [_read(Path(path)) for path in paths]
    ids = _ids_column(tables, source.patients)
    split_of, facts = _splits_of_ids(tables, ids, source.patients)
    ledger, reason = source.ledger, "not in the split file"
    if ids.of_visits:
        of_patient = _splits_of_patients(source.patients, split_of)
        if kind == "coding":
            patients = drop_visits(
                source.patients, lambda _, visit: _spelled(visit.admission_id) in split_of, reason, ledger
            )
        else:
            patients = drop_patients(source.patients, lambda patient: patient.patient_id in of_patient, reason, ledger)
    else:
        of_patient = {
            patient.patient_id: split_of[_spelled(patient.patient_id)]
            for patient in source.patients
            if _spelled(patient.patient_id) in split_of
        }
        patients = drop_patients(source.patients, lambda patient: patient.patient_id in of_patient, reason, ledger)
    for name in ("train", "test"):
        if name not in of_patient.values():
            raise UserError(f"--split-file names no {name} patient of this cohort; is it the file of this data set?")
    return replace(
        source,
        patients=patients,
        files=[*source.files, *(table.file for table in tables)],
        given_split=of_patient,
        facts={**source.facts, "split_file": facts},
    )


def _read(path: Path) -> _SplitTable:
    names, separator = all_columns(path)
    has_header = not any(split_name(name) or meanings.whole_number(name) for name in names)
    names = names if has_header else [f"column {number}" for number in range(1, len(names) + 1)]
    if len(set(names)) < len(names):
        raise UserError(f"{path} has two columns of one name; rename one")
    table = read_text_table(path, {name: name for name in names}, separator=separator, has_header=has_header)
    columns = {name: [_cell(value) for value in table.rows[name].to_list()] for name in names}
    split_column = _split_column(path, columns)
    if split_column is None:
        splits: list[str | None] = [_split_of_file(path, names)] * table.rows.height
    else:
        splits = [None if cell is None else split_name(cell) for cell in columns[split_column]]
    others = {name: cells for name, cells in columns.items() if name != split_column}
    if not others:
        raise UserError(f"{path} has one column, which holds splits and no ids")
    return _SplitTable(file=table.file, split_column=split_column, splits=splits, columns=others)


def _cell(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return None if meanings.is_nothing(text) else text


def _split_column(path: Path, columns: Mapping[str, Sequence[str | None]]) -> str | None:
    """The column of which all values are names of splits; or one so called that holds some; None where there is none.

    Raises UserError where several are.
    """
    all_splits = [
        name for name, cells in columns.items() if any(cells) and all(split_name(cell) for cell in cells if cell)
    ]
    named = [
        name for name in columns if name in _SPLIT_COLUMNS and any(split_name(cell or "") for cell in columns[name])
    ]
    chosen = [name for name in all_splits if name in named] or all_splits or named
    if len(chosen) > 1:
        raise UserError(f"{path} has several columns of splits: {', '.join(chosen)}; leave all but one out")
    return chosen[0] if chosen else None


def _split_of_file(path: Path, names: Sequence[str]) -> str:
    """The split that the file's name says."""
    said = {SPLIT_NAMES[word] for word in re.split(r"[^a-z]+", path.name.lower()) if word in SPLIT_NAMES}
    if len(said) != 1:
        raise UserError(
            f"{path} has no column of splits (train, val, test) among {', '.join(names[:12])}, and its name does not "
            "say of which one split its ids are"
        )
    return said.pop()


def _spelled(text: str) -> str:
    """One spelling for ids that are numbers: 1000.0 is 1000."""
    return meanings.whole_number(text) or text


def _ids_column(tables: Sequence[_SplitTable], patients: Sequence[Patient]) -> _Ids:
    """The column, the same in all files, whose values are ids of the cohort."""
    of_patients = {_spelled(patient.patient_id) for patient in patients}
    of_visits = {_spelled(visit.admission_id) for patient in patients for visit in patient.visits}
    shared = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    if not shared:
        raise UserError("the files of --split-file have no column in common")
    hits: Counter[tuple[str, bool]] = Counter()
    for name in shared:
        ids = {_spelled(cell) for table in tables for cell in table.columns[name] if cell is not None}
        hits[name, False], hits[name, True] = len(ids & of_patients), len(ids & of_visits)
    for name in shared:
        for is_visits, names in ((False, _PATIENT_COLUMNS), (True, _VISIT_COLUMNS)):
            if name in names and hits[name, is_visits]:
                return _Ids(column=name, of_visits=is_visits)
    ((name, is_visits), most), *rest = hits.most_common()
    if not most:
        raise UserError(
            f"no id in {', '.join(shared)} of --split-file is a patient or a visit of this cohort; is it the file of "
            "this data set?"
        )
    one_visit_each = all(
        _spelled(visit.admission_id) == _spelled(patient.patient_id) for patient in patients for visit in patient.visits
    )
    if not one_visit_each and any(count * _CLEARLY_MORE > most for _, count in rest):
        raise UserError(
            f"the ids of --split-file may be of patients or of visits; call the column patient_id or visit_id "
            f"(columns: {', '.join(shared)})"
        )
    return _Ids(column=name, of_visits=is_visits and not one_visit_each)


def _splits_of_ids(
    tables: Sequence[_SplitTable], ids: _Ids, patients: Sequence[Patient]
) -> tuple[dict[str, str], SplitFileFacts]:
    """id -> split, and what is said of the files. Raises UserError where an id is in two splits."""
    split_of: dict[str, str] = {}
    others = repeated = contradictory = 0
    for table in tables:
        for cell, split in zip(table.columns[ids.column], table.splits, strict=True):
            if cell is None or split is None:
                others += 1
                continue
            name = _spelled(cell)
            repeated += name in split_of
            contradictory += split_of.setdefault(name, split) != split
    if contradictory:
        raise UserError(f"--split-file puts {contradictory:,} ids into two splits; each belongs to one")
    there = (
        {_spelled(visit.admission_id) for patient in patients for visit in patient.visits}
        if ids.of_visits
        else {_spelled(patient.patient_id) for patient in patients}
    )
    listed = Counter(split_of.values())
    absent = Counter(split for name, split in split_of.items() if name not in there)
    return split_of, {
        "files": [table.file.file_name for table in tables],
        "ids": "visits" if ids.of_visits else "patients",
        "id_column": ids.column,
        "split_column": tables[0].split_column or "the file's name",
        "listed": {name: listed[name] for name in SPLITS},
        "not_in_cohort": {name: absent[name] for name in SPLITS},
        "repeated": repeated,
        "rows_of_no_split": others,
    }


def _splits_of_patients(patients: Sequence[Patient], split_of: Mapping[str, str]) -> dict[str, str]:
    """patient id -> the split of its visits, of the patients that have a listed one."""
    of_patient: dict[str, str] = {}
    torn = 0
    for patient in patients:
        splits = {split_of.get(_spelled(visit.admission_id)) for visit in patient.visits} - {None}
        torn += len(splits) > 1
        for split in splits:
            assert split is not None
            of_patient[patient.patient_id] = split
    if torn:
        raise UserError(
            f"--split-file puts visits of {torn:,} patients into several splits, so that a model would know test "
            "patients; a patient belongs to one split"
        )
    return of_patient
