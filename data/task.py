"""The prepared task: what `data` hands to every stage, as a folder on disk.

    prepared/<name>/
      train/ validation/ test/ dataset_dict.json   a Hugging Face DatasetDict (`save_to_disk`)
      codes.parquet                                the candidates, in column order
      other_codes.parquet                          codes of the rows that are no candidates, if there are any
      groups.parquet                               level, group, name: what each group is called
      terms.parquet                                further names of the candidates, where there was a code book
      rules.parquet                                which candidates the edition's notes forbid or ask for together
      translations.parquet                         names in two languages, where the code book had some
      events.parquet                               procedures, drugs and labs that the histories hold, where asked for
      oracle.npy                                   true probabilities of the test split, where the source knows them
      task.json                                    provenance: source, protocol, counts, what was dropped and why

Reading a task needs no ontology package: definitions, synonyms, groups and their names are in the folder.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow as pa

from data.editions.edition import LEVELS
from data.task_folder.book_parts import read_book_parts, terms_of_codes, write_book_parts
from data.task_folder.event_parts import EVENT_SCHEMA, counted_events
from data.task_folder.features import FEATURES, PAST_NOTES_FEATURES, SPLITS, TaskRow, has_events, has_past_notes
from data.task_folder.parts import (
    check_patients,
    check_splits,
    damaged,
    optional_table,
    split_counts,
    write_parts,
)
from data.task_folder.task_info import CandidatesRule, TaskInfo
from data.task_folder.task_rows import count_outside, count_targets, digest_table, rows_to_table
from data.task_folder.task_verification import digests_of, fingerprint_of, remember_verified, stamps_of, verify_task
from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock
from mera.system.private_files import private_files
from mera.system.terminal import as_json

__all__ = [
    "FEATURES",
    "LEVELS",
    "PAST_NOTES_FEATURES",
    "SPLITS",
    "Task",
    "TaskInfo",
    "TaskRow",
    "as_table",
    "load_task",
    "lock_task",
    "save_task",
    "with_few_held_out",
    "without_events",
]


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
    terms: pl.DataFrame
    """terms.parquet as read: code, term, language, kind (`data.codes.book`); empty without a code book."""
    rules: pl.DataFrame
    """rules.parquet as read: kind, node, text, subjects, objects (`data.task_folder.book_parts`); perhaps empty."""
    translations: pl.DataFrame
    """translations.parquet as read: text, translation, language; perhaps empty."""
    events: pl.DataFrame
    """events.parquet as read (`data.task_folder.event_parts`), the rarest event first; empty without events."""
    group_names: dict[str, dict[str, str]]
    """level -> group -> its name."""
    info: TaskInfo
    """task.json as read."""

    @property
    def fingerprint(self) -> str:
        return self.info["fingerprint"]

    @property
    def candidates_rule(self) -> CandidatesRule:
        """How the candidates were chosen."""
        everything: CandidatesRule = {"name": "all"}
        return self.info.get("candidates_rule", everything)

    @property
    def granularity(self) -> str | None:
        """`full`, `category` or `ccs`, as `mera prepare --granularity` chose; None where task.json does not say."""
        granularity = self.info.get("options", {}).get("granularity")
        return granularity if isinstance(granularity, str) else None

    @property
    def has_past_notes(self) -> bool:
        """Whether the visits of a history come with their notes."""
        return has_past_notes(self.splits[SPLITS[0]].features)

    @property
    def has_events(self) -> bool:
        """Whether the visits of a history come with procedures, drugs or labs."""
        return self.events.height > 0

    @property
    def hidden(self) -> np.ndarray:
        """(C,) bool: the candidates that train and validation do not know, by `mera prepare --hide-codes`."""
        if "hidden" not in self.code_table.columns:
            return np.zeros(len(self.codes), dtype=bool)
        return self.code_table["hidden"].to_numpy().astype(bool)

    @property
    def log_prior(self) -> np.ndarray:
        """(C,) float32: log(1 + training examples with the code)."""
        log_counts: np.ndarray = np.log1p(self.train_counts)
        return log_counts.astype(np.float32)

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
            definitions = table.filter(pl.col("code") == code)["definition"]
            if len(definitions):
                return str(definitions[0])
        raise KeyError(code)

    def terms_by_code(self) -> list[list[str]]:
        """For each candidate its terms, in column order, without its definition and synonyms, none of them twice
        whatever their case."""
        return terms_of_codes(self.codes, self.definitions, self.synonyms, self.terms)

    def groups(self, level: str) -> list[str]:
        """The group of each candidate at `level`."""
        if level not in LEVELS:
            raise UserError(f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
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
        return self._candidate_matrix(self.splits[split]["targets"])

    def seen(self, split: str) -> np.ndarray:
        """(N, C) bool: the candidates that stand in the history."""
        return self._candidate_matrix(
            [[code for visit in history for code in visit["codes"]] for history in self.splits[split]["history"]]
        )

    def _candidate_matrix(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """(N, C) bool: True where the row holds the candidate. Codes that are no candidates have no column and are left
        out; `mera.runs.predictions.code_matrix` refuses such codes."""
        column = self.column
        matrix = np.zeros((len(rows), len(self.codes)), dtype=bool)
        for index, row in enumerate(rows):
            matrix[index, [column[code] for code in row if code in column]] = True
        return matrix


def save_task(
    path: str | Path,
    splits: Mapping[str, pa.Table | Iterable[TaskRow]],
    codes: pl.DataFrame,
    groups: pl.DataFrame,
    info: Mapping[str, object],
    arrays: Mapping[str, np.ndarray] | None = None,
    features: datasets.Features = FEATURES,
    other_codes: pl.DataFrame | None = None,
    terms: pl.DataFrame | None = None,
    rules: pl.DataFrame | None = None,
    event_names: pl.DataFrame | None = None,
    translations: pl.DataFrame | None = None,
) -> Task:
    """Write a prepared task, complete or not at all, readable by its owner alone, and return it as read back.

    `splits`: for each of SPLITS rows as in `features` (`task_features`), or a table of them. `codes`:
    code, definition, synonyms, and one column per level; `train_count` is added here. `groups`: level, group, name.
    `info`: keys of task.json (`TaskInfo`); `fingerprint`, `counts`, `candidates`, `outside_candidates` and `digests`
    are added here. `arrays`: file name (`oracle.npy`) -> an array to keep in the folder. `other_codes`: the codes of
    the rows that are no candidates, with the columns of `codes`. `terms`, `rules`, `translations`: as
    `data.task_folder.book_parts` says; the fingerprint does not cover them, so that runs with and without a code book
    can be compared. `event_names`: event, kind and name of the events of the rows; `train_patients` is added here.
    Raises UserError where `path` exists, a split is empty, a patient is in two splits, a code of the rows has no row
    in `codes` or `other_codes`, or no candidate is to be predicted in a training example or in all of validation.
    """
    path = Path(path)
    if path.exists():
        raise UserError(f"{path} already exists; choose another --output or remove it")
    if set(splits) != set(SPLITS):
        raise UserError(f"a task has the splits {', '.join(SPLITS)}; got {', '.join(sorted(splits))}")
    tables = {name: as_table(splits[name], features=features) for name in SPLITS}
    others = codes.clear() if other_codes is None else other_codes
    candidates = codes["code"].to_list()
    check_splits(tables, candidates, others["code"].to_list())
    codes, others = (
        part.with_columns(pl.Series("train_count", count_targets(tables["train"], part["code"].to_list())))
        for part in (codes, others)
    )
    events = None if event_names is None else counted_events(tables, event_names)
    digests = {name: digest_table(table) for name, table in tables.items()}
    written: dict[str, object] = {
        **info,
        "candidates": codes.height,
        "counts": {name: split_counts(table) for name, table in tables.items()},
        "outside_candidates": {name: count_outside(table, candidates) for name, table in tables.items()},
        "fingerprint": fingerprint_of(digests, codes, others, events),
    }
    lock = lock_task(path)
    beside = lock.folder
    try:
        lock.clear()
        with private_files():
            write_parts(beside, tables, features, digests, codes, others, groups, arrays or {})
            write_book_parts(beside, candidates, terms, rules, translations)
            if events is not None:
                events.write_parquet(beside / "events.parquet")
            written["digests"] = digests_of(beside, digests, written)
            (beside / "task.json").write_text(as_json(written), encoding="utf-8")
        os.replace(beside, path)
        remember_verified(path, stamps_of(path))
        lock.release(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        lock.release()
        raise
    return load_task(path)


def lock_task(path: str | Path) -> FolderLock:
    """The place beside `path` where `save_task` writes it, for this process alone. Raises UserError where another one
    is making the same task."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with private_files():
        return FolderLock(path.with_name(f".{path.name}.partial"))


