"""What a fitted baseline is. N patients, C candidates."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from data.task_folder.features import PatientRow
from mera.runs.fitted_contents import Contents


class FittedBaseline(Protocol):
    """It knows the codes and events that it reads (`HistoryColumns`), which are kept beside its contents."""

    @property
    def kind(self) -> str: ...

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        """(N, C) float32; larger is more likely."""
        ...

    def contents(self) -> Contents: ...
