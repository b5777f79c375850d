"""What of a study's settings its finished runs depend on, so that a second start under others is refused."""

import json
from pathlib import Path

from data.task import Task
from mera.config import read_values
from mera.runs.finished_runs import note_settings
from mera.system.errors import UserError
from rank.studies.plan import StudyPlan

FILE = "settings.json"


def claim_output(study: str, plan: StudyPlan, task: Task) -> None:
    """Remember the settings in the study's folder. Raises UserError where it was made under other ones; seeds, sizes
    and models may be added."""
    different = note_settings(plan.output / FILE, _settings(study, plan, task))
    if different:
        raise UserError(
            f"{plan.output} holds a study with another {', '.join(different)}; choose another --output or remove it"
        )


def _settings(study: str, plan: StudyPlan, task: Task) -> dict[str, object]:
    return {
        "study": study,
        "task": task.fingerprint,
        "recipe": read_values(plan.recipe),
        "stage one": read_values(plan.memorize_recipe) if plan.memorize is None else _digest(plan.memorize),
        "further arguments": list(plan.overrides),
        "validation share": plan.validation_share,
        "run": None if plan.run is None else plan.run.name,
    }


def _digest(checkpoint: Path) -> str:
    """Which checkpoint of stage one it is: the time at which its run began, or its folder's name."""
    manifest = checkpoint.parent / "manifest.json"
    if not manifest.is_file():
        return checkpoint.name
    return str(json.loads(manifest.read_text(encoding="utf-8")).get("started_at", checkpoint.name))
