"""Which codes and events of a history the baselines read, and their order."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.task import Task
from rank.patients.visit_events import event_columns


@dataclass(frozen=True, kw_only=True)
class HistoryColumns:
    candidates: Sequence[str]
    """C codes to rank, in column order."""
    others: Sequence[str] = ()
    """Codes that are read and not ranked: those of train's histories. One that only histories of test hold has no
    column: nothing could be learnt of it."""
    events: Sequence[str] = ()

    @classmethod
    def of_task(cls, task: Task) -> "HistoryColumns":
        others = set(task.other_code_table["code"])
        trained: set[str] = set()
        if others:
            trained = {code for row in task.splits["train"]["history"] for visit in row for code in visit["codes"]}
        return cls(candidates=task.codes, others=sorted(trained & others), events=list(event_columns(task)))

    @functools.cached_property
    def of_codes(self) -> Mapping[str, int]:
        """code -> its column, the candidates first, then the others: F of them."""
        return {code: column for column, code in enumerate([*self.candidates, *self.others])}

    @functools.cached_property
    def of_candidates(self) -> Mapping[str, int]:
        return {code: column for column, code in enumerate(self.candidates)}

    @functools.cached_property
    def of_events(self) -> Mapping[str, int]:
        """event -> its number, E of them."""
        return {event: number for number, event in enumerate(self.events)}

    @property
    def num_read(self) -> int:
        """Codes and events that a history may hold."""
        return len(self.of_codes) + len(self.events)
