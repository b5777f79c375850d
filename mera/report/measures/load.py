"""Which runs may stand in one table: same task, split, candidates and examples, each run once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from mera.report.json_form import JsonObject
from mera.report.measures.candidates import Outside
from mera.report.measures.task_record import TaskRecord
from mera.runs.finished_runs import without_stage_one
from mera.runs.predictions import Predictions, check_unseen, read_predictions
from mera.system.errors import UserError

TASK_KEYS = ("fingerprint", "split")
OPTIONAL_PARTS = ("previous_visits", "ages", "sexes", "target_train_counts", "group_names", "rules", "context")
"""What describes the examples but may be missing in older folders; the first run that has it speaks for all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """Runs that were scored on the same examples, and what they share. N examples, C codes (see `Predictions`)."""

    paths: list[Path]
    first_run: str
    """The name of the run that the others were checked against."""
    task: TaskRecord
    """The fullest of the manifests."""
    example_ids: list[str]
    patient_ids: list[str]
    codes: pl.DataFrame
    targets: np.ndarray
    """(N, C) bool."""
    seen: np.ndarray
    """(N, C) bool."""
    outside: Outside
    previous_visits: np.ndarray | None = None
    ages: np.ndarray | None = None
    sexes: list[str | None] | None = None
    target_train_counts: np.ndarray | None = None
    """(T,) of each target, where `codes` does not say them (see `Predictions`)."""
    group_names: pl.DataFrame | None = None
    rules: pl.DataFrame | None = None
    context: pl.DataFrame | None = None


def group_runs(paths: Sequence[str | Path], by_task: bool = False) -> list[Comparable]:
    """Read and check every prediction folder; one group per task, in the order of first appearance.

    Runs of stage one among them are said and left out. Scores are not kept: with many runs they are what fills the
    memory. Raises UserError, naming the two runs and what
    differs, where runs cannot be compared; several tasks are an error unless `by_task`.
    """
    if not paths:
        raise UserError("a report needs at least one run; give the run directories to compare")
    groups: dict[str, Comparable] = {}
    names: dict[tuple[str, str], Path] = {}
    for path in without_stage_one(list(map(Path, paths))):
        _add(groups, names, path, by_task)  # whose scores are gone before the next run's are read
    return list(groups.values())


def _add(groups: dict[str, Comparable], names: dict[tuple[str, str], Path], path: Path, by_task: bool) -> None:
    """Put the run in `path` into the group of its task's fingerprint; `names`: (fingerprint, run) -> where it is."""
    run = read_predictions(path)
    _check_manifest(run.manifest, path)
    _check_predictions(run, path)
    task = TaskRecord.of(run.manifest["task"])
    fingerprint = task.fingerprint
    if (fingerprint, run.name) in names:
        raise UserError(
            f"two runs are called {run.name!r}: {names[fingerprint, run.name]} and {path}; "
            "give each run once, and rename the directory of one where they are two"
        )
    names[fingerprint, run.name] = path
    if fingerprint in groups:
        _check_same_examples(groups[fingerprint], run, task)
        groups[fingerprint] = _joined(groups[fingerprint], run, task, path)
    elif groups and not by_task:
        other = next(iter(groups.values()))
        raise UserError(
            f"runs {other.first_run!r} and {run.name!r} were scored on different tasks: "
            f"{_describe(other.task, task)} and {_describe(task, other.task)}; "
            "report them apart, or in one report with a section per task (--by-task)"
        )
    else:
        groups[fingerprint] = Comparable(
            paths=[path],
            first_run=run.name,
            task=task,
            example_ids=run.example_ids,
            patient_ids=run.patient_ids,
            codes=run.codes,
            targets=run.targets,
            seen=run.seen,
            outside=Outside.of(run),
            **{part: getattr(run, part) for part in OPTIONAL_PARTS},
        )


def _joined(group: Comparable, run: Predictions, task: TaskRecord, path: Path) -> Comparable:
    missing = [part for part in OPTIONAL_PARTS if getattr(group, part) is None]
    # Older manifests say less of the task; the fullest record is the one to print.
    fullest = max(group.task, task, key=lambda task: len(task.record))
    parts = {part: getattr(run, part) for part in missing}
    return replace(group, paths=[*group.paths, path], task=fullest, **parts)


def _check_manifest(manifest: JsonObject, path: Path) -> None:
    missing = [key for key in ("run", "task") if key not in manifest]
    missing += [f"task.{key}" for key in TASK_KEYS if key not in manifest.get("task", {})]
    if missing:
        raise UserError(f"the manifest of {path} does not say {', '.join(missing)}; write the predictions again")


def _check_predictions(run: Predictions, path: Path) -> None:
    if "train_count" not in run.codes.columns:
        raise UserError(f"codes.parquet of {path} has no column train_count; write the predictions again")
    if not run.example_ids:
        raise UserError(f"the predictions of {path} hold no example")
    check_unseen(run)


def _check_same_examples(group: Comparable, run: Predictions, task: TaskRecord) -> None:
    splits = group.task.split, task.split
    both = f"runs {group.first_run!r} and {run.name!r} cannot be compared"
    if splits[0] != splits[1]:
        raise UserError(f"{both}: they scored the splits {splits[0]} and {splits[1]}")
    if len(group.example_ids) != len(run.example_ids):
        raise UserError(f"{both}: they scored {len(group.example_ids)} and {len(run.example_ids)} examples")
    for what, mine, theirs in (
        ("example ids", group.example_ids, run.example_ids),
        ("patient ids", group.patient_ids, run.patient_ids),
        ("candidate codes", _candidates(group, group.outside.num_candidates), _candidates(run, run.num_candidates)),
        ("codes outside the candidates", group.codes["code"].to_list(), run.codes["code"].to_list()),
    ):
        if mine != theirs:
            raise UserError(f"{both}: their {what} differ{_first_difference(mine, theirs)}")
    if not np.array_equal(group.targets, run.targets):
        row = int(np.flatnonzero((group.targets != run.targets).any(axis=1))[0])
        raise UserError(f"{both}: their targets differ, first in row {row + 1}")
    if not np.array_equal(group.outside.is_missed, Outside.of(run).is_missed):
        raise UserError(f"{both}: a true code is a candidate in one of them and not in the other")
    if not np.array_equal(group.seen, run.seen):
        row = int(np.flatnonzero((group.seen != run.seen).any(axis=1))[0])
        raise UserError(f"{both}: their codes seen before differ, first in row {row + 1}")


def _first_difference(mine: list[str], theirs: list[str]) -> str:
    if len(mine) != len(theirs):
        return f" in number ({len(mine)} and {len(theirs)})"
    row = next(row for row, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    return f", first in row {row + 1}"  # not the ids themselves: they are the patients'


def _candidates(side: Comparable | Predictions, number: int) -> list[str]:
    codes: list[str] = side.codes["code"].head(number).to_list()
    return codes


def _describe(task: TaskRecord, other: TaskRecord) -> str:
    candidates = "" if task.candidates_rule == other.candidates_rule else f", candidates {task.candidates_rule}"
    return f"{task.name or 'unnamed'} (fingerprint {task.fingerprint[:12]}{candidates})"
