"""The main figures of a run: in `mera runs`, on a model card, and what a training prints last."""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mera import metrics
from mera.evaluation import bootstrap
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import Predictions

PART_OF = "MERA_PART_OF"
"""Environment variable of a command that another one started, which says itself what comes next."""


def main_figures(predictions: Predictions) -> dict[str, float]:
    """recall@10, recall@20, MAP and, where codes are predicted, micro F1, as fractions; those that do not exist (no
    true code) are left out."""
    scores, targets = predictions.scores, predictions.targets
    values = {
        "recall@10": metrics.recall_at_k(scores, targets, 10),
        "recall@20": metrics.recall_at_k(scores, targets, 20),
        "MAP": metrics.mean_average_precision(scores, targets),
    }
    if np.isfinite(predictions.thresholds).all():
        values["micro F1"] = metrics.f1(predictions.predicted, targets, "micro")
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def figure_intervals(predictions: Predictions, samples: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The 95% intervals of `main_figures`, by the same names, from resamples of patients as a report draws them;
    where they do not differ, as those of one patient, all there is."""
    weights = bootstrap.patient_weights(predictions.patient_ids, samples, seed)
    ranking = metrics.rank_targets(predictions.scores, predictions.targets)
    by_row = {
        "recall@10": metrics.row_recall(ranking, 10),
        "recall@20": metrics.row_recall(ranking, 20),
        "MAP": metrics.row_average_precision(ranking),
    }
    means = bootstrap.row_mean(weights, np.column_stack(list(by_row.values())))
    replicates = dict(zip(by_row, means.T, strict=True))
    replicates["micro F1"] = bootstrap.micro_f1(weights, predictions.predicted, predictions.targets)
    patients = len(set(np.asarray(predictions.patient_ids)[predictions.targets.any(axis=1)].tolist()))
    ends = {
        name: bootstrap.interval(replicates[name], units=patients if name in by_row else None)
        for name in main_figures(predictions)
    }
    return {name: (max(0.0, low), min(1.0, high)) for name, (low, high) in ends.items()}


def print_end(run: Path, task: str, baselines: Sequence[str]) -> None:
    """What a training that leaves predictions prints last: its figures on validation, where it is, and the next
    command: a report where other runs of the task lie beside it, else `baselines` to compare it with."""
    figures = main_figures(read_validation(run))
    print("validation: " + ", ".join(f"{name} {100 * value:.1f}" for name, value in figures.items()) + " (percent)")
    others = [path for path in sorted(run.parent.iterdir()) if path != run and _task_of(path) == _task_of(run)]
    if others:
        print_next(["mera", "report", str(run), *map(str, others), "--output", str(run.parent / "report")])
    else:
        print_next([*baselines, "--task", task, "--output", str(run.parent)])
    print(f"checkpoint and predictions: {run}")


def print_next(command: Sequence[str]) -> None:
    """The command that one goes on with, unless it is part of one that says so itself."""
    if PART_OF not in os.environ:
        print(f"next: {shlex.join(command)}")


def _task_of(run: Path) -> str | None:
    """The fingerprint of a finished run's task; None of anything else."""
    try:
        manifest = json.loads((run / "predictions" / "manifest.json").read_text(encoding="utf-8"))
        return str(manifest["task"]["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
