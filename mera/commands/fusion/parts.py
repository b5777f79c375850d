"""The runs that are fused: whether they are of one task, and what each is worth alone."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, fair_candidates
from mera.evaluation.fusion import Fusion
from mera.evaluation.fusion_trees import TreeFusion
from mera.evaluation.metrics import f1, mean_average_precision
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import Predictions, check_unseen, read_predictions
from mera.system.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A run that is fused."""

    run: str
    model: str
    validation: dict[str, float | None]
    """Its own figures there; those of a model that chose something by the validation split flatter it."""
    over_threshold: bool
    """Whether what is fused is by how much a score is above the threshold (`has_thresholds_of_rows`)."""
    refitted: bool
    """Whether test was scored by a model that was fitted again on validation too."""


class Splits(NamedTuple):
    """Of the first run, with which the others must agree."""

    folder: Path
    validation: Predictions
    test: Predictions

    @property
    def train_counts(self) -> np.ndarray:
        """(C,) int, of the candidates."""
        counts: np.ndarray = self.validation.codes["train_count"].to_numpy()[: self.validation.num_candidates]
        return counts

    @property
    def fair(self) -> np.ndarray:
        """Columns of the candidates by which validation may judge, ascending."""
        rule = self.validation.manifest["task"].get("candidates_rule") or {}
        return np.flatnonzero(fair_candidates(self.train_counts, str(rule.get("name", ""))))


class Fused(NamedTuple):
    """Scores (N, C) of both splits over the candidates, by what, of what, and what else the manifest says of them."""

    validation: np.ndarray
    """Cross-fitted: each row by a fusion that was fitted without its patient."""
    test: np.ndarray
    fusion: Fusion
    """What scored test."""
    trees: TreeFusion | None
    """With what corrects it, where there are trees."""
    parts: list[Part]
    record: dict[str, object]


def check_paths(folders: Sequence[Path], output: Path) -> None:
    if len(folders) < 2:
        raise UserError(f"a fusion needs two runs or more, got {len(folders)}")
    for number, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise UserError(f"{folder} is given twice; give each run once")
    if output.exists():
        raise UserError(f"{output} already exists; choose another --output or remove it")


def each_part(folders: Sequence[Path], first: Splits) -> Iterator[tuple[Part, np.ndarray]]:
    """Each run with what is fused of its validation split, (N, C). Raises UserError where it does not agree with the
    first, or has learnt from patients whom it was scored on."""
    targets = first.validation.targets[:, first.fair]
    for folder in folders:
        validation, test = read_validation(folder), read_predictions(folder)
        check_same(test, first.test, "test", folder, first.folder)
        check_same(validation, first.validation, "validation", folder, first.folder)
        check_unseen(test)
        check_unseen(validation)
        model = str(test.manifest.get("model", test.name))
        alone = figures(validation.scores[:, first.fair], validation.thresholds, targets)
        over_threshold = has_thresholds_of_rows(validation)
        yield (
            Part(
                run=test.name,
                model=model,
                validation=alone,
                over_threshold=over_threshold,
                refitted=bool(test.manifest.get("refitted")),
            ),
            candidate_scores(validation, over_threshold),
        )


def check_same(run: Predictions, first: Predictions, split: str, folder: Path, first_folder: Path) -> None:
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


def has_thresholds_of_rows(run: Predictions) -> bool:
    """Whether each row has a threshold of its own, as EOV gives it. All scores of a row may then be higher than those
    of another and mean the same, and the threshold says how many codes there are to expect."""
    return bool(np.isfinite(run.thresholds).all() and np.ptp(run.thresholds) > 0)


def candidate_scores(run: Predictions, over_threshold: bool) -> np.ndarray:
    """(N, C) float32: scores, or how far they are above the threshold of their row."""
    scores = run.scores[:, : run.num_candidates]
    return scores - run.thresholds[:, None] if over_threshold else scores


def figures(scores: np.ndarray, thresholds: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
    """scores (N, C), thresholds (N,) or NaN, targets (N, C) bool."""
    no_threshold = bool(np.isnan(thresholds).any())
    return {
        "mean_average_precision": mean_average_precision(scores, targets),
        "micro_f1": None if no_threshold else f1(scores > thresholds[:, None], targets, "micro"),
    }


def part_records(parts: Sequence[Part], fusion: Fusion, shares: np.ndarray) -> list[dict[str, object]]:
    """Each part in a weighted sum; shares (P + 1,): of the parts, and of the offsets, in the variance of the sum."""
    return [
        dataclasses.asdict(part)
        | {
            "weight": float(fusion.weights[number]),
            "share": float(shares[number]),
            "log_odds": dataclasses.asdict(fusion.calibrations[number]),
        }
        for number, part in enumerate(parts)
    ]


def offsets_record(fusion: Fusion, shares: np.ndarray) -> dict[str, object]:
    """Of a weighted sum; shares as `part_records` has them."""
    offsets = {label: float(offset) for (_, label), offset in zip(FREQUENCY_GROUPS, fusion.offsets, strict=True)}
    return {"offsets": offsets, "offsets_share": float(shares[-1])}
