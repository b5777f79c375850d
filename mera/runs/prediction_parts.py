"""The files of a prediction folder, read one by one: what is damaged is named by file and row, never by its content."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mera.evaluation.metrics import as_floats
from mera.system.errors import UserError

EXAMPLE_COLUMNS = ("example_id", "patient_id", "targets", "seen", "threshold")
RULE_COLUMNS = ("kind", "node", "text", "subjects", "objects")
BLOCK_ELEMENTS = 8_000_000
"""Scores looked at at once."""
WRITE_AGAIN = "write the predictions again"


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """`mapped`: left on disk and read where it is used. Raises UserError where the file is no array, is cut off, or
    would need a pickle.
    """
    try:
        return np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except (ValueError, EOFError) as error:
        if "allow_pickle" in str(error):
            raise UserError(f"{path} is damaged, or holds a pickle (allow_pickle=False); {WRITE_AGAIN}") from None
        raise UserError(f"{path} is damaged: it cannot be read as a NumPy array; {WRITE_AGAIN}") from None


def read_scores(path: Path, mapped: bool = False) -> np.ndarray:
    """(N, C), as `read_array`; whole numbers as floats."""
    return as_floats(read_array(path, mapped))


def read_examples(path: Path) -> pl.DataFrame:
    """As `read_table`. Raises UserError where a row has no patient or no id of its own."""
    examples = read_table(path, EXAMPLE_COLUMNS)
    for name in ("example_id", "patient_id"):
        unknown = examples[name].null_count()
        if unknown:
            raise UserError(f"{path} has no {name} in {unknown:,} of {examples.height:,} rows; {WRITE_AGAIN}")
    repeated = examples.height - examples["example_id"].n_unique()
    if repeated:
        raise UserError(
            f"{path}: {repeated:,} of {examples.height:,} rows repeat the example_id of another row, so that an "
            f"example would count more than once; {WRITE_AGAIN}"
        )
    return examples


def read_table(path: Path, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Raises UserError where the file is no Parquet, or lacks one of `columns`; FileNotFoundError where it is gone."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {WRITE_AGAIN}")
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise UserError(f"{path} is damaged: it cannot be read as Parquet; {WRITE_AGAIN}") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; {WRITE_AGAIN}")
    return table


def read_json(path: Path) -> Any:
    """Raises UserError where the file is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is damaged: it cannot be read as JSON; {WRITE_AGAIN}") from None


def check_finite(scores: np.ndarray, path: Path, may_be_missing: bool = False) -> None:
    """Raise UserError where a score of (N, C) is NaN or infinite; with `may_be_missing` -inf says that a code was no
    candidate, and a row of nothing else is refused.
    """
    if scores.dtype.kind != "f":
        raise UserError(f"{path} holds no numbers but {scores.dtype}; {WRITE_AGAIN}")
    usable = [np.empty(0, dtype=bool)]
    rows_at_once = max(1, BLOCK_ELEMENTS // max(1, scores.shape[1]))
    for start in range(0, len(scores), rows_at_once):
        block = scores[start : start + rows_at_once]
        numbers = np.isfinite(block)
        if may_be_missing:
            numbers |= np.isneginf(block) & numbers.any(axis=1, keepdims=True)
        usable.append(numbers.all(axis=1))
    rows = np.flatnonzero(~np.concatenate(usable))
    if len(rows):
        raise UserError(
            f"{path} holds NaN or infinity in {len(rows)} of {len(scores)} rows (the first: row {rows[0] + 1}), which "
            f"cannot be ranked; look for a model that diverged, and {WRITE_AGAIN}"
        )


def check_codes_known(examples: pl.DataFrame, codes: Collection[str], path: Path) -> None:
    """Raise UserError where `targets` or `seen` is missing in a row, or holds a code that is not among `codes`."""
    for name in ("targets", "seen"):
        if examples[name].dtype != pl.List(pl.String):
            raise UserError(f"{path}: column {name} holds no lists of codes; {WRITE_AGAIN}")
        for number, row in enumerate(examples[name].to_list(), start=1):
            if row is None or not all(code in codes for code in row):
                what = "no list" if row is None else "a code that is not among the run's codes"
                raise UserError(f"{path}: row {number} holds {what} in {name}; {WRITE_AGAIN}")


def with_outside(scores: np.ndarray, num_outside: int) -> np.ndarray:
    """(N, C) -> (N, C + num_outside) float32, -inf in the new columns; the scores are held once."""
    wider = np.full((len(scores), scores.shape[1] + num_outside), -np.inf, dtype=np.float32)
    wider[:, : scores.shape[1]] = scores
    return wider


def target_train_counts(examples: pl.DataFrame) -> np.ndarray | None:
    if "target_train_counts" not in examples.columns:
        return None
    return examples["target_train_counts"].explode().drop_nulls().to_numpy()
