"""`mera fuse`: several runs of one task as one run, by weights that are fitted on the validation split.

Every run is read twice, one at a time, so the memory is that of a few score matrices, however many runs there are.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mera.evaluation.calibration import fit_platt
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, fair_candidates, group_numbers
from mera.evaluation.fusion import Fusion, Pairs, fit_fusion, patient_folds, sample_pairs, variance_shares
from mera.evaluation.metrics import f1, mean_average_precision
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.predictions import Predictions, read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.runs.validation_scores import FOLDER, read_validation
from mera.system.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A run that is fused."""

    run: str
    model: str
    validation: dict[str, float | None]
    """Its own figures there; those of a model that chose something by the validation split flatter it."""


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


def fuse_runs(paths: Sequence[str | Path], output: str | Path, name: str | None = None) -> Path:
    """Fuse the runs in `paths` into the run `output`; return it. `name`: what the report calls it.

    Its `predictions/` are scored by the fusion fitted on all validation rows; the rows of its `validation/` each by a
    fusion fitted without their patient, and by these the threshold, the calibration and the figures of the manifest
    come about, over the candidates by which validation may judge (`fair_candidates`). Raises UserError where there are
    fewer than two runs, one stands twice, a run has no validation predictions, or they are not of the same task, rows
    and candidates.
    """
    clock = RunClock()
    folders = [Path(path) for path in paths]
    _check_paths(folders, Path(output))
    validation, test = read_validation(folders[0]), read_predictions(folders[0])
    fitted = _fit(folders, validation, test)
    counts = validation.codes["train_count"].to_numpy()[: validation.num_candidates]

    groups = group_numbers(counts, FREQUENCY_GROUPS)
    offsets = np.stack([fold.offsets for fold in fitted.of_fold])
    validation_scores = offsets[fitted.fold_of_row[:, None], groups[None, :]].astype(np.float32)
    test_scores = np.tile(fitted.fusion.of_codes(counts).astype(np.float32), (len(test.example_ids), 1))
    for number, folder in enumerate(folders):
        scores = _candidate_scores(read_validation(folder))
        for fold, fusion in enumerate(fitted.of_fold):
            rows = fitted.fold_of_row == fold
            validation_scores[rows] += fusion.part(number, scores[rows])
        test_scores += fitted.fusion.part(number, _candidate_scores(read_predictions(folder)))

    fair = _fair(validation)
    targets, judged = validation.targets[:, fair], validation_scores[:, fair]
    threshold = best_threshold(judged, targets)
    run = RunDirectory(output)
    manifest = build_manifest(
        run=run.final.name,
        model=name or f"fusion of {', '.join(part.model for part in fitted.parts)}",
        kind="fusion",
        config={"parts": [part.run for part in fitted.parts]},
        seed=0,
        task=test.manifest["task"],
        clock=clock,
    ) | {
        "calibration": fit_platt(judged - threshold, targets),
        "fusion": _fusion_record(fitted, judged, threshold, targets),
    }
    of_validation = manifest | {"task": validation.manifest["task"]}
    write_predictions(run.path("predictions"), _fused(test, test_scores, threshold, manifest))
    write_predictions(run.path(FOLDER), _fused(validation, validation_scores, threshold, of_validation))
    return run.finish()


def _check_paths(folders: Sequence[Path], output: Path) -> None:
    if len(folders) < 2:
        raise UserError(f"a fusion needs two runs or more, got {len(folders)}")
    for number, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise UserError(f"{folder} is given twice; give each run once")
    if output.exists():
        raise UserError(f"{output} already exists; choose another --output or remove it")


