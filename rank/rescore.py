"""A trained model's test patients scored again in another way, as a run of its own: nothing is trained.

python rank/rescore.py --run runs/rank --task prepared/diabetes130 --output runs/decoding --decoding autoregressive
"""

from pathlib import Path

from data.task import load_task
from mera.config import parse_config
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.predictions import predictions_for_task, read_predictions, task_record, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training.entry_point import run_entry_point
from rank.config import RescoreConfig
from rank.decision import fit_decision_rule, threshold_record
from rank.predict import Ranker


def main() -> None:
    config = parse_config(RescoreConfig, __doc__)
    run, clock = RunDirectory(config.output), RunClock()
    task = load_task(config.task)
    trained = read_predictions(config.run)
    if trained.manifest["task"]["fingerprint"] != task.fingerprint:
        raise UserError(f"{config.run} was trained on another task than {config.task}; give the one it was trained on")
    ranker = Ranker.load(Path(config.run) / "checkpoint")
    ranker.add_definitions(task.all_definitions)
    held_out = list(task.splits["validation"])
    validation = (*ranker.score(held_out, config.evaluation_batch_size), task.targets("validation"))
    uses_eov = ranker.rule.eov_share > 0
    ranker.rule = fit_decision_rule(*validation, uses_eov, config.eov_offset == "fitted")
    rows = list(task.splits["test"])
    if config.decoding == "rank":
        scores, eov = ranker.score(rows, config.evaluation_batch_size)
        thresholds = ranker.rule.thresholds(scores, eov)
    else:
        scores, thresholds = ranker.decode(
            rows, config.evaluation_batch_size, trained.manifest["config"]["max_targets"]
        )
    changed = {"eov_offset": config.eov_offset, "decoding": config.decoding}
    manifest = build_manifest(
        run=run.final.name,
        model=config.name,
        kind=trained.manifest["kind"],
        config=trained.manifest["config"] | changed,
        seed=trained.manifest["seed"],
        task=task_record(task, "test"),
        clock=clock,
    )
    if config.decoding == "rank":
        manifest["calibration"] = {"slope": ranker.rule.slope, "intercept": ranker.rule.intercept}
        manifest["threshold"] = threshold_record(ranker.rule, *validation, uses_eov)
    predictions = predictions_for_task(task, "test", scores, thresholds, manifest, trained.records)
    write_predictions(run.path("predictions"), predictions)
    print(f"predictions: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
