"""What an earlier start has finished, so that the same command goes on with the rest, and where a run's files lie."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mera.config import Recipe
from mera.runs.run_directory import write_json
from mera.system.errors import UserError

RECALL = "recall.json"
"""What stage one measured of its model, in its run."""
ABOUT, CANDIDATES = "mera.json", "candidates.parquet"
"""Of an export (`mera export`), which has no predictions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """What a model is used with, in the folder of its run or of an export of it."""

    candidates: Path
    """Parquet: `code`, `definition`, `train_count` of the candidates."""
    examples: Path
    """Parquet: of the test split, as `predictions/` has it; not in an export."""
    about: Path
    """JSON: the manifest, or what `mera export` writes of it: `model`, `task` and `calibration`."""

    def facts(self) -> Mapping[str, object]:
        """What `about` says; nothing where it is not there."""
        if not self.about.is_file():
            return {}
        facts = json.loads(self.about.read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else {}


def files_of(folder: Path) -> RunFiles:
    """`folder`: of any run, or of an export."""
    if (folder / ABOUT).is_file():
        return RunFiles(candidates=folder / CANDIDATES, examples=folder / "examples.parquet", about=folder / ABOUT)
    predictions = folder / "predictions"
    return RunFiles(
        candidates=predictions / "codes.parquet",
        examples=predictions / "examples.parquet",
        about=predictions / "manifest.json",
    )


def is_complete(folder: Path) -> bool:
    """Whether `folder` is a prepared task, or a run that was renamed into place when all of it was there."""
    marks = ("task.json", "predictions/manifest.json", "manifest.json")
    return any((folder / mark).is_file() for mark in marks)


def runs_below(folder: Path) -> list[Path]:
    """Runs with predictions in `folder`, or in its folder `runs`, where `mera go` has them."""
    found = [path for below in ("*", "runs/*") for path in folder.glob(f"{below}/predictions/manifest.json")]
    return sorted(path.parents[1] for path in found)


def without_stage_one(runs: Sequence[Path]) -> list[Path]:
    """Those that predict something: `runs/*` of `mera go` has stage one's among them, which is said and left out."""
    of_stage_one = [run for run in runs if (run / RECALL).is_file() and not (run / "predictions").is_dir()]
    if of_stage_one and len(of_stage_one) < len(runs):
        named = ", ".join(map(str, of_stage_one))
        print(f"left out: {named}, of stage one, which predicts no diagnoses", file=sys.stderr)
        return [run for run in runs if run not in of_stage_one]
    return list(runs)


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
