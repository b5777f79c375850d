"""A trained model's validation and test patients scored again in another way, as a run of its own: nothing is trained.

python rank/ablations/rescore.py --run runs/rank --task prepared/diabetes130 --output runs/decoding \\
    --decoding autoregressive
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import sys
from pathlib import Path

from data.task import load_task
from mera.config import parse_config
from mera.runs.manifest import RunClock
from mera.runs.predictions import read_predictions
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training.entry_point import run_entry_point
from rank.config import RescoreConfig
from rank.outputs import fit_decision_again, rank_split, write_ranked
from rank.predict import Ranker


def main() -> None:
    config = parse_config(RescoreConfig, __doc__)
    run, clock = RunDirectory.begun_anew(config.output), RunClock()
    task, trained = load_task(config.task), read_predictions(config.run)
    if trained.manifest["task"]["fingerprint"] != task.fingerprint:
        raise UserError(f"{config.run} was trained on another task than {config.task}; give the one it was trained on")

    ranker, settings = Ranker.load(Path(config.run) / "checkpoint"), config.settings(trained.manifest["config"])
    ranker.add_definitions(task.all_definitions)
    batch_size, decoding = config.evaluation_batch_size, settings["decoding"]
    fit_offset = settings["eov_offset"] == "fitted"
    fit_rare = settings["wide"] != "none" and settings["rare_recurrence"] == "fitted"
    decision, validation = fit_decision_again(ranker, task, fit_offset, fit_rare, batch_size)
    if "deep_share" in trained.manifest:
        decision["deep_share"] = trained.manifest["deep_share"]
    sys.stderr.writelines(f"{sentence}\n" for sentence in validation.sentences)
    if decoding != "rank":
        validation = rank_split(ranker, task, "validation", decoding, batch_size, settings["max_targets"])
    test = rank_split(ranker, task, "test", decoding, batch_size, settings["max_targets"])
    sys.stderr.writelines(f"{sentence}\n" for sentence in test.sentences)

    write_ranked(
        task,
        test,
        validation,
        run,
        name=config.name,
        config=settings,
        seed=trained.manifest["seed"],
        decision=decision if decoding == "rank" else None,
        records=trained.records,
        clock=clock,
    )
    print(f"predictions: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
