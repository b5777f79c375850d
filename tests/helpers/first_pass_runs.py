"""A first pass as a run of its own: prediction folders of all three splits, with scores that a test makes up.

from first_pass_runs import write_first_pass        (pytest puts this folder on sys.path)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.task import Task
from mera.runs.predictions import predictions_for_task, write_predictions

FOLDERS = {"train": "train", "validation": "validation", "test": "predictions"}


def write_first_pass(
    path: Path, task: Task, scores: Mapping[str, np.ndarray], threshold: float | None = 0.0, **of_train: Any
) -> Path:
    """`scores`: split -> (N, C); `of_train`: what the manifest of the training scores says beside, such as
    `candidate_folds=5`."""
    for split, of_split in scores.items():
        manifest: dict[str, Any] = {
            "run": path.name,
            "model": "made-up first pass",
            "kind": "baseline",
            "task": {"name": task.path.name, "kind": "coding", "fingerprint": task.fingerprint, "split": split},
            "config": {},
            "seed": 0,
        }
        if split == "train":
            manifest |= of_train
        predictions = predictions_for_task(task, split, of_split, threshold, manifest)
        write_predictions(path / FOLDERS[split], predictions)
    return path
