"""BM25 and an untrained encoder, as runs beside the models.

python bi_encoder/run_retrieval_baselines.py --task prepared/codiesp-en --output runs/codiesp
"""

from pathlib import Path

from rich.progress import track

from bi_encoder.retrieval_baselines import RetrievalBaselinesConfig, bm25, untrained_encoder
from bi_encoder.search_index import open_model
from data.task import load_task
from mera.calibration import fit_platt
from mera.config import config_dict, parse_config
from mera.entry_point import run_entry_point
from mera.manifest import RunClock, build_manifest
from mera.predictions import predictions_for_task, task_record, write_predictions
from mera.run_directory import RunDirectory
from mera.threshold import best_threshold


def main() -> None:
    config = parse_config(RetrievalBaselinesConfig, __doc__)
    task = load_task(config.task)
    encoder = open_model(config.encoder)
    baselines = {
        "BM25": lambda: bm25(task),
        "untrained encoder": lambda: untrained_encoder(task, *encoder, config.max_query_tokens),
    }
    for name, baseline in track(baselines.items(), description="baselines"):
        run, clock = RunDirectory(Path(config.output) / name.lower().replace(" ", "-")), RunClock()
        found = baseline()
        targets = task.targets("validation")
        threshold = best_threshold(found.validation, targets)
        manifest = build_manifest(
            run=run.final.name,
            model=name,
            kind="baseline",
            config=config_dict(config) | {"chosen_on_validation": found.chosen},
            seed=0,
            task=task_record(task, "test"),
            clock=clock,
        ) | {"calibration": fit_platt(found.validation - threshold, targets)}
        write_predictions(run.path("predictions"), predictions_for_task(task, "test", found.test, threshold, manifest))
        print(f"{name}: {run.finish()} ({found.chosen['view']}, prior weight {found.chosen['prior_weight']:g})")


if __name__ == "__main__":
    run_entry_point(main)
