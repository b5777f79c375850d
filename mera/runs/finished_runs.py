"""What an earlier start has finished, so that the same command goes on with the rest."""

import json
from pathlib import Path

from mera.config import Recipe
from mera.runs.run_directory import write_json
from mera.system.errors import UserError


def is_complete(folder: Path) -> bool:
    """Whether `folder` is a prepared task, or a run that was renamed into place when all of it was there."""
    marks = ("task.json", "predictions/manifest.json", "manifest.json")
    return any((folder / mark).is_file() for mark in marks)


def runs_below(folder: Path) -> list[Path]:
    """Runs with predictions in `folder`, or in its folder `runs`, where `mera go` has them."""
    found = [path for below in ("*", "runs/*") for path in folder.glob(f"{below}/predictions/manifest.json")]
    return sorted(path.parents[1] for path in found)


def finished_before(folder: Path, task_fingerprint: str | None, settings: Recipe | None = None) -> bool:
    """Whether `folder` holds the predictions that this start would make; False where there is no folder.

    `settings`: keys of the run's configuration that must be the same. Raises UserError where the folder holds
    something else: no finished run, one of another task (None: any will do), or one under other settings.
    """
    if not folder.exists():
        return False
    path = folder / "predictions" / "manifest.json"
    if not path.is_file():
        raise UserError(f"{folder} already exists and holds no finished run; remove it, or choose another --output")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        fingerprint, config = manifest["task"]["fingerprint"], manifest["config"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged; remove {folder}, or choose another --output") from None
    if task_fingerprint is not None and fingerprint != task_fingerprint:
        raise UserError(f"{folder} already exists and is a run of another task; choose another --output or remove it")
    wanted = json.loads(json.dumps(settings or {}))
    different = [key for key in wanted if wanted[key] != config.get(key)]
    if different:
        raise UserError(
            f"{folder} already exists and differs in {', '.join(different)}; choose another --output or remove it"
        )
    return True


def note_settings(path: Path, settings: Recipe) -> list[str]:
    """Keys in which `settings` differ from those that an earlier start noted in the file `path`; where none did, they
    are noted, and nothing differs."""
    wanted = json.loads(json.dumps(settings))
    if not path.is_file():
        write_json(path, wanted)
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    return [key for key in wanted if before.get(key) != wanted[key]]
