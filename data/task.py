"""The prepared task: what `data` hands to every stage, as a folder on disk.

    prepared/<name>/
      train/ validation/ test/ dataset_dict.json   a Hugging Face DatasetDict (`save_to_disk`)
      codes.parquet                                the candidates, in column order
    other_codes.parquet                          codes of the rows that are no candidates, if there are any
      groups.parquet                               level, group, name: what each group is called
      task.json                                    provenance: source, protocol, counts, what was dropped and why

Reading a task needs no ontology package: definitions, synonyms, groups and their names are in the folder.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from data.folder_lock import FolderLock
from data.private_files import private_files
from data.task_rows import (
    check_codes,
    count_outside,
    count_targets,
    digest_table,
    num_without_target_among,
    rows_to_table,
)
from data.task_verification import digests_of, fingerprint_of, remember_verified, stamps_of, verify_task

LEVELS = ("all", "chapter", "block", "category", "subcategory")
SPLITS = ("train", "validation", "test")

FEATURES = datasets.Features(
    {
        "example_id": datasets.Value("string"),
        "patient_id": datasets.Value("string"),
        "age": datasets.Value("int32"),
        "sex": datasets.Value("string"),
        "history": datasets.List(
            {"codes": datasets.List(datasets.Value("string")), "days_before": datasets.Value("int32")}
        ),
        "text": datasets.Value("string"),
        "targets": datasets.List(datasets.Value("string")),
        "evidence": datasets.List(
            {
                "code": datasets.Value("string"),
                "start": datasets.Value("int32"),
                "end": datasets.Value("int32"),
            }
        ),
    }
)
"""One row = one example. `history`: visits, oldest first, `days_before` the target visit (null without dates);
`age` in years at the target visit and `sex` (`F`, `M`) may be null; `text`: the note, or null; `evidence`: character
spans `[start, end)` of `text` that support a code, empty where the source has none."""

PAST_NOTES_FEATURES = datasets.Features(
    {**FEATURES, "history": datasets.List({**FEATURES["history"].feature, "text": datasets.Value("string")})}
)
"""The same with the notes of past visits: each visit of `history` has its own `text`, the note or null."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A prepared task in memory. C candidate codes; all per-code lists are in column order."""

    path: Path
    splits: datasets.DatasetDict
    codes: list[str]
    definitions: list[str]
    synonyms: list[list[str]]
    train_counts: np.ndarray
    """(C,) int: training examples with the code among their targets."""
    code_table: pl.DataFrame
    """codes.parquet as read."""
    other_code_table: pl.DataFrame
    """other_codes.parquet as read: codes of the rows that are no candidates, with the same columns; perhaps empty."""
    group_names: dict[str, dict[str, str]]
    """level -> group -> its name."""
    info: dict[str, Any]
    """task.json as read."""

    @property
    def fingerprint(self) -> str:
        return self.info["fingerprint"]

    @property
    def candidates_rule(self) -> dict[str, Any]:
        """How the candidates were chosen: `name` (train, ontology, all, file, source), and `file`."""
        return self.info.get("candidates_rule", {"name": "all"})

    @property
    def has_past_notes(self) -> bool:
        """Whether the visits of a history come with their notes."""
        return _has_past_notes(self.splits[SPLITS[0]].features)

    @property
    def column(self) -> dict[str, int]:
        return {code: index for index, code in enumerate(self.codes)}

    @property
    def all_definitions(self) -> dict[str, str]:
        """code -> definition, of the candidates and the other codes of the rows."""
        tables = (self.code_table, self.other_code_table)
        return {code: text for table in tables for code, text in table.select("code", "definition").iter_rows()}

    def definition(self, code: str) -> str:
        """The definition of a candidate or another code of the rows. Raises KeyError on any other."""
        for table in (self.code_table, self.other_code_table):
            found = table.filter(pl.col("code") == code)["definition"]
            if len(found):
                return found[0]
        raise KeyError(code)

    def groups(self, level: str) -> list[str]:
        """The group of each candidate at `level`."""
        if level not in LEVELS:
            raise ValueError(f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
        return self.code_table[level].to_list()

    def group_ids(self, levels: Sequence[str]) -> np.ndarray:
        """(L, C) int64: at each level, codes with the same number are in the same group."""
        return np.stack([np.unique(self.groups(level), return_inverse=True)[1] for level in levels]).astype(np.int64)

    def target_columns(self, split: str) -> list[list[int]]:
        """For each example the columns of the candidates among its targets, in their order; other codes have none."""
        column = self.column
        return [[column[code] for code in codes if code in column] for codes in self.splits[split]["targets"]]

    def outside_sentence(self, split: str) -> str | None:
        """How many true codes of a split are no candidates, and what becomes of them; None where there are none."""
        outside, counts = self.info.get("outside_candidates", {}).get(split), self.info["counts"][split]
        if outside is None or not outside["targets"]:
            return None
        return (
            f"{split}: {outside['targets']:,} of {counts['targets']:,} true codes ({outside['codes']:,} different), in "
            f"{outside['examples']:,} of {counts['examples']:,} examples, are no candidates and "
            + ("not trained on" if split == "train" else "count as missed")
        )

    def targets(self, split: str) -> np.ndarray:
        """(N, C) bool: the candidates to predict. A row's `targets` may hold more: codes that are no candidates."""
        return self._code_matrix(self.splits[split]["targets"])

    def seen(self, split: str) -> np.ndarray:
        """(N, C) bool: the candidates that stand in the history."""
        return self._code_matrix(
            [[code for visit in history for code in visit["codes"]] for history in self.splits[split]["history"]]
        )

    def _code_matrix(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        column = self.column
        matrix = np.zeros((len(rows), len(self.codes)), dtype=bool)
        for index, row in enumerate(rows):
            matrix[index, [column[code] for code in row if code in column]] = True
        return matrix


def save_task(
    path: str | Path,
    splits: Mapping[str, pa.Table | Iterable[Mapping[str, Any]]],
    codes: pl.DataFrame,
    groups: pl.DataFrame,
    info: dict[str, Any],
    arrays: Mapping[str, np.ndarray] | None = None,
    features: datasets.Features = FEATURES,
    other_codes: pl.DataFrame | None = None,
) -> Task:
    """Write a prepared task, complete or not at all, readable by its owner alone, and return it as read back.

    `splits`: for each of SPLITS rows as in `features` (FEATURES or PAST_NOTES_FEATURES), or a table of them. `codes`:
    code, definition, synonyms, and one column per level; `train_count` is added here. `groups`: level, group, name.
    `info`: becomes task.json, with `fingerprint`, `counts`, `candidates` and `outside_candidates` added here. `arrays`:
    file name (`oracle.npy`) -> an array to keep in the folder. `other_codes`: the codes of the rows that are no
    candidates, with the columns of `codes`. Raises ValueError where `path` exists, a split is empty, a patient is in
    two splits, a code of the rows has no row in `codes` or `other_codes`, or there is no candidate to predict in a
    training example or in all of validation.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path} already exists; choose another --output or remove it")
    if set(splits) != set(SPLITS):
        raise ValueError(f"a task has the splits {', '.join(SPLITS)}; got {', '.join(sorted(splits))}")
    tables = {name: as_table(splits[name], features=features) for name in SPLITS}
    others = codes.clear() if other_codes is None else other_codes
    candidates = codes["code"].to_list()
    _check_splits(tables, candidates, others["code"].to_list())
    codes, others = (
        part.with_columns(pl.Series("train_count", count_targets(tables["train"], part["code"].to_list())))
        for part in (codes, others)
    )
    digests = {name: digest_table(table) for name, table in tables.items()}
    info = {
        **info,
        "candidates": codes.height,
        "counts": {name: _split_counts(table) for name, table in tables.items()},
        "outside_candidates": {name: count_outside(table, candidates) for name, table in tables.items()},
        "fingerprint": fingerprint_of(digests, codes, others),
    }
    lock = lock_task(path)
    beside = lock.folder
    try:
        lock.clear()
        with private_files():
            _write_parts(beside, tables, features, digests, codes, others, groups, arrays or {})
            info["digests"] = digests_of(beside, digests, info)
            (beside / "task.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, path)
        remember_verified(path, stamps_of(path))
        lock.release(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        lock.release()
        raise
    return load_task(path)


def lock_task(path: str | Path) -> FolderLock:
    """The place beside `path` where `save_task` writes it, for this process alone. Raises ValueError where another one
    is making the same task."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with private_files():
        return FolderLock(path.with_name(f".{path.name}.partial"))


def as_table(
    rows: pa.Table | Iterable[Mapping[str, Any]], on_disk: bool = False, features: datasets.Features = FEATURES
) -> pa.Table:
    """Rows as in `features` as one table, in a nameless file where `on_disk` says so; a table stays as it is."""
    return rows if isinstance(rows, pa.Table) else rows_to_table(rows, features.arrow_schema, on_disk)


def load_task(path: str | Path) -> Task:
    """Read a prepared task.

    Raises FileNotFoundError where `path` holds none, ValueError where a file cannot be read, a patient is in two
    splits, only some splits have the notes of past visits, or anything was changed since the task was made.
    """
    path = Path(path)
    if not (path / "task.json").is_file():
        raise FileNotFoundError(f"no prepared task in {path} (task.json is missing); make one with `mera prepare`")
    with _damaged(path, "task.json"):
        info = json.loads((path / "task.json").read_text(encoding="utf-8"))
        missing = {"fingerprint", "counts"} - set(info)
    if missing:
        raise ValueError(f"{path / 'task.json'} lacks {' and '.join(sorted(missing))}; prepare the task again")
    with _damaged(path, "a split"):
        splits = datasets.load_from_disk(str(path))
        tables = {name: splits[name].data.table for name in SPLITS}
    with _damaged(path, "codes.parquet"):
        table = pl.read_parquet(path / "codes.parquet")
    others = table.clear()
    if (path / "other_codes.parquet").is_file():
        with _damaged(path, "other_codes.parquet"):
            others = pl.read_parquet(path / "other_codes.parquet")
    with _damaged(path, "groups.parquet"):
        groups = pl.read_parquet(path / "groups.parquet")
    _check_patients({name: _patient_ids(splits[name].data.column("patient_id")) for name in SPLITS})
    if len({_has_past_notes(splits[name].features) for name in SPLITS}) > 1:
        raise ValueError(f"in {path} only some splits have notes of past visits; prepare the task again")
    verify_task(path, tables, table, others, info)
    names: dict[str, dict[str, str]] = {level: {} for level in LEVELS}
    for level, group, name in groups.select("level", "group", "name").iter_rows():
        names[level][group] = name
    return Task(
        path=path,
        splits=splits,
        codes=table["code"].to_list(),
        definitions=table["definition"].to_list(),
        synonyms=table["synonyms"].to_list(),
        train_counts=table["train_count"].to_numpy(),
        code_table=table,
        other_code_table=others,
        group_names=names,
        info=info,
    )


@contextmanager
def _damaged(path: Path, part: str) -> Iterator[None]:
    """Raise ValueError where the block cannot read its part of the task; libraries' words may quote a row."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException, pl.exceptions.PolarsError):
        raise ValueError(
            f"the task in {path} is damaged or incomplete: {part} cannot be read; prepare it again"
        ) from None


def _write_parts(
    folder: Path,
    tables: Mapping[str, pa.Table],
    features: datasets.Features,
    digests: Mapping[str, str],
    codes: pl.DataFrame,
    others: pl.DataFrame,
    groups: pl.DataFrame,
    arrays: Mapping[str, np.ndarray],
) -> None:
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


def _check_splits(tables: Mapping[str, pa.Table], candidates: Sequence[str], others: Sequence[str]) -> None:
    for name, table in tables.items():
        if not table.num_rows:
            raise ValueError(f"the {name} split is empty: too few patients are left after filtering")
    _check_patients({name: _patient_ids(table["patient_id"]) for name, table in tables.items()})
    assert set(candidates).isdisjoint(others), "a candidate is no other code"
    for name, table in tables.items():
        check_codes(name, table, {*candidates, *others})
    without = {name: num_without_target_among(tables[name], candidates) for name in ("train", "validation")}
    if without["train"]:
        raise ValueError(f"{without['train']} examples of the train split have no candidate among their targets")
    if without["validation"] == tables["validation"].num_rows:
        raise ValueError("no example of the validation split has a candidate among its targets: nothing can be chosen")


def _has_past_notes(features: datasets.Features) -> bool:
    return "text" in features["history"].feature


def _check_patients(patients: Mapping[str, set[str]]) -> None:
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = len(patients[first] & patients[second])
        if shared:
            raise ValueError(f"{shared} patients are in both {first} and {second}; a patient belongs to one split")


def _patient_ids(column: pa.ChunkedArray) -> set[str]:
    return set(column.unique().to_pylist())


def _split_counts(table: pa.Table) -> dict[str, int]:
    return {
        "examples": table.num_rows,
        "patients": len(_patient_ids(table["patient_id"])),
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
