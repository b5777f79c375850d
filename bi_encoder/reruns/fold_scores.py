"""The training notes of one fold, scored by a bi-encoder that trained on the others."""

from dataclasses import replace

import numpy as np
from transformers import set_seed

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.config import BiEncoderConfig
from bi_encoder.predict import score_windows, split_windows
from bi_encoder.refine import refine
from bi_encoder.scoring.prior import Prior
from bi_encoder.start import examples_to_learn, model_for_task
from bi_encoder.trainer import build_trainer
from bi_encoder.validation import Validation
from data.task import Task
from mera.runs.run_directory import RunDirectory


def score_fold(
    folder: RunDirectory, task: Task, is_mine: np.ndarray, config: BiEncoderConfig, record: ModelRecord
) -> None:
    """Train on the notes that are not in the fold, is_mine (N,) bool, and write `scores.npy` of those that are, with
    the run's own prior on the counts of the others."""
    train = task.splits["train"]
    others, mine = train.select(np.flatnonzero(~is_mine)), train.select(np.flatnonzero(is_mine))
    counts = np.rint(task.targets("train")[~is_mine].sum(axis=0) * (len(is_mine) / len(others))).astype(np.int64)
    without = replace(task, splits=type(task.splits)({**task.splits, "train": others}), train_counts=counts)
    set_seed(config.training.seed)
    model = model_for_task(config, without)
    examples, _ = examples_to_learn(without, model.tokenizer, config)
    validation = Validation(without, model.tokenizer, config)
    trainer = build_trainer(model, without, examples, validation, config, folder)
    trainer.resume_and_train(folder, config.training)
    trainer.gather_model()
    trained = trainer.bi_encoder
    if config.refine.steps:
        refine(trained, without, config)
    held_out = replace(without, splits=type(task.splits)({**task.splits, "train": mine}))
    windows = split_windows(held_out, "train", trained.tokenizer, config.encoder)
    # The codes' names are those of `without`: phrases that annotators marked in the held-out notes would tell.
    scores = score_windows(trained, without, windows, [trained.hidden_size], config)[trained.hidden_size]
    scores += Prior(weight=record.prior_weight, offsets=record.prior_offsets).of_codes(counts)
    np.save(folder.path("scores.npy"), scores)
    folder.finish()
