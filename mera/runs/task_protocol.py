"""What mera takes as a prepared task. `data.task.Task` is one; `mera` does not import `data`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

TaskInfo = Mapping[str, Any]
"""task.json as read: keys that other toolkits may add stay as they are"""


class TaskRows(Protocol):
    """The rows of a split, a table: `datasets.Dataset` is one. Columns: see docs/data.md."""

    @property
    def column_names(self) -> list[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, column: str) -> Any:
        """One value for each row."""

    def select(self, indices: Iterable[int]) -> "TaskRows":
        """Some of the rows."""


class PreparedTask(Protocol):
    """A prepared task, as far as predictions and manifests need it."""

    @property
    def path(self) -> Path:
        """its folder, after which it is named"""

    @property
    def splits(self) -> Mapping[str, TaskRows]:
        """train, validation, test"""

    @property
    def code_table(self) -> pl.DataFrame:
        """the candidates: code, definition, train_count, one column for each level of the hierarchy"""

    @property
    def other_code_table(self) -> pl.DataFrame:
        """codes of the rows that are no candidates, with the same columns; perhaps empty"""

    @property
    def rules(self) -> pl.DataFrame:
        """the coding rules of the candidates: kind, node, text, subjects, objects; perhaps empty"""

    @property
    def group_names(self) -> dict[str, dict[str, str]]:
        """level -> group -> its name"""

    @property
    def info(self) -> TaskInfo: ...

    @property
    def fingerprint(self) -> str:
        """equal where the rows are equal"""
