"""The prediction folder: what a model hands to the report.

predictions/
  scores.npy         (N, C) float32, larger = more likely; columns in the order of codes.parquet
  examples.parquet   example_id, patient_id, targets, seen (codes in the history), threshold (null: none)
  codes.parquet      code, definition, train_count, one column per level: as in the prepared task
  manifest.json      what produced it (see mera/manifest.py)
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Scores of one model for one task's split. N examples, C candidate codes."""

    scores: np.ndarray
    """(N, C) float32."""
    targets: np.ndarray
    """(N, C) bool."""
    seen: np.ndarray
    """(N, C) bool: the code stands in the example's history."""
    thresholds: np.ndarray
    """(N,) float32; a code is predicted where its score is greater. NaN: the model sets no threshold."""
    example_ids: list[str]
    patient_ids: list[str]
    codes: pl.DataFrame
    """C rows, in column order."""
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return self.manifest["run"]

    @property
    def predicted(self) -> np.ndarray:
        """(N, C) bool, all False in rows without a threshold."""
        return self.scores > self.thresholds[:, None]


def write_predictions(folder: str | Path, predictions: Predictions) -> Path:
    """Write `folder`, complete or not at all; an existing folder of the same name is replaced."""
    folder = Path(folder)
    codes = predictions.codes["code"].to_list()
    if predictions.scores.shape != (len(predictions.example_ids), len(codes)):
        raise ValueError(
            f"scores have shape {predictions.scores.shape}, but there are {len(predictions.example_ids)} examples "
            f"and {len(codes)} codes"
        )
    if not np.isfinite(predictions.scores).all():
        raise ValueError("scores contain NaN or infinity; the model diverged, so nothing was written")
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    np.save(beside / "scores.npy", predictions.scores.astype(np.float32))
    predictions.codes.write_parquet(beside / "codes.parquet")
    thresholds = pl.Series(predictions.thresholds.astype(np.float32)).fill_nan(None)
    pl.DataFrame(
        {
            "example_id": predictions.example_ids,
            "patient_id": predictions.patient_ids,
            "targets": _code_lists(predictions.targets, codes),
            "seen": _code_lists(predictions.seen, codes),
            "threshold": thresholds,
        },
        schema_overrides={"targets": pl.List(pl.String), "seen": pl.List(pl.String), "threshold": pl.Float32},
    ).write_parquet(beside / "examples.parquet")
    (beside / "manifest.json").write_text(json.dumps(predictions.manifest, indent=2), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return folder


def read_predictions(path: str | Path) -> Predictions:
    """Read a prediction folder, or a run directory that holds one.

    Raises FileNotFoundError where neither is there, ValueError where scores and tables do not fit together.
    """
    path = Path(path)
    folder = path if (path / "scores.npy").is_file() else path / "predictions"
    if not (folder / "scores.npy").is_file():
        raise FileNotFoundError(f"no predictions in {path} (looked for {folder / 'scores.npy'})")
    scores = np.load(folder / "scores.npy")
    codes = pl.read_parquet(folder / "codes.parquet")
    examples = pl.read_parquet(folder / "examples.parquet")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if scores.shape != (examples.height, codes.height):
        raise ValueError(
            f"{folder} is damaged: scores.npy is {scores.shape}, examples.parquet has {examples.height} rows, "
            f"codes.parquet {codes.height}"
        )
    column = {code: index for index, code in enumerate(codes["code"])}
    return Predictions(
        scores=scores,
        targets=code_matrix(examples["targets"], column),
        seen=code_matrix(examples["seen"], column),
        thresholds=examples["threshold"].fill_null(float("nan")).to_numpy(),
        example_ids=examples["example_id"].to_list(),
        patient_ids=examples["patient_id"].to_list(),
        codes=codes,
        manifest=manifest,
    )


def predictions_for_task(
    task: Any, split: str, scores: np.ndarray, thresholds: np.ndarray | float | None, manifest: dict[str, Any]
) -> Predictions:
    """Predictions for `split` of a `data.task.Task`; `thresholds` per row, one for all, or None for no threshold."""
    rows = task.splits[split]
    if thresholds is None:
        thresholds = float("nan")
    return Predictions(
        scores=np.asarray(scores, dtype=np.float32),
        targets=task.targets(split),
        seen=task.seen(split),
        thresholds=np.broadcast_to(np.asarray(thresholds, dtype=np.float32), (len(rows),)),
        example_ids=list(rows["example_id"]),
        patient_ids=list(rows["patient_id"]),
        codes=task.code_table,
        manifest=manifest,
    )


def task_record(task: Any, split: str) -> dict[str, Any]:
    """What a manifest says of the `data.task.Task` that was scored; equal records are comparable runs."""
    return {
        "name": task.path.name,
        "kind": task.info["kind"],
        "fingerprint": task.fingerprint,
        "split": split,
        "protocol": task.info["protocol"]["name"],
    }


def code_matrix(rows: Sequence[Sequence[str]], column: dict[str, int]) -> np.ndarray:
    """(N, C) bool: True where the row holds the code. Raises KeyError on a code without a column."""
    matrix = np.zeros((len(rows), len(column)), dtype=bool)
    for index, row in enumerate(rows):
        matrix[index, [column[code] for code in row]] = True
    return matrix


def _code_lists(matrix: np.ndarray, codes: list[str]) -> list[list[str]]:
    return [[codes[column] for column in np.flatnonzero(row)] for row in matrix]
