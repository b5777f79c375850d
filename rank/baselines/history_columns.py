"""Which codes and events of a history the baselines read, and their order."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.task import Task
from rank.patients.visit_events import event_columns
from rank.wide.item_scores import MOST_LINKED, linked_codes


@dataclass(frozen=True, kw_only=True)
class HistoryColumns:
    candidates: Sequence[str]
    """C codes to rank, in column order."""
    others: Sequence[str] = ()
    """Codes that are read and not ranked: those of train's histories. One that only histories of test hold has no
    column: nothing could be learnt of it."""
    events: Sequence[str] = ()
    linked: Sequence[str] | None = None
    """The codes from which others are foretold (`rank.wide.item_scores.linked_codes`), in column order; None: all. How
    often a code itself was there is read of every code."""

    @classmethod
    def of_task(cls, task: Task) -> "HistoryColumns":
        others = set(task.other_code_table["code"])
        histories_with: Counter[str] = Counter()
        if others or len(task.codes) > MOST_LINKED:
            for row in task.splits["train"]["history"]:
                histories_with.update({code for visit in row for code in visit["codes"]})
        read = [*task.codes, *sorted(others & histories_with.keys())]
        linked = None
        if len(read) > MOST_LINKED:
            linked = [read[column] for column in linked_codes(np.array([histories_with[code] for code in read]))]
        return cls(
            candidates=task.codes, others=read[len(task.codes) :], events=list(event_columns(task)), linked=linked
        )

    @functools.cached_property
    def of_codes(self) -> Mapping[str, int]:
        """code -> its column, the candidates first, then the others: F of them."""
        return {code: column for column, code in enumerate([*self.candidates, *self.others])}

    @functools.cached_property
    def of_candidates(self) -> Mapping[str, int]:
        return {code: column for column, code in enumerate(self.candidates)}

    @functools.cached_property
    def of_linked(self) -> Mapping[str, int]:
        """code -> its number among the L linked ones"""
        return self.of_codes if self.linked is None else {code: number for number, code in enumerate(self.linked)}

    @functools.cached_property
    def linked_columns(self) -> np.ndarray:
        """(L,) int64: their columns."""
        return np.array([self.of_codes[code] for code in self.of_linked], dtype=np.int64)

    @functools.cached_property
    def of_events(self) -> Mapping[str, int]:
        """event -> its number, E of them."""
        return {event: number for number, event in enumerate(self.events)}

    @property
    def num_read(self) -> int:
        """Codes and events that a history may hold."""
        return len(self.of_codes) + len(self.events)