def _fit(folders: Sequence[Path], validation: Predictions, test: Predictions) -> FittedRuns:
    """validation, test: of the first run, with which the others must agree."""
    fair = _fair(validation)
    targets = validation.targets[:, fair]
    pairs = sample_pairs(targets)
    columns = fair[pairs.columns]
    scores = np.empty((len(pairs.rows), len(folders)))
    parts = []
    for number, folder in enumerate(folders):
        own_validation, own_test = read_validation(folder), read_predictions(folder)
        _check_same(own_test, test, "test", folder, folders[0])
        _check_same(own_validation, validation, "validation", folder, folders[0])
        parts.append(
            Part(
                run=own_test.name,
                model=str(own_test.manifest.get("model", own_test.name)),
                validation=_figures(own_validation.scores[:, fair], own_validation.thresholds, targets),
            )
        )
        scores[:, number] = own_validation.scores[pairs.rows, columns]
    groups = group_numbers(validation.codes["train_count"].to_numpy()[columns], FREQUENCY_GROUPS)
    fold_of_row = patient_folds(validation.patient_ids, np.asarray(targets.any(axis=1)))
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


def _check_same(run: Predictions, first: Predictions, split: str, folder: Path, first_folder: Path) -> None:
    tasks = [predictions.manifest.get("task") or {} for predictions in (run, first)]
    if tasks[0].get("split") != split:
        raise UserError(f"{folder} has no predictions of the {split} split but of {tasks[0].get('split', 'none')}")
    if tasks[0].get("fingerprint") != tasks[1].get("fingerprint"):
        raise UserError(f"{folder} is a run of another task than {first_folder}; fuse runs of one prepared task")
    codes = [predictions.codes["code"][: predictions.num_candidates].to_list() for predictions in (run, first)]
    if codes[0] != codes[1]:
        raise UserError(
            f"{folder} has other candidates than {first_folder} ({len(codes[0]):,} and {len(codes[1]):,} codes); "
            "fuse runs of one prepared task"
        )
    if run.example_ids != first.example_ids or not np.array_equal(run.targets, first.targets):
        raise UserError(
            f"{folder} has other {split} rows than {first_folder} ({len(run.example_ids):,} and "
            f"{len(first.example_ids):,}); fuse runs of one prepared task"
        )


def _fair(validation: Predictions) -> np.ndarray:
    """Columns of the candidates by which validation may judge, ascending."""
    counts = validation.codes["train_count"].to_numpy()[: validation.num_candidates]
    rule = validation.manifest["task"].get("candidates_rule") or {}
    return np.flatnonzero(fair_candidates(counts, str(rule.get("name", ""))))


def _candidate_scores(run: Predictions) -> np.ndarray:
    return run.scores[:, : run.num_candidates]


def _figures(scores: np.ndarray, thresholds: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
    """scores (N, C), thresholds (N,) or NaN, targets (N, C) bool."""
    no_threshold = bool(np.isnan(thresholds).any())
    return {
        "mean_average_precision": mean_average_precision(scores, targets),
        "micro_f1": None if no_threshold else f1(scores > thresholds[:, None], targets, "micro"),
    }


def _fusion_record(
    fitted: FittedRuns, validation_scores: np.ndarray, threshold: float, targets: np.ndarray
) -> dict[str, object]:
    """What the manifest says: weights, offsets, shares, and the figures on validation, cross-fitted."""
    thresholds = np.full(len(targets), np.float32(threshold))
    return {
        "parts": [
            dataclasses.asdict(part)
            | {
                "weight": float(fitted.fusion.weights[number]),
                "weight_of_folds": [float(fold.weights[number]) for fold in fitted.of_fold],
                "share": float(fitted.shares[number]),
                "log_odds": dataclasses.asdict(fitted.fusion.calibrations[number]),
            }
            for number, part in enumerate(fitted.parts)
        ],
        "offsets": {
            label: float(offset) for (_, label), offset in zip(FREQUENCY_GROUPS, fitted.fusion.offsets, strict=True)
        },
        "offsets_share": float(fitted.shares[-1]),
        "validation": _figures(validation_scores, thresholds, targets),
        "validation_rows": len(targets),
        "folds": len(fitted.of_fold),
    }


def _fused(run: Predictions, scores: np.ndarray, threshold: float, manifest: Mapping[str, object]) -> Predictions:
    """`run` with other scores; codes that are no candidates stay at -inf."""
    wider = run.scores.copy()
    wider[:, : run.num_candidates] = scores
    thresholds = np.full(len(scores), threshold, dtype=np.float32)
    return dataclasses.replace(run, scores=wider, thresholds=thresholds, manifest={**manifest}, records={})
