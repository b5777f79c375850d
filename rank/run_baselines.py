"""Baselines as runs: what every model has to beat (rank/run_baselines.py).

    mera baselines --task prepared/diabetes130 --output runs/diabetes130
    mera baselines --task prepared/diabetes130 --output runs/diabetes130 --only ease gbdt

seconds     popularity, own-history (its codes again), ease and item-knn (which codes follow which, in closed form),
            linear (ridge regression; with popularity the only ones for tasks of notes)
a minute    gbdt (LightGBM on pairs of a patient and a code)
minutes     retain (GRUs with attention), transformer (an encoder of the codes of a history)
when asked  zero-shot (a language model as it comes; --zero_shot.model), which reads every definition for every patient
            oracle: on synthetic data, the probabilities that made the data

What was finished before stays. A baseline that the task has no data for (a history, notes) is left out.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from data.task import Task, load_task, without_events
from mera.config import config_dict, parse_config
from mera.evaluation.calibration import fit_platt
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.finished_runs import finished_before
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.records import task_record
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.system.terminal import print_above_bars, progress_bar
from mera.training.entry_point import run_entry_point
from rank.baselines.config import BaselinesConfig
from rank.baselines.fitted.ranker import BaselineRanker
from rank.baselines.item_item import ease, item_knn
from rank.baselines.linear import linear
from rank.baselines.neural.training import retain, transformer
from rank.baselines.simple import BaselineScores, has_history, own_history, popularity
from rank.baselines.trees.gbdt import gbdt
from rank.baselines.wide_part import wide_part
from rank.baselines.zero_shot import zero_shot

MODEL_NAMES = {
    "own-history": "own history",
    "ease": "EASE, history to next visit",
    "item-knn": "item-kNN",
    "wide": "wide part alone",
    "gbdt": "LightGBM on pairs",
    "retain": "RETAIN",
    "transformer": "Transformer encoder",
    "zero-shot": "language model, zero-shot",
}


def main() -> None:
    config = parse_config(BaselinesConfig, __doc__, program="mera baselines")
    task, folder = load_task(config.task), Path(config.output)
    has_events = task.has_events
    task = task if config.events else without_events(task)
    baselines: dict[str, Callable[[Task], BaselineScores]] = {"popularity": popularity, "linear": linear}
    if has_history(task):
        baselines |= {
            "own-history": own_history,
            "ease": ease,
            "item-knn": item_knn,
            "wide": partial(wide_part, seed=config.seed),
            "gbdt": partial(gbdt, config=config.gbdt, seed=config.seed),
            "zero-shot": partial(zero_shot, config=config.zero_shot),
            "retain": partial(retain, config=config.retain, seed=config.seed),
            "transformer": partial(transformer, config=config.transformer, seed=config.seed),
        }
    chosen = [name for name in baselines if name in config.only]
    with_oracle = "oracle" in task.info and "oracle" in config.only
    if not chosen and not with_oracle:
        raise UserError(f"{config.task} lacks the data (a history, true probabilities) for {', '.join(config.only)}")
    wanted = [*chosen, *["oracle"] * with_oracle]
    settings = {name: settings_of(config, name) | ({"events": config.events} if has_events else {}) for name in wanted}
    finished = [name for name in wanted if finished_before(folder / name, task.fingerprint, settings[name])]
    for name in finished:
        print(f"finished before: {folder / name}")
    # Before anything trains: a folder that is in use is refused at once.
    runs = {name: RunDirectory.begun_anew(folder / name) for name in wanted if name not in finished}
    bar = progress_bar([name for name in chosen if name in runs], "baselines", "baseline")
    for name in bar:
        bar.set_postfix_str(name)
        clock = RunClock()
        scored = baselines[name](task)
        threshold = best_threshold(scored.validation, task.targets("validation"))
        calibration = fit_platt(scored.validation - threshold, task.targets("validation"))
        write_run(config, task, runs[name], clock, "baseline", scored, threshold, calibration)
    if "oracle" in runs:
        clock = RunClock()
        probabilities = np.load(task.path / task.info["oracle"], allow_pickle=False)
        # With true probabilities in hand, the best threshold is known without a look at any target.
        threshold = best_threshold(probabilities, probabilities)
        scored = BaselineScores(validation=np.empty(0), test=probabilities, chosen={})
        write_run(config, task, runs["oracle"], clock, "oracle", scored, threshold, None)


def settings_of(config: BaselinesConfig, name: str) -> dict[str, object]:
    """What of the configuration a baseline depends on."""
    key = name.replace("-", "_")
    return {part: config_dict(config)[part] for part in ("seed", key)} if hasattr(config, key) else {}


def write_run(
    config: BaselinesConfig,
    task: Task,
    run: RunDirectory,
    clock: RunClock,
    kind: str,
    scored: BaselineScores,
    threshold: float,
    calibration: Mapping[str, float] | None,
) -> None:
    name = run.final.name
    manifest = build_manifest(
        run=name,
        model=MODEL_NAMES.get(name, name),
        kind=kind,
        config=config_dict(config) | {"chosen_on_validation": scored.chosen},
        seed=config.seed,
        task=task_record(task, "test"),
        clock=clock,
    ) | {"calibration": {"scores": "probabilities"} if kind == "oracle" else calibration}
    if scored.model is not None and calibration is not None and has_history(task):
        called = str(manifest["model"])
        BaselineRanker.of_task(scored.model, called, task, threshold, calibration).save(run)
    predictions = predictions_for_task(task, "test", scored.test, threshold, manifest, {"training": scored.training})
    write_predictions(run.path("predictions"), predictions)
    if kind == "baseline":  # the oracle knows the test patients' probabilities alone
        write_validation(run, task, scored.validation, threshold, manifest)
    print_above_bars(f"{name}: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
