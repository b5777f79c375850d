"""The studies by name."""

from collections.abc import Callable
from dataclasses import dataclass

from data.task import Task
from mera.commands.programs import Step
from rank.studies.finished_runs.eov import eov_report, eov_steps
from rank.studies.finished_runs.ontology_distance import ontology_distance_report, ontology_distance_steps
from rank.studies.page import StudyReport
from rank.studies.plan import StudyPlan
from rank.studies.trainings.hierarchy import hierarchy_report, hierarchy_steps
from rank.studies.trainings.learning_curve import learning_curve_report, learning_curve_steps
from rank.studies.trainings.unseen_codes import unseen_codes_report, unseen_codes_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What to run, and what to make of it."""

    steps: Callable[[StudyPlan, Task], list[Step]]
    report: Callable[[StudyPlan, Task], StudyReport]


STUDIES = {
    "learning-curve": Study(steps=learning_curve_steps, report=learning_curve_report),
    "unseen-codes": Study(steps=unseen_codes_steps, report=unseen_codes_report),
    "eov": Study(steps=eov_steps, report=eov_report),
    "ontology-distance": Study(steps=ontology_distance_steps, report=ontology_distance_report),
    "hierarchy": Study(steps=hierarchy_steps, report=hierarchy_report),
}
