"""The training split's scores out of fold, which a run keeps beside its predictions: a second pass trains on them,
and `mera fuse --form trees` is fitted on them.

`train/` has the form of `predictions/` (mera/runs/predictions.py); its manifest names the split `train` and the number
of folds. Each training example is scored by a model that learnt from the other folds alone: a model that has met an
example ranks its true codes higher than it ranks those of a new one, and a second pass would learn to trust it too
much.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mera.runs.manifest import Manifest
from mera.runs.other_splits.validation_scores import write_further_split
from mera.runs.predictions import Predictions, read_predictions
from mera.runs.run_directory import RunDirectory
from mera.runs.task_protocol import PreparedTask
from mera.system.errors import UserError

FOLDER, FOLDS_KEY = "train", "candidate_folds"


def folds_of_patients(patient_ids: Sequence[str], folds: int) -> np.ndarray:
    """(N,) int: the fold of each example, all of one patient in the same, as equal in patients as can be; shuffled, the
    same on every machine. Raises UserError where there are fewer patients than folds."""
    patients = np.array(patient_ids)
    distinct, number = np.unique(patients, return_inverse=True)
    if not 2 <= folds <= len(distinct):
        raise UserError(f"{FOLDS_KEY} must be 2 to the number of training patients ({len(distinct)}), got {folds}")
    order = np.random.default_rng(0).permutation(len(distinct))
    fold_of_patient: np.ndarray = order % folds
    return fold_of_patient[number]


def write_train(
    run: RunDirectory,
    task: PreparedTask,
    scores: np.ndarray,
    thresholds: np.ndarray | float | None,
    manifest: Manifest | Mapping[str, object],
    folds: int,
) -> None:
    """Write the `train/` of a run that is being written: scores (N, C) of the training split, each row from a model
    that did not learn from its fold, and the thresholds and the manifest of its predictions."""
    write_further_split(run, task, FOLDER, scores, thresholds, {**manifest, FOLDS_KEY: folds})


def read_train(path: str | Path) -> Predictions:
    """The training predictions of the run in `path`. Raises UserError where there are none, or where they do not say
    that they were made out of fold; as `read_predictions` where they are damaged."""
    folder = Path(path) / FOLDER
    if not (folder / "scores.npy").is_file():
        raise UserError(
            f"{path} holds no out-of-fold scores of its training rows ({folder}). Of notes `mera retrieval-baselines "
            f"--task TASK --output RUNS --{FOLDS_KEY} 5` makes them, and of a bi-encoder `python "
            f"bi_encoder/reruns/out_of_fold.py --run RUN --task TASK --output RUN`; models of histories have none, and "
            f"are fused by a sum"
        )
    predictions = read_predictions(folder)
    if not isinstance(predictions.manifest.get(FOLDS_KEY), int):
        raise UserError(
            f"{folder} does not say by how many folds it was made ({FOLDS_KEY} in its manifest.json): scores of notes "
            f"that a model has learnt from cannot teach a second pass; score each fold by a model of the others"
        )
    return predictions
