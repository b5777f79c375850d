"""Runs as a weighted sum of their log-odds, fitted on the validation split.

Every run is read twice, one at a time, so the memory is that of a few score matrices, however many runs there are.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mera.commands.fusion.parts import Fused, Part, Splits, candidate_scores, each_part, offsets_record, part_records
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, group_numbers
from mera.evaluation.fusion import Fusion, Pairs, fit_fusion, patient_folds, sample_pairs, variance_shares
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FittedRuns:
    """N rows of validation, P parts."""

    parts: list[Part]
    fold_of_row: np.ndarray
    """(N,) int."""
    of_fold: list[Fusion]
    """Fitted on all rows but those of the fold."""
    fusion: Fusion
    """Fitted on all rows."""
    shares: np.ndarray
    """(P + 1,): of each part, and of the offsets, in the variance of the fused score."""


def fuse_by_sum(folders: Sequence[Path], first: Splits) -> Fused:
    """Raises UserError where a run does not agree with the first."""
    fitted = _fit(folders, first)
    groups = group_numbers(first.train_counts, FREQUENCY_GROUPS)
    offsets = np.stack([fold.offsets for fold in fitted.of_fold])
    validation = offsets[fitted.fold_of_row[:, None], groups[None, :]].astype(np.float32)
    test = np.tile(fitted.fusion.of_codes(first.train_counts).astype(np.float32), (len(first.test.example_ids), 1))
    for number, folder in enumerate(folders):
        over_threshold = fitted.parts[number].over_threshold
        scores = candidate_scores(read_validation(folder), over_threshold)
        for fold, fusion in enumerate(fitted.of_fold):
            rows = fitted.fold_of_row == fold
            validation[rows] += fusion.part(number, scores[rows]).astype(np.float32)
        of_test = candidate_scores(read_predictions(folder), over_threshold)
        test += fitted.fusion.part(number, of_test).astype(np.float32)
    return Fused(validation, test, fitted.fusion, None, fitted.parts, _record(fitted))


def _fit(folders: Sequence[Path], first: Splits) -> FittedRuns:
    fair, targets = first.fair, first.validation.targets[:, first.fair]
    pairs = sample_pairs(targets)
    columns = fair[pairs.columns]
    scores = np.empty((len(pairs.rows), len(folders)))
    parts = []
    for number, (part, validation) in enumerate(each_part(folders, first)):
        parts.append(part)
        scores[:, number] = validation[pairs.rows, columns]
    groups = group_numbers(first.train_counts[columns], FREQUENCY_GROUPS)
    fold_of_row = patient_folds(first.validation.patient_ids, np.asarray(targets.any(axis=1)))
    fold_of_pair = fold_of_row[pairs.rows]
    of_fold = [_fit_rows(fold_of_pair != fold, scores, pairs, groups) for fold in range(fold_of_row.max() + 1)]
    fusion = _fit_rows(np.ones(len(scores), dtype=bool), scores, pairs, groups)
    contributions = [fusion.part(number, scores[:, number]) for number in range(len(folders))]
    return FittedRuns(
        parts=parts,
        fold_of_row=fold_of_row,
        of_fold=of_fold,
        fusion=fusion,
        shares=variance_shares(np.stack([*contributions, fusion.offsets[groups]], axis=1), pairs.weights),
    )


def _fit_rows(chosen: np.ndarray, scores: np.ndarray, pairs: Pairs, groups: np.ndarray) -> Fusion:
    """chosen (M,) bool."""
    return fit_fusion(scores[chosen], pairs.true[chosen], pairs.weights[chosen], groups[chosen])


def _record(fitted: FittedRuns) -> dict[str, object]:
    """Weights, offsets and shares."""
    return {
        "parts": [
            record | {"weight_of_folds": [float(fold.weights[number]) for fold in fitted.of_fold]}
            for number, record in enumerate(part_records(fitted.parts, fitted.fusion, fitted.shares))
        ],
        **offsets_record(fitted.fusion, fitted.shares),
        "folds": len(fitted.of_fold),
    }
