"""Runs as trees on top of their weighted sum, fitted on the training split, scored out of fold, and on validation.

The scores of all runs are in memory, of at most MOST_TRAINING_ROWS training rows, of validation and of test.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mera.commands.fusion.parts import (
    Fused,
    Splits,
    candidate_scores,
    check_same,
    each_part,
    offsets_record,
    part_records,
)
from mera.evaluation.fusion import patient_folds, sample_pairs, variance_shares
from mera.evaluation.fusion_trees import ROUNDS, ScoredRows, TreeFusion, fit_tree_fusion
from mera.report.measures.hierarchy import LEVELS, label_ids
from mera.runs.other_splits.train_scores import FOLDS_KEY, folds_of_patients, read_train
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import Predictions, read_predictions
from mera.system.errors import UserError

MOST_TRAINING_ROWS = 5_000
"""Drawn where there are more: 750,000 corrected pairs."""


class FitRows(NamedTuple):
    """Training rows, then those of validation: N together."""

    rows: ScoredRows
    targets: np.ndarray
    """(N, C) bool."""
    fair: np.ndarray
    """(N, C) bool: pairs to fit on."""
    patients: list[str]
    num_training: int


def fuse_by_trees(folders: Sequence[Path], first: Splits) -> Fused:
    """Raises UserError where a run does not agree with the first, or has no training scores out of fold."""
    parts = [part for part, _ in each_part(folders, first)]
    over_threshold = [part.over_threshold for part in parts]
    known = rows_to_fit(folders, first, over_threshold)
    families = code_families(first)
    fold = patient_folds(known.patients, np.asarray(known.targets.any(axis=1)))
    is_validation = np.arange(len(known.rows)) >= known.num_training

    def fitted(chosen: np.ndarray) -> TreeFusion:
        return fit_tree_fusion(known.rows.select(chosen), known.targets[chosen], known.fair[chosen], families)

    cross_fitted = np.empty(known.targets[is_validation].shape, dtype=np.float32)
    for number in range(fold.max() + 1):
        in_fold = is_validation & (fold == number)
        if in_fold.any():
            cross_fitted[in_fold[is_validation]] = fitted(fold != number).scores(known.rows.select(in_fold))
    whole = fitted(np.ones(len(fold), dtype=bool))
    test = np.stack(
        [candidate_scores(read_predictions(folder), over) for folder, over in zip(folders, over_threshold, strict=True)]
    )
    scores = whole.scores(ScoredRows(scores=test, train_counts=first.train_counts[None]))
    shares = _shares_of_sum(whole, known)
    record = {
        "parts": part_records(parts, whole.fusion, shares),
        **offsets_record(whole.fusion, shares),
        "folds": int(fold.max()) + 1,
        "trees": {
            "number": ROUNDS,
            "training_rows": known.num_training,
            "gains": whole.gains(len(parts)),
        },
    }
    return Fused(cross_fitted, scores, whole.fusion, whole, parts, record)


def code_families(first: Splits) -> np.ndarray:
    """(C,) int: the group of each candidate at the finest level that puts two codes or more into a group on average;
    where there is none, each is alone."""
    codes = first.validation.codes[: first.validation.num_candidates]
    levels = [np.unique(label_ids(codes[level]), return_inverse=True)[1] for level in LEVELS if level in codes.columns]
    wide = [groups for groups in levels if groups.max() + 1 <= codes.height / 2]
    return max(wide, key=lambda groups: groups.max()) if wide else np.arange(codes.height)


def rows_to_fit(folders: Sequence[Path], first: Splits, over_threshold: Sequence[bool]) -> FitRows:
    """The rows of runs that agree with the first on validation; `over_threshold`: of each run, as `candidate_scores`
    takes it. Raises UserError where they do not on train.

    A training row says nothing of a code that its models had no example of: some are candidates because this very row
    has them, and the others are true in no training row.
    """
    train = [read_train(folder) for folder in folders]
    for folder, run in zip(folders, train, strict=True):
        check_same(run, train[0], "train", folder, first.folder)
        if run.manifest[FOLDS_KEY] != train[0].manifest[FOLDS_KEY]:
            raise UserError(
                f"{folder} has training scores of {run.manifest[FOLDS_KEY]} folds and {first.folder} of "
                f"{train[0].manifest[FOLDS_KEY]}; make both with the same --{FOLDS_KEY}"
            )
    counts = _counts_out_of_fold(train[0], first.train_counts)
    rows = np.sort(np.random.default_rng(0).permutation(len(counts))[:MOST_TRAINING_ROWS])
    training = np.stack([candidate_scores(run, over)[rows] for run, over in zip(train, over_threshold, strict=True)])
    validation = np.stack(
        [candidate_scores(read_validation(folder), over) for folder, over in zip(folders, over_threshold, strict=True)]
    )
    of_validation = np.broadcast_to(first.train_counts, validation.shape[1:])
    is_fair = np.zeros(len(first.train_counts), dtype=bool)
    is_fair[first.fair] = True
    num_candidates = len(first.train_counts)
    targets = [train[0].targets[rows, :num_candidates], first.validation.targets[:, :num_candidates]]
    return FitRows(
        rows=ScoredRows(
            scores=np.concatenate([training, validation], axis=1),
            train_counts=np.concatenate([counts[rows], of_validation]),
        ),
        targets=np.concatenate(targets),
        fair=np.concatenate([(counts[rows] > 0) & is_fair, np.broadcast_to(is_fair, of_validation.shape)]),
        patients=[*(train[0].patient_ids[row] for row in rows), *first.validation.patient_ids],
        num_training=len(rows),
    )


def _counts_out_of_fold(train: Predictions, train_counts: np.ndarray) -> np.ndarray:
    """(N, C): for each training row the training examples of each code in the other folds. train_counts (C,)."""
    folds = folds_of_patients(train.patient_ids, train.manifest[FOLDS_KEY])
    targets = train.targets[:, : len(train_counts)]
    in_fold = np.stack([targets[folds == fold].sum(axis=0) for fold in range(folds.max() + 1)])
    counts: np.ndarray = train_counts - in_fold[folds]
    return counts


def _shares_of_sum(fitted: TreeFusion, known: FitRows) -> np.ndarray:
    """(P + 1,): of each part, and of the offsets, in the variance of the sum that the trees correct."""
    pairs = sample_pairs(known.targets)
    added = [
        fitted.fusion.part(number, scores[pairs.rows, pairs.columns]) for number, scores in enumerate(known.rows.scores)
    ]
    offsets = fitted.fusion.of_codes(known.rows.train_counts[pairs.rows, pairs.columns])
    return variance_shares(np.stack([*added, offsets], axis=1), pairs.weights)