def as_table(
    rows: pa.Table | Iterable[TaskRow], on_disk: bool = False, features: datasets.Features = FEATURES
) -> pa.Table:
    """Rows as in `features` as one table, in a nameless file where `on_disk` says so; a table stays as it is."""
    return rows if isinstance(rows, pa.Table) else rows_to_table(rows, features.arrow_schema, on_disk)


def load_task(path: str | Path) -> Task:
    """Read a prepared task.

    Raises FileNotFoundError where `path` holds none, UserError where a file cannot be read, a patient is in two
    splits, only some splits have the notes or events of past visits, or anything was changed since the task was made.
    """
    path = Path(path)
    if not (path / "task.json").is_file():
        raise FileNotFoundError(f"no prepared task in {path} (task.json is missing); make one with `mera prepare`")
    with damaged(path, "task.json"):
        info: TaskInfo = json.loads((path / "task.json").read_text(encoding="utf-8"))
        missing = {"fingerprint", "counts"} - set(info)
    if missing:
        raise UserError(f"{path / 'task.json'} lacks {' and '.join(sorted(missing))}; prepare the task again")
    with damaged(path, "a split"):
        splits = datasets.load_from_disk(str(path))
        tables = {name: splits[name].data.table for name in SPLITS}
    with damaged(path, "codes.parquet"):
        table = pl.read_parquet(path / "codes.parquet")
    others = optional_table(path, "other_codes.parquet", table.clear())
    terms, rules, translations = read_book_parts(path)
    events = optional_table(path, "events.parquet", pl.DataFrame(schema=EVENT_SCHEMA))
    with damaged(path, "groups.parquet"):
        groups = pl.read_parquet(path / "groups.parquet")
    check_patients({name: table["patient_id"] for name, table in tables.items()})
    if len({has_past_notes(splits[name].features) for name in SPLITS}) > 1:
        raise UserError(f"in {path} only some splits have notes of past visits; prepare the task again")
    if {has_events(splits[name].features) for name in SPLITS} != {events.height > 0}:
        raise UserError(f"in {path} only some parts have events of past visits; prepare the task again")
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
        terms=terms,
        rules=rules,
        translations=translations,
        events=events,
        group_names=names,
        info=info,
    )


def with_few_held_out(task: Task, rows: int) -> Task:
    """`task` with only the first `rows` examples of validation and test, and all training examples: for a rehearsal."""
    splits = {
        name: split if name == "train" else split.select(range(min(rows, len(split))))
        for name, split in task.splits.items()
    }
    return replace(task, splits=datasets.DatasetDict(splits))


def without_events(task: Task) -> Task:
    """`task` for a model that is not to read the events of its histories: it knows none of them."""
    return replace(task, events=task.events.clear())
