"""Runs of a task that know the true codes behind some noise, to be fused.

from fused_parts import write_part        (pytest puts this folder on sys.path)
"""

import numpy as np

from mera.runs.other_splits.train_scores import write_train
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.run_directory import RunDirectory


def write_part(
    task, output, scale, noise, seed=0, fingerprint=None, rule="all", validation_only=None, folds=0, shifted=False
):
    """A run that knows the true codes behind some noise. `validation_only`: a column that validation scores anyhow.
    `folds`: with training scores out of so many folds. `shifted`: all scores of a row are higher by any number, and so
    is its threshold."""
    run, random = RunDirectory(output), np.random.default_rng(seed)
    scores, thresholds, shifts = {}, {}, np.random.default_rng(7)
    for split in ("test", "validation", "train"):
        targets = task.targets(split)
        scores[split] = scale * (2.0 * targets + noise * random.standard_normal(targets.shape)) + scale
        shift = 5.0 * shifts.standard_normal(len(targets)) if shifted else np.zeros(len(targets))
        scores[split], thresholds[split] = scores[split] + shift[:, None], scale + shift
    record = {
        **{"run": output.name, "model": output.name, "kind": "baseline", "config": {}, "command": "mera baselines"},
        "task": {
            **{"name": "tiny", "kind": "diagnosis", "fingerprint": fingerprint or task.fingerprint, "split": "test"},
            "candidates_rule": {"name": rule},
        },
    }
    if validation_only is not None:
        scores["validation"][:, validation_only] = 100 * scale * random.standard_normal(len(scores["validation"]))
    write_predictions(
        run.path("predictions"), predictions_for_task(task, "test", scores["test"], thresholds["test"], record)
    )
    write_validation(run, task, scores["validation"], thresholds["validation"], record)
    if folds:
        write_train(run, task, scores["train"], thresholds["train"], record, folds)
    return run.finish()
