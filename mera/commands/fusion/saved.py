"""A fusion on disk, so that it can score what no task has: `fusion/` in the folder of its run.

fusion/
  fusion.json   the parts, where they lie from here, and what is fitted (mera/evaluation/fusion.py)
  trees.txt     the trees, in LightGBM's form, of a fusion by trees

P parts, N rows, C codes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lightgbm
import numpy as np

from mera.commands.fusion.parts import Fused
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS
from mera.evaluation.fusion import Calibration, Fusion
from mera.evaluation.fusion_trees import ScoredRows, TreeFusion, weighted_sum
from mera.runs.finished_runs import files_of
from mera.runs.run_directory import RunDirectory, write_json
from mera.system.errors import UserError
from mera.system.private_files import private_files

MARK = "fusion/fusion.json"
TREES = "fusion/trees.txt"


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedFusion:
    parts: list[Path]
    over_threshold: list[bool]
    """Of each part: whether what is fused is by how much its scores are above the thresholds of their rows."""
    fusion: Fusion
    trees: TreeFusion | None
    threshold: float

    def scores(self, of_parts: np.ndarray, train_counts: np.ndarray) -> np.ndarray:
        """of_parts (P, N, C) float32, train_counts (C,) int -> (N, C) float32; of_parts of those parts of which
        `over_threshold` is true minus the thresholds of their rows."""
        rows = ScoredRows(scores=of_parts, train_counts=train_counts[None])
        return weighted_sum(self.fusion, rows) if self.trees is None else self.trees.scores(rows)


def write_fusion(run: RunDirectory, folders: Sequence[Path], fused: Fused, threshold: float) -> None:
    """Keep what scored the test split of a run that is being written; `folders`: of its parts."""
    path = run.path(MARK)
    trees = fused.trees
    offsets = {label: float(offset) for (_, label), offset in zip(FREQUENCY_GROUPS, fused.fusion.offsets, strict=True)}
    record: dict[str, object] = {
        "parts": [
            {
                "path": os.path.relpath(folder.resolve(), run.final.parent.resolve() / run.final.name),
                "digest": _digest(folder),
                "weight": float(weight),
                "log_odds": asdict(calibration),
                "over_threshold": part.over_threshold,
            }
            for folder, part, weight, calibration in zip(
                folders, fused.parts, fused.fusion.weights, fused.fusion.calibrations, strict=True
            )
        ],
        "offsets": offsets,
        "threshold": threshold,
        "families": None if trees is None else trees.families.tolist(),
    }
    with private_files():
        path.parent.mkdir(parents=True)
        write_json(path, record)
        if trees is not None:
            run.path(TREES).write_text(trees.trees.model_to_string(), encoding="utf-8")


def read_fusion(run: Path) -> SavedFusion:
    """Raises UserError where a file is damaged, a part is not where it was, or is another run by now."""
    try:
        record = json.loads((run / MARK).read_text(encoding="utf-8"))
        parts = record["parts"]
        fusion = Fusion(
            calibrations=tuple(Calibration(**part["log_odds"]) for part in parts),
            weights=np.array([part["weight"] for part in parts]),
            offsets=np.array([record["offsets"][label] for _, label in FREQUENCY_GROUPS]),
        )
        families, threshold = record["families"], float(record["threshold"])
        over_threshold = [bool(part.get("over_threshold", False)) for part in parts]  # none in a run of before
        trees = None if families is None else _read_trees(run, fusion, families)
    except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError):
        raise UserError(f"{run / MARK} is damaged, or of a later version; fuse the runs again") from None
    return SavedFusion(
        parts=[_checked(run, part) for part in parts],
        over_threshold=over_threshold,
        fusion=fusion,
        trees=trees,
        threshold=threshold,
    )


def copy_fusion(run: Path, to: Path, parts: Sequence[Path]) -> None:
    """Write what `run` fitted to the folder `to`, with its parts, of which `parts` are exports, in their order."""
    record = json.loads((run / MARK).read_text(encoding="utf-8"))
    moved = [{"path": os.path.relpath(folder, to), "digest": _digest(folder)} for folder in parts]
    record["parts"] = [part | place for part, place in zip(record["parts"], moved, strict=True)]
    (to / MARK).parent.mkdir()
    write_json(to / MARK, record)
    if (run / TREES).is_file():
        shutil.copyfile(run / TREES, to / TREES)


def part_folders(run: Path) -> list[Path]:
    """Where the parts of a fused run lay when it was made; none where it is damaged."""
    try:
        parts = json.loads((run / MARK).read_text(encoding="utf-8"))["parts"]
        return [_folder(run, part) for part in parts]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _folder(run: Path, part: Mapping[str, str]) -> Path:
    return Path(os.path.normpath(run.resolve() / part["path"]))


def _read_trees(run: Path, fusion: Fusion, families: Sequence[int]) -> TreeFusion:
    model = (run / TREES).read_text(encoding="utf-8")
    return TreeFusion(fusion=fusion, trees=lightgbm.Booster(model_str=model), families=np.array(families))


def _checked(run: Path, part: Mapping[str, str]) -> Path:
    folder = _folder(run, part)
    if not files_of(folder).about.is_file():
        raise UserError(f"{run} was fused of {folder}, which is not there; move it back, or fuse the runs again")
    if _digest(folder) != part["digest"]:
        raise UserError(f"{folder} is another run than the one that {run} was fused of; fuse the runs again")
    return folder


def _digest(folder: Path) -> str:
    """Of a run or an export: no two manifests are the same, since each says when it was made."""
    return hashlib.sha256(files_of(folder).about.read_bytes()).hexdigest()
