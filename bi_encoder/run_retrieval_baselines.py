"""BM25, an untrained encoder, a dictionary, linear models of words and letters, and trees that weigh the dictionary's
phrases, as runs beside the models.

python bi_encoder/run_retrieval_baselines.py --task prepared/codiesp-en --output runs/codiesp
python bi_encoder/run_retrieval_baselines.py --task prepared/codiesp-en --output runs/codiesp --only bm25 dictionary
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.progress import track

from bi_encoder.baselines.fitted import write_fitted
from bi_encoder.baselines.phrases_and_words import dictionary, phrase_trees, words_and_letters
from bi_encoder.baselines.retrieval_baselines import (
    ChosenSetting,
    ChosenView,
    Ranking,
    RetrievalBaselinesConfig,
    bm25,
    chosen_folders,
    out_of_fold_scores,
    untrained_encoder,
)
from bi_encoder.search.search_index import open_model
from data.task import load_task
from mera.config import config_dict, parse_config
from mera.evaluation.calibration import fit_platt
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.finished_runs import finished_before
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.other_splits.train_scores import write_train
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.records import task_record
from mera.runs.run_directory import RunDirectory
from mera.training.entry_point import run_entry_point


def main() -> None:
    config = parse_config(RetrievalBaselinesConfig, __doc__, program="mera retrieval-baselines")
    task = load_task(config.task)
    baselines: dict[str, Callable[[], Ranking[ChosenView] | Ranking[ChosenSetting]]] = {
        "BM25": lambda: bm25(task, config.prior_form),
        "untrained encoder": lambda: untrained_encoder(
            task, config.encoder, open_model, config.max_query_tokens, config.prior_form
        ),
        "dictionary": lambda: dictionary(task, config.refit),
        "words and letters": lambda: words_and_letters(task, config.refit),
        "phrase trees": lambda: phrase_trees(task, config.refit),
    }
    keys = {
        "BM25": ("prior_form",),
        "untrained encoder": ("encoder", "max_query_tokens", "prior_form"),
        "dictionary": ("refit",),
        "words and letters": ("refit",),
        "phrase trees": ("refit",),
    }
    folders = {name: Path(config.output) / name.lower().replace(" ", "-") for name in baselines}
    folders = chosen_folders(folders, config.only)
    if config.candidate_folds:
        keys = {name: (*of_name, "candidate_folds") for name, of_name in keys.items()}
    settings = {name: {key: config_dict(config)[key] for key in keys[name]} for name in folders}
    finished = [name for name in folders if finished_before(folders[name], task.fingerprint, settings[name])]
    for name in finished:
        print(f"finished before: {folders[name]}")
    runs = {name: RunDirectory.begun_anew(folders[name]) for name in folders if name not in finished}  # before any work
    for name, run in track(runs.items(), description="baselines"):
        clock, ranking = RunClock(), baselines[name]()
        targets = task.targets("validation")
        threshold = best_threshold(ranking.validation, targets)
        manifest = build_manifest(
            run=run.final.name,
            model=name,
            kind="baseline",
            config=config_dict(config) | {"chosen_on_validation": asdict(ranking.chosen)},
            seed=0,
            task=task_record(task, "test"),
            clock=clock,
        ) | {"calibration": fit_platt(ranking.validation - threshold, targets)}
        if config.refit and "refit" in keys[name]:
            manifest["refitted"] = True
        records = {"evidence": ranking.evidence}
        predictions = predictions_for_task(task, "test", ranking.test, threshold, manifest, records)
        write_predictions(run.path("predictions"), predictions)
        write_validation(run, task, ranking.validation, threshold, manifest)
        write_fitted(run.partial, ranking.model, threshold)
        if config.candidate_folds:
            scores = out_of_fold_scores(task, ranking.of_fold, config.candidate_folds)
            write_train(run, task, scores, threshold, manifest, config.candidate_folds)
        print(f"{name}: {run.finish()} ({ranking.chosen.in_words()})")


if __name__ == "__main__":
    run_entry_point(main)
