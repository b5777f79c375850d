"""Putting the folds of a k-fold task together: every patient was tested once, so it is one test to the report."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from mera.predictions import Predictions, read_predictions, write_predictions
from mera.run_directory import RunDirectory


def pool_folds(paths: Sequence[str | Path], output: str | Path) -> Path:
    """Concatenate the predictions of one model on all folds of one cohort into the run `output`; return it.

    Scores of different folds come from different models: metrics within a row (recall, F1 at each model's own
    threshold) are as good as ever, metrics across rows (ROC-AUC) suffer where the models' scales differ. A code's train
    count is the mean over the folds. Raises ValueError where the runs are no complete set of folds of one cohort.
    """
    folds = sorted((read_predictions(path) for path in paths), key=_fold)
    _check(folds)
    first = folds[0]
    fingerprints = "".join(fold.manifest["task"]["fingerprint"] for fold in folds)
    counts = np.mean([fold.codes["train_count"].to_numpy() for fold in folds], axis=0).round().astype(np.int64)
    run = RunDirectory(output)
    pooled = replace(
        first,
        scores=np.concatenate([fold.scores for fold in folds]),
        targets=np.concatenate([fold.targets for fold in folds]),
        seen=np.concatenate([fold.seen for fold in folds]),
        thresholds=np.concatenate([fold.thresholds for fold in folds]),
        example_ids=[name for fold in folds for name in fold.example_ids],
        patient_ids=[name for fold in folds for name in fold.patient_ids],
        codes=first.codes.with_columns(pl.Series("train_count", counts)),
        previous_visits=_concatenated([fold.previous_visits for fold in folds]),
        ages=_concatenated([fold.ages for fold in folds]),
        sexes=None if first.sexes is None else [sex for fold in folds for sex in fold.sexes],
        trained_on=None,  # each patient was tested by a model that had not seen them, and trained the others
        context=None,
        records={},
        manifest=first.manifest
        | {
            "run": run.final.name,
            "seconds": round(sum(fold.manifest.get("seconds") or 0 for fold in folds), 1),
            "pooled": [fold.manifest["command"] for fold in folds if "command" in fold.manifest],
            "task": first.manifest["task"]
            | {
                "name": first.manifest["task"]["name"].rsplit("-fold", 1)[0],
                "fingerprint": hashlib.sha256(fingerprints.encode()).hexdigest(),
                "split": f"all {len(folds)} folds",
            },
        },
    )
    write_predictions(run.path("predictions"), pooled)
    return run.finish()


def _protocol(fold: Predictions) -> dict:
    return fold.manifest["task"].get("split_protocol", {})


def _fold(fold: Predictions) -> int:
    if _protocol(fold).get("name") != "kfold":
        raise ValueError(f"the run {fold.name!r} is not of a k-fold task; mera pool takes one run for each fold")
    return _protocol(fold)["fold"]


def _check(folds: Sequence[Predictions]) -> None:
    if not folds:
        raise ValueError("give the runs to pool, one for each fold")
    if len({_protocol(fold)["cohort"] for fold in folds}) > 1:
        raise ValueError("the runs are of different cohorts; pool the folds of one `mera prepare --protocol kfold`")
    if len({fold.manifest["model"] for fold in folds}) > 1:
        names = ", ".join(sorted({fold.manifest["model"] for fold in folds}))
        raise ValueError(f"the runs are of different models ({names}); pool each model's folds on their own")
    wanted, given = list(range(_protocol(folds[0])["folds"])), [_protocol(fold)["fold"] for fold in folds]
    if given != wanted:
        raise ValueError(f"a pool needs each of the folds {wanted} once, got {given}")


def _concatenated(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    return None if any(part is None for part in parts) else np.concatenate(parts)
