"""Histories as sparse matrices: what the item-item baselines and the trees read.

Shape suffixes: N examples, F codes that are read (rank/baselines/history_columns.py), L of them from which others are
foretold, C candidates, E events (none where the task has none).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from data.task import Task
from data.task_folder.features import PatientRow, VisitRow
from rank.baselines.history_columns import HistoryColumns
from rank.patients.visit_events import events_of


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryMatrices:
    """The examples of one split."""

    visit_counts: sparse.csr_array
    """(N, F) float32: visits with the code"""
    last_visit: sparse.csr_array
    """(N, F) float32: 1 for the codes of the last visit"""
    visits_since: sparse.csr_array
    """(N, F) float32: 1 where the last visit has the code, 2 where the one before was the latest to have it, ..."""
    days_since: sparse.csr_array
    """(N, F) float32: 1 + days from the latest visit with the code to the target visit; 0, or nothing, without dates"""
    num_visits: np.ndarray
    """(N,) float32"""
    days_since_last: np.ndarray
    """(N,) float32: days from the last visit to the target visit; NaN without dates or visits"""
    age: np.ndarray
    """(N,) float32, in years; NaN where it is not known"""
    female: np.ndarray
    """(N,) float32: 1 female, 0 male, NaN where it is not known"""
    events: sparse.csr_array
    """(N, E) float32: 1 for the procedures, drugs and labs of the history"""
    last_events: sparse.csr_array
    """(N, E) float32: 1 for those of the last visit"""
    targets: sparse.csr_array
    """(N, C) float32: 1 for the candidates among the targets"""
    patients: np.ndarray
    """(N,) int64: equal numbers are one patient"""
    linked: np.ndarray
    """(L,) int64: the columns of the codes from which others are foretold"""

    @property
    def seen(self) -> sparse.csr_array:
        """(N, F) float32: 1 for the codes of the history."""
        return (self.visit_counts > 0).astype(np.float32)

    @property
    def linked_seen(self) -> sparse.csr_array:
        """(N, L) float32: 1 for the linked codes of the history."""
        return self._of_linked(self.seen)

    @property
    def linked_counts(self) -> sparse.csr_array:
        """(N, L) float32: visits with each linked code."""
        return self._of_linked(self.visit_counts)

    @property
    def linked_last(self) -> sparse.csr_array:
        """(N, L) float32: 1 for those of the last visit."""
        return self._of_linked(self.last_visit)

    def _of_linked(self, matrix: sparse.csr_array) -> sparse.csr_array:
        return matrix if len(self.linked) == matrix.shape[1] else matrix[:, self.linked]

    def __len__(self) -> int:
        return len(self.age)

    def of(self, rows: np.ndarray) -> "HistoryMatrices":
        """The examples `rows`, int numbers."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__slots__ if name != "linked"})


def history_matrices(rows: Sequence[PatientRow], columns: HistoryColumns) -> HistoryMatrices:
    """Patients whose targets are not known: each a patient of its own, without targets."""
    return _matrices(rows, columns, [{} for _ in rows], np.arange(len(rows)))


def task_matrices(
    task: Task, split: str, columns: HistoryColumns | None = None, with_history: bool = False
) -> HistoryMatrices:
    """The examples of a split with their targets; `columns`: None for those of the task; `with_history`: only those
    with an earlier visit."""
    columns = columns or HistoryColumns.of_task(task)
    rows = [row for row in task.splits[split] if row["history"] or not with_history]
    column = columns.of_candidates
    targets = [{column[code]: 1.0 for code in row["targets"] if code in column} for row in rows]
    names = np.array([row["patient_id"] for row in rows], dtype=str)
    return _matrices(rows, columns, targets, np.unique(names, return_inverse=True)[1])


def _matrices(
    rows: Sequence[PatientRow],
    columns: HistoryColumns,
    targets: Sequence[Mapping[int, float]],
    patients: np.ndarray,
) -> HistoryMatrices:
    entries = [_latest_visits(row["history"], columns.of_codes) for row in rows]
    shape = (len(rows), len(columns.of_codes))
    events = [[events_of(visit, columns.of_events) for visit in row["history"]] for row in rows]
    event_shape = (len(rows), len(columns.events))
    matrices = [
        _sparse([{code: entry[part] for code, entry in row.items()} for row in entries], shape) for part in range(4)
    ]
    return HistoryMatrices(
        visit_counts=matrices[0],
        last_visit=matrices[1],
        visits_since=matrices[2],
        days_since=matrices[3],
        num_visits=np.array([len(row["history"]) for row in rows], dtype=np.float32),
        days_since_last=_numbers([row["history"][-1]["days_before"] if row["history"] else None for row in rows]),
        age=_numbers([row["age"] for row in rows]),
        female=_numbers([{"F": 1, "M": 0}.get(row["sex"] or "") for row in rows]),
        events=_sparse([{each: 1.0 for visit in row for each in visit} for row in events], event_shape),
        last_events=_sparse([{each: 1.0 for visit in row[-1:] for each in visit} for row in events], event_shape),
        targets=_sparse(targets, (len(rows), len(columns.candidates))),
        patients=patients,
        linked=columns.linked_columns,
    )


def _latest_visits(
    history: Sequence[VisitRow], column: Mapping[str, int]
) -> dict[int, tuple[float, float, float, float]]:
    """column -> visits with the code, whether the last visit has it, visits and days since the latest that does."""
    entries: dict[int, tuple[float, float, float, float]] = {}
    for number, visit in enumerate(reversed(history), start=1):
        days = visit["days_before"]
        for place in {column[code] for code in visit["codes"] if code in column}:
            if place in entries:
                entries[place] = (entries[place][0] + 1, *entries[place][1:])
            else:
                entries[place] = (1.0, float(number == 1), float(number), 0.0 if days is None else 1.0 + max(days, 0))
    return entries


def _sparse(rows: Sequence[Mapping[int, float]], shape: tuple[int, int]) -> sparse.csr_array:
    """Rows of column -> value; a value of 0 is not stored."""
    rows = [{column: value for column, value in sorted(row.items()) if value} for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    columns = np.fromiter((column for row in rows for column in row), dtype=np.int64, count=starts[-1])
    values = np.fromiter((value for row in rows for value in row.values()), dtype=np.float32, count=starts[-1])
    return sparse.csr_array((values, columns, starts), shape=shape)


def _numbers(values: Sequence[int | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)
