"""The first pass that a verifier reads after: a finished run of the same task, with all three splits scored.

    RUN/train/        out of fold (mera/runs/other_splits/train_scores.py)
    RUN/validation/   as predictions/
    RUN/predictions/  the test split

Each is a prediction folder, so any model can be a first pass. Its scores become log-odds on one scale, by Platt's
sigmoid on validation, and each example's candidates are its K best codes. N examples, C codes, K candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.task import Task
from data.task_folder.features import TaskRow
from mera.evaluation.calibration import fit_platt
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.other_splits.train_scores import read_train
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import Predictions, read_predictions
from mera.system.errors import UserError

FOLDERS = {"train": "train", "validation": "validation", "test": "predictions"}
"""Split -> the folder of a run with its scores."""
READERS: dict[str, Callable[[Path], Predictions]] = {
    "train": read_train,
    "validation": read_validation,
    "test": read_predictions,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LogOddsScale:
    """log-odds = slope * (score - threshold) + intercept, the threshold being the row's own or `threshold`."""

    slope: float
    intercept: float
    """the log-odds of a code at the threshold: where the verifier's EOV starts"""
    threshold: float | None
    """of all rows, where the first pass sets none itself"""

    @classmethod
    def fit(cls, validation: Predictions, path: Path) -> "LogOddsScale":
        """Raises UserError where the first pass ranks no better than chance."""
        candidates = slice(0, validation.num_candidates)
        scores, targets = validation.scores[:, candidates], validation.targets[:, candidates]
        own = np.isfinite(validation.thresholds).all()
        threshold = None if own else best_threshold(scores, targets)
        margins = scores - (validation.thresholds if threshold is None else np.float32(threshold)).reshape(-1, 1)
        fitted = fit_platt(margins, targets)
        if fitted is None or fitted["slope"] <= 0:
            raise UserError(f"the first pass {path} ranks validation no better than chance; choose another run")
        return cls(threshold=threshold, **fitted)

    def __call__(self, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """(N, C) float32; scores (N, C), thresholds (N,)."""
        cut = thresholds if self.threshold is None else np.full(len(scores), self.threshold, dtype=np.float32)
        log_odds: np.ndarray = self.slope * (scores - cut[:, None]) + self.intercept
        return log_odds.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the first pass says of some examples."""

    log_odds: np.ndarray
    """(N, C) float32"""
    columns: np.ndarray
    """(N, K) int: the K best codes of each example, best first"""

    def __len__(self) -> int:
        return len(self.columns)


class FirstPass:
    """A run as a first pass for `task`: `candidates(split, rows)` gives the candidates of rows of one of its splits."""

    def __init__(self, path: str | Path, task: Task, num_candidates: int, scale: LogOddsScale | None = None):
        """`scale`: that of a trained verifier; None: fit it on validation.

        Raises UserError where the run is one of another task or a split has no scores, or where `num_candidates` is
        more than the task has codes.
        """
        self.path, self.num_candidates = Path(path), num_candidates
        self._codes, self._fingerprint, self._task_path = task.codes, task.fingerprint, task.path
        if num_candidates > len(task.codes):
            raise UserError(
                f"verification.num_candidates is {num_candidates}, but {task.path} has {len(task.codes)} codes; set it "
                f"to at most that"
            )
        self._read: dict[str, tuple[Predictions, dict[str, int]]] = {}
        self.scale = scale or LogOddsScale.fit(self._predictions("validation")[0], self.path)

    def candidates(self, split: str, rows: Sequence[TaskRow]) -> Candidates:
        """Those of `rows`, which have an `example_id`. Raises UserError where the run does not hold a row, or has no
        candidate for it."""
        predictions, place = self._predictions(split)
        unknown = [number for number, row in enumerate(rows, start=1) if row["example_id"] not in place]
        if unknown:
            raise UserError(
                f"{self.path / FOLDERS[split]} has no scores for {len(unknown)} of the {len(rows)} examples of {split} "
                f"(the first: row {unknown[0]}); it was made from another task"
            )
        places = np.array([place[row["example_id"]] for row in rows], dtype=np.int64)
        scores = predictions.scores[places, : predictions.num_candidates]
        empty = np.flatnonzero(~np.isfinite(scores).all(axis=1) | (np.ptp(scores, axis=1) == 0))
        if len(empty):
            raise UserError(
                f"{self.path / FOLDERS[split]} has no candidate for {len(empty)} examples of {split} (the first: row "
                f"{empty[0] + 1}): it gives all codes the same score; use a first pass that ranks them, such as BM25 "
                f"with its prior"
            )
        columns = np.argsort(-scores, axis=1, kind="stable")[:, : self.num_candidates]
        return Candidates(self.scale(scores, predictions.thresholds[places]), columns)

    def sentence(self, split: str, candidates: Candidates, targets: np.ndarray) -> str:
        """How many true codes are among the candidates of a split; targets (N, C) bool."""
        reached = int(np.take_along_axis(targets, candidates.columns, axis=1).sum())
        return (
            f"{split}: {reached:,} of {int(targets.sum()):,} true codes are among the best {self.num_candidates} of "
            f"{self.path}; the others are not verified and count as missed"
        )

    def record(self) -> dict[str, object]:
        """What a manifest says of it."""
        manifest = self._predictions("test")[0].manifest
        return {
            "run": manifest["run"],
            "model": manifest.get("model"),
            "num_candidates": self.num_candidates,
            "scale": asdict(self.scale),
        }

    def _predictions(self, split: str) -> tuple[Predictions, dict[str, int]]:
        """A split's predictions, and the row of each example. Raises UserError where they are not of this task."""
        if split in self._read:
            return self._read[split]
        folder = self.path / FOLDERS[split]
        predictions = READERS[split](self.path)
        of_task = predictions.manifest.get("task", {})
        if of_task.get("fingerprint") != self._fingerprint:
            raise UserError(
                f"{folder} is of another task than {self._task_path} (their fingerprints differ); give a first pass of "
                f"this task"
            )
        if of_task.get("split") != split:
            raise UserError(
                f"{folder} holds the split {of_task.get('split')}, not {split}; give a run as it was written"
            )
        if predictions.codes["code"][: predictions.num_candidates].to_list() != self._codes:
            raise UserError(f"{folder} ranks other codes than {self._task_path} has; give a first pass of this task")
        place = {example_id: row for row, example_id in enumerate(predictions.example_ids)}
        self._read[split] = predictions, place
        return self._read[split]
