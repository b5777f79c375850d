"""Popularity, own history and linear (and, on synthetic data, the oracle) as runs beside the models.

python rank/run_baselines.py --task prepared/diabetes130 --output runs/baselines
"""

from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from data.task import Task, load_task
from mera.calibration import fit_platt
from mera.config import config_dict, parse_config
from mera.entry_point import run_entry_point
from mera.manifest import RunClock, build_manifest
from mera.predictions import predictions_for_task, task_record, write_predictions
from mera.run_directory import RunDirectory
from mera.threshold import best_threshold
from rank.baselines import has_history, linear, own_history, popularity
from rank.config import BaselinesConfig


def main() -> None:
    config = parse_config(BaselinesConfig, __doc__)
    task = load_task(config.task)
    baselines = {"popularity": popularity, "linear": linear}
    if has_history(task):
        baselines["own history"] = own_history
    for name, baseline in track(baselines.items(), description="baselines"):
        run, clock = RunDirectory(Path(config.output) / name.replace(" ", "-")), RunClock()
        found = baseline(task)
        threshold = best_threshold(found.validation, task.targets("validation"))
        calibration = fit_platt(found.validation - threshold, task.targets("validation"))
        write_run(config, task, run, clock, name, "baseline", found.test, threshold, found.chosen, calibration)
    if "oracle" in task.info:
        run, clock = RunDirectory(Path(config.output) / "oracle"), RunClock()
        probabilities = np.load(task.path / task.info["oracle"], allow_pickle=False)
        # With true probabilities in hand, the best threshold is known without a look at any target.
        threshold = best_threshold(probabilities, probabilities)
        calibration = {"scores": "probabilities"}
        write_run(config, task, run, clock, "oracle", "oracle", probabilities, threshold, {}, calibration)


def write_run(
    config: BaselinesConfig,
    task: Task,
    run: RunDirectory,
    clock: RunClock,
    name: str,
    kind: str,
    scores: np.ndarray,
    threshold: float,
    chosen: dict[str, float],
    calibration: dict[str, Any] | None,
) -> None:
    manifest = build_manifest(
        run=run.final.name,
        model=name,
        kind=kind,
        config=config_dict(config) | {"chosen_on_validation": chosen},
        seed=0,
        task=task_record(task, "test"),
        clock=clock,
    ) | {"calibration": calibration}
    write_predictions(run.path("predictions"), predictions_for_task(task, "test", scores, threshold, manifest))
    print(f"{name}: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
