"""A bi-encoder as a first pass for `rank/train.py --candidates`: its training notes scored out of fold.

python bi_encoder/reruns/out_of_fold.py --run runs/laa_mrl --task prepared/codiesp-en --folds 5 \\
    --output runs/laa_mrl-candidates

The recipe of the run trains again on all folds but one, as often as there are folds, and each scores the notes that it
has not met: about as many times the run's own hours. The same command goes on where it was interrupted. The run that it
writes has the first one's predictions and validation scores.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import shutil
from pathlib import Path

import numpy as np

from bi_encoder.checkpoint import load_bi_encoder
from bi_encoder.config import BiEncoderConfig, OutOfFoldConfig
from bi_encoder.reruns.fold_scores import score_fold
from bi_encoder.start import with_carried_evidence
from data.task import load_task
from mera.config import config_dict, load_config, parse_config
from mera.runs.other_splits.train_scores import folds_of_patients, write_train
from mera.runs.other_splits.validation_scores import read_validation, write_validation
from mera.runs.predictions import read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training.entry_point import run_entry_point


def main() -> None:
    options = parse_config(OutOfFoldConfig, __doc__)
    task, trained, validation = load_task(options.task), read_predictions(options.run), read_validation(options.run)
    if trained.manifest["task"]["fingerprint"] != task.fingerprint:
        raise UserError(f"{options.run} was trained on another task than {options.task}; give that one")
    fold_of_row = folds_of_patients(task.splits["train"]["patient_id"], options.folds)
    run = RunDirectory(options.output)
    run.claim(config_dict(options), task.fingerprint)
    config = load_config(BiEncoderConfig, overrides=trained.manifest["config"])
    _, record = load_bi_encoder(Path(options.run) / "checkpoint", codes=task.codes)
    task, _ = with_carried_evidence(task, config)
    scores = np.empty((len(fold_of_row), len(task.codes)), dtype=np.float32)
    for fold in range(options.folds):
        folder = run.path(f"fold-{fold}")
        if not folder.exists():
            score_fold(RunDirectory(folder), task, fold_of_row == fold, config, record)
        scores[fold_of_row == fold] = np.load(folder / "scores.npy", allow_pickle=False)
    write_predictions(run.path("predictions"), trained)
    candidates = slice(0, validation.num_candidates)
    write_validation(run, task, validation.scores[:, candidates], validation.thresholds, trained.manifest)
    write_train(run, task, scores, record.threshold, trained.manifest, options.folds)
    for fold in range(options.folds):
        shutil.rmtree(run.path(f"fold-{fold}"))
    print(f"predictions, validation and train: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
