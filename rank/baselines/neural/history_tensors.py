"""Histories as tensors: what the neural baselines read.

Shape suffixes: B patients, T codes of a history, V visits. Visits are counted back from the target visit: 0 is the
latest, so that padding, for patients with fewer visits, stands where the oldest would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from data.task import Task
from data.task_folder.features import PatientRow
from rank.baselines.history_columns import HistoryColumns
from rank.patients.visit_events import events_of

AGE_STEP = 5
"""years in one age group"""
NUM_AGES, NUM_SEXES, NUM_GAPS = 22, 3, 14
"""age groups, sexes and lengths of time, with 0 for unknown"""


@dataclass(frozen=True, slots=True)
class History:
    """One patient before the target visit."""

    codes: Tensor
    """(T,) column + 1 of each code, as `HistoryColumns` numbers them, and behind these of each event"""
    visits: Tensor
    """(T,) the visit of each code, 0 the latest"""
    gaps: Tensor
    """(V,) time before the target visit, as a power of two of days; 0 unknown"""
    age: int
    sex: int
    targets: list[int]
    """columns of the targets that are candidates"""


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    codes: Tensor
    """(B, T) column + 1 of each code, 0 padding"""
    visits: Tensor
    """(B, T) the visit of each code, 0 the latest"""
    gaps: Tensor
    """(B, V) time before the target visit, V at least 1"""
    num_visits: Tensor
    """(B,)"""
    age: Tensor
    """(B,) age group"""
    sex: Tensor
    """(B,)"""
    targets: Tensor
    """(B, C) bool"""

    def to(self, device: torch.device) -> "HistoryBatch":
        return HistoryBatch(*(getattr(self, part.name).to(device) for part in fields(self)))


class HistoryDataset(Dataset[History]):
    """Patients; of long histories the latest `max_visits`."""

    def __init__(
        self,
        rows: Sequence[PatientRow],
        columns: HistoryColumns,
        max_visits: int,
        targets: Sequence[list[int]] | None = None,
    ):
        """`targets`: of each row, columns; None where they are not known."""
        self.num_codes = len(columns.candidates)
        of_rows = [[] for _ in rows] if targets is None else targets
        self.histories = [_history(row, columns, max_visits, of_row) for row, of_row in zip(rows, of_rows, strict=True)]

    @classmethod
    def of_train(
        cls, task: Task, columns: HistoryColumns, max_visits: int, without_history: bool = True
    ) -> "HistoryDataset":
        """The train split of a task; `without_history`: also the rows that have no code in the history."""
        data = cls(list(task.splits["train"]), columns, max_visits, task.target_columns("train"))
        if not without_history:
            data.histories = [history for history in data.histories if len(history.codes)]
        return data

    def __len__(self) -> int:
        return len(self.histories)

    def __getitem__(self, index: int) -> History:
        return self.histories[index]

    def lengths(self) -> list[int]:
        """Codes per history (1 for an empty one), for batches of similar length."""
        return [max(1, len(history.codes)) for history in self.histories]

    def collate(self, histories: Sequence[History]) -> HistoryBatch:
        targets = torch.zeros(len(histories), self.num_codes, dtype=torch.bool)
        for row, history in enumerate(histories):
            targets[row, history.targets] = True
        return HistoryBatch(
            codes=_padded([history.codes for history in histories]),
            visits=_padded([history.visits for history in histories]),
            gaps=_padded([history.gaps for history in histories]),
            num_visits=torch.tensor([len(history.gaps) for history in histories]),
            age=torch.tensor([history.age for history in histories]),
            sex=torch.tensor([history.sex for history in histories]),
            targets=targets,
        )


def _history(row: PatientRow, columns: HistoryColumns, max_visits: int, targets: list[int]) -> History:
    column, events = columns.of_codes, columns.of_events
    latest_first = row["history"][::-1][:max_visits]
    codes = [
        (column[code] + 1, number)
        for number, visit in enumerate(latest_first)
        for code in dict.fromkeys(visit["codes"])
        if code in column
    ] + [
        (len(column) + event + 1, number)
        for number, visit in enumerate(latest_first)
        for event in events_of(visit, events)
    ]
    pairs = torch.tensor(codes, dtype=torch.long).reshape(-1, 2)
    return History(
        codes=pairs[:, 0],
        visits=pairs[:, 1],
        gaps=torch.tensor([_gap(visit["days_before"]) for visit in latest_first], dtype=torch.long),
        age=0 if row["age"] is None else min(1 + max(row["age"], 0) // AGE_STEP, NUM_AGES - 1),
        sex=0 if row["sex"] is None else {"F": 1, "M": 2}.get(row["sex"], 0),
        targets=targets,
    )


def _gap(days: int | None) -> int:
    """0 unknown, 1 the same day, then one more with each doubling."""
    return 0 if days is None else min(1 + max(days, 0).bit_length(), NUM_GAPS - 1)


def _padded(parts: list[Tensor]) -> Tensor:
    """Right-padded with 0, at least one column wide: attention and GRUs take no empty sequence."""
    padded = pad_sequence(parts, batch_first=True)
    return padded if padded.shape[1] else padded.new_zeros(len(parts), 1)
