"""The validation split's scores, which a run keeps beside its predictions: `mera fuse` fits its weights on them.

`validation/` has the form of `predictions/` (mera/runs/predictions.py); its manifest names the split `validation`. What
a model chose by the validation split (an epoch, a penalty, a prior, its threshold) it chose by these very rows, so its
figures there are better than on rows that it has never met.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mera.runs.manifest import Manifest
from mera.runs.predictions import Predictions, predictions_for_task, read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.runs.task_protocol import PreparedTask
from mera.system.errors import UserError

FOLDER = "validation"
SCORED_AGAIN = {
    "rank": "python rank/ablations/rescore.py --run {run} --task TASK --output RUN",
    "bi_encoder": "python bi_encoder/reruns/rescore.py --run {run} --task TASK --output RUN",
}
"""Kind of run -> the command that makes one with both folders, without training again."""


_STARTED_BY = {
    "rank/run_baselines.py": "mera baselines",
    "bi_encoder/run_retrieval_baselines.py": "mera retrieval-baselines",
}


def write_validation(
    run: RunDirectory,
    task: PreparedTask,
    scores: np.ndarray,
    thresholds: np.ndarray | float | None,
    manifest: Manifest | Mapping[str, object],
) -> None:
    """Write the `validation/` of a run that is being written: scores (N, C) of the validation split, and the
    thresholds and the manifest of its predictions."""
    write_further_split(run, task, FOLDER, scores, thresholds, manifest)


def write_further_split(
    run: RunDirectory,
    task: PreparedTask,
    split: str,
    scores: np.ndarray,
    thresholds: np.ndarray | float | None,
    manifest: Manifest | Mapping[str, object],
) -> None:
    """Write the folder, called as `split` is, of a run that is being written: scores (N, C) of that split, and the
    thresholds and the manifest of the run's predictions."""
    of_task = manifest["task"]
    assert isinstance(of_task, Mapping), "a manifest names its task"
    of_split = {**manifest, "task": {**of_task, "split": split}}
    write_predictions(run.path(split), predictions_for_task(task, split, scores, thresholds, of_split))


def read_validation(path: str | Path) -> Predictions:
    """The validation predictions of the run in `path`. Raises UserError, naming the command that makes them, where
    there are none, where they are of another split, and otherwise as `read_predictions`."""
    folder = Path(path) / FOLDER
    if not folder.is_dir():
        raise UserError(f"{path} holds no validation predictions ({folder}); {_how_to_make_them(Path(path))}")
    if not (folder / "scores.npy").is_file():
        raise FileNotFoundError(f"no predictions in {folder} (scores.npy is missing); write the predictions again")
    predictions = read_predictions(folder)
    split = (predictions.manifest.get("task") or {}).get("split")
    if split != FOLDER:
        raise UserError(
            f"{folder} holds no predictions of the validation split but of {split or 'none that its manifest names'}; "
            f"{_how_to_make_them(Path(path))}"
        )
    return predictions


def _how_to_make_them(path: Path) -> str:
    manifest = read_predictions(path).manifest
    if "pooled" in manifest:
        return "it is pooled: fuse the runs of each fold, and pool what that gives"
    command = SCORED_AGAIN.get(manifest.get("kind", ""))
    if command is None:
        script, _, options = manifest.get("command", "unknown").partition(" ")
        command = f"the command of its manifest.json: {_STARTED_BY.get(script, script)} {options}".rstrip()
    return f"make a run that does with {command.format(run=path) if '{run}' in command else command}"
