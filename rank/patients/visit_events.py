"""Which events of its histories a model reads: the one place that says it, for prompts, the wide part and the
baselines.

Events (procedures, drugs, abnormal labs) are those of a task's events.parquet. A row may hold others, of another task
or where a model reads none: they are passed over.
"""

from collections.abc import Mapping

from data.task import Task
from data.task_folder.features import VisitRow


def event_columns(task: Task) -> dict[str, int]:
    """event -> its number, in the order of events.parquet, the rarest of train first; empty for a task without events,
    or for a model that is not to read any (`data.task.without_events`)."""
    return {event: number for number, event in enumerate(task.events["event"])}


def event_names(task: Task) -> dict[str, str]:
    """event -> its name in words, in the same order."""
    return dict(task.events.select("event", "name").iter_rows())


def events_of(visit: VisitRow, columns: Mapping[str, int]) -> list[int]:
    """The numbers of the visit's events that are in `columns`, smallest first, none twice."""
    if not columns:
        return []
    return sorted({columns[event] for event in visit.get("events") or () if event in columns})
