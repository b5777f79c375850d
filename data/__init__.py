"""From raw hospital tables and notes to one prepared task on disk; the ICD ontologies."""

from typing import TYPE_CHECKING

from mera.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from data.ontology import Ontology, load_ontology
    from data.task import Task, load_task, save_task

__all__ = ["Ontology", "Task", "load_ontology", "load_task", "save_task"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Ontology": "data.ontology",
        "Task": "data.task",
        "load_ontology": "data.ontology",
        "load_task": "data.task",
        "save_task": "data.task",
    },
)
