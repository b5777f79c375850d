"""The files of a prepared task, written and checked; `data.task` puts them together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from data.task_folder.features import SPLITS
from data.task_folder.task_info import SplitCounts
from data.task_folder.task_rows import check_codes, num_without_target_among
from mera.system.errors import UserError


def write_parts(
    folder: Path,
    tables: Mapping[str, pa.Table],
    features: datasets.Features,
    digests: Mapping[str, str],
    codes: pl.DataFrame,
    others: pl.DataFrame,
    groups: pl.DataFrame,
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write the files of a task but task.json into `folder`."""
    # `datasets` would draw its fingerprint at random, and no two runs would write the same bytes.
    dataset = datasets.DatasetDict(
        {
            name: datasets.Dataset(
                datasets.table.InMemoryTable(tables[name]),
                info=datasets.DatasetInfo(features=features),
                fingerprint=digests[name][:16],
            )
            for name in SPLITS
        }
    )
    with _no_progress_bars():
        dataset.save_to_disk(str(folder))
    codes.write_parquet(folder / "codes.parquet")
    if others.height:
        others.write_parquet(folder / "other_codes.parquet")
    groups.write_parquet(folder / "groups.parquet")
    for name, array in arrays.items():
        np.save(folder / name, array)


def check_splits(tables: Mapping[str, pa.Table], candidates: Sequence[str], others: Sequence[str]) -> None:
    """Raise UserError where a split is empty, a patient is in two, or train or validation has nothing to predict."""
    for name, table in tables.items():
        if not table.num_rows:
            raise UserError(f"the {name} split is empty: too few patients are left after filtering")
    check_patients({name: table["patient_id"] for name, table in tables.items()})
    assert set(candidates).isdisjoint(others), "a candidate is no other code"
    for name, table in tables.items():
        check_codes(name, table, {*candidates, *others})
    without = {name: num_without_target_among(tables[name], candidates) for name in ("train", "validation")}
    if without["train"]:
        raise UserError(f"{without['train']} examples of the train split have no candidate among their targets")
    if without["validation"] == tables["validation"].num_rows:
        raise UserError("no example of the validation split has a candidate among its targets: nothing can be chosen")


def check_patients(patient_ids: Mapping[str, pa.ChunkedArray]) -> None:
    """Raise UserError where a patient is in two splits."""
    distinct = {name: pl.DataFrame({"id": pl.from_arrow(column)}).unique() for name, column in patient_ids.items()}
    for first, second in combinations(SPLITS, 2):
        shared = distinct[second].join(distinct[first], on="id", how="semi").height
        if shared:
            raise UserError(f"{shared} patients are in both {first} and {second}; a patient belongs to one split")


def split_counts(table: pa.Table) -> SplitCounts:
    """Numbers of examples, patients and targets."""
    return {
        "examples": table.num_rows,
        "patients": pc.count_distinct(table["patient_id"]).as_py(),
        "targets": pc.sum(pc.list_value_length(table["targets"])).as_py(),
    }


class _no_progress_bars:
    """Silence `datasets` for writes that take a moment, and leave its setting as it was."""

    def __enter__(self) -> None:
        self._enabled = datasets.is_progress_bar_enabled() if hasattr(datasets, "is_progress_bar_enabled") else True
        datasets.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            datasets.enable_progress_bars()


def optional_table(path: Path, name: str, empty: pl.DataFrame) -> pl.DataFrame:
    """A table of the task in `path`; `empty` where it has none."""
    if not (path / name).is_file():
        return empty
    with damaged(path, name):
        return pl.read_parquet(path / name)


@contextmanager
def damaged(path: Path, part: str) -> Iterator[None]:
    """Raise UserError where the block cannot read its part of the task; libraries' words may quote a row."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException, pl.exceptions.PolarsError):
        raise UserError(
            f"the task in {path} is damaged or incomplete: {part} cannot be read; prepare it again"
        ) from None
