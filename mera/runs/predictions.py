"""The prediction folder: what a model hands to the report.

predictions/
  scores.npy         (N, C) float32, larger = more likely; columns in the order of codes.parquet
  examples.parquet   example_id, patient_id, targets, seen (codes in the history), threshold (null: none)
  codes.parquet      code, definition, train_count, one column per level: as in the prepared task
  manifest.json      what produced it (see mera/runs/manifest.py)

True codes that are no candidates stand in `targets` of examples.parquet and in

  other_codes.parquet   the columns of codes.parquet, for codes in `targets` or `seen` that are no candidates

and count as missed: `read_predictions` gives them columns behind the candidates', with a score of -inf. In a run pooled
from folds a score of scores.npy is -inf where the code was no candidate of the fold.

Optional, for the report to say more; a folder without them is complete:
  examples.parquet   also previous_visits, age, sex (null: unknown); in a run pooled from folds target_train_counts, the
                     training examples of each of `targets` in the row's own fold
  groups.parquet     level, group, name: what the groups in codes.parquet are called
  rules.parquet      kind, node, text, subjects, objects: coding rules of the candidates (mera.evaluation.coding_rules)
  trained_on.npy     hashes of the patients of train and validation, none of whom may be among the examples
  context.parquet    history (with its notes, where the task has past notes), text, evidence of the first examples, for
                     the report's example pages
  <record>.json      anything else worth reading: `training` (the trainer's log), `memorization` (recall of stage one),
                     `widths` (quality and speed at each Matryoshka width), `evidence` (row -> code -> spans)
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from polars.datatypes import DataTypeClass

from mera.runs.finished_runs import runs_below
from mera.runs.manifest import Manifest
from mera.runs.other_splits.trained_on import TRAINED_ON, patient_hashes
from mera.runs.prediction_parts import (
    RULE_COLUMNS,
    WRITE_AGAIN,
    check_codes_known,
    check_finite,
    read_array,
    read_examples,
    read_json,
    read_scores,
    read_table,
    target_train_counts,
    with_outside,
)
from mera.runs.records import without_unknown_codes
from mera.runs.task_protocol import PreparedTask, TaskRows
from mera.system.errors import UserError
from mera.system.folder_replacement import replace_folder
from mera.system.private_files import private_files

Part = TypeVar("Part")
CONTEXT_ROWS = 100
"""Examples whose history and note are copied into the folder: enough for example pages, no copy of every note."""
CONTEXT_SCHEMA: dict[str, pl.DataType | DataTypeClass] = {
    "history": pl.List(pl.Struct({"codes": pl.List(pl.String), "days_before": pl.Int32})),
    "text": pl.String,
    "evidence": pl.List(pl.Struct({"code": pl.String, "start": pl.Int32, "end": pl.Int32})),
}
PAST_NOTES_HISTORY = pl.List(pl.Struct({"codes": pl.List(pl.String), "days_before": pl.Int32, "text": pl.String}))
"""`history` in CONTEXT_SCHEMA, where the visits come with their notes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Scores of one model for one task's split. N examples, C codes: the candidates and, behind them, `num_outside`
    codes that are true or seen somewhere and no candidates.
    """

    scores: np.ndarray
    """(N, C) float32; -inf where the code is no candidate."""
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
    num_outside: int = 0
    """The last so many columns are no candidates."""
    previous_visits: np.ndarray | None = None
    """(N,) int: visits in the example's history."""
    ages: np.ndarray | None = None
    """(N,) float32, in years; NaN where it is not known."""
    sexes: list[str | None] | None = None
    """N of `F`, `M` or None."""
    target_train_counts: np.ndarray | None = None
    """(T,) int: training examples of each of the T targets, in the order of `np.nonzero(targets)`, for the model that
    scored its row; None where the train_count of `codes` says it of all rows."""
    group_names: pl.DataFrame | None = None
    """level, group, name."""
    rules: pl.DataFrame | None = None
    """kind, node, text, subjects, objects: the coding rules that the candidates can break."""
    trained_on: np.ndarray | None = None
    """uint64 `patient_hashes` of the patients the model was trained or tuned on."""
    context: pl.DataFrame | None = None
    """At most CONTEXT_ROWS rows of CONTEXT_SCHEMA (or with PAST_NOTES_HISTORY): the first examples."""
    records: dict[str, Any] = field(default_factory=dict)
    """Name -> JSON-ready value; kept as `<name>.json`."""

    @property
    def name(self) -> str:
        return self.manifest["run"]

    @property
    def num_candidates(self) -> int:
        return self.codes.height - self.num_outside

    @property
    def predicted(self) -> np.ndarray:
        """(N, C) bool, all False in rows without a threshold."""
        return self.scores > self.thresholds[:, None]


def write_predictions(folder: str | Path, predictions: Predictions) -> Path:
    """Write `folder`, complete or not at all and for its owner alone; one of the same name is replaced."""
    folder = Path(folder)
    codes = predictions.codes["code"].to_list()
    if predictions.scores.shape != (len(predictions.example_ids), len(codes)):
        raise UserError(
            f"scores have shape {predictions.scores.shape}, but there are {len(predictions.example_ids)} examples "
            f"and {len(codes)} codes"
        )
    if "manifest" in predictions.records:
        raise UserError("a record cannot be called manifest: manifest.json is the run's own")
    scores = predictions.scores[:, : predictions.num_candidates]
    if not (np.isfinite(scores) | (np.isneginf(scores) & ("pooled" in predictions.manifest))).all():
        raise UserError("scores contain NaN or infinity; the model diverged, so nothing was written")
    if not np.isneginf(predictions.scores[:, predictions.num_candidates :]).all():
        raise UserError("a code that is no candidate has a score")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    with private_files():
        beside.mkdir()
        _write_parts(beside, predictions, codes)
    replace_folder(beside, folder)
    return folder


def _write_parts(folder: Path, predictions: Predictions, codes: list[str]) -> None:
    num_candidates = predictions.num_candidates
    np.save(folder / "scores.npy", predictions.scores[:, :num_candidates].astype(np.float32, copy=False))
    predictions.codes[:num_candidates].write_parquet(folder / "codes.parquet")
    if predictions.num_outside:
        predictions.codes[num_candidates:].write_parquet(folder / "other_codes.parquet")
    _example_table(predictions, codes).write_parquet(folder / "examples.parquet")
    if predictions.group_names is not None:
        predictions.group_names.write_parquet(folder / "groups.parquet")
    if predictions.rules is not None:
        predictions.rules.write_parquet(folder / "rules.parquet")
    if predictions.trained_on is not None:
        np.save(folder / TRAINED_ON, predictions.trained_on)
    if predictions.context is not None:
        predictions.context.head(CONTEXT_ROWS).write_parquet(folder / "context.parquet")
    for name, value in ({"manifest": predictions.manifest} | predictions.records).items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")


def read_predictions(path: str | Path) -> Predictions:
    """Read a prediction folder, or a run directory that holds one; the run is called as its directory is called now.

    Raises FileNotFoundError where neither is there, UserError where a part is damaged, scores and tables do not fit
    together, or a score is no number.
    """
    path = Path(path)
    folder = path if (path / "scores.npy").is_file() else path / "predictions"
    if not (folder / "scores.npy").is_file():
        below = runs_below(path)
        meant = f"; did you mean the runs below it, such as {below[0]}?" if below else ""
        raise FileNotFoundError(f"no predictions in {path} (looked for {folder / 'scores.npy'}){meant}")
    codes = read_table(folder / "codes.parquet", ["code"])
    others = _read_optional(folder / "other_codes.parquet", lambda path: read_table(path, codes.columns))
    scores = read_scores(folder / "scores.npy", mapped=others is not None)
    examples = read_examples(folder / "examples.parquet")
    records = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    if scores.shape != (examples.height, codes.height):
        raise UserError(
            f"{folder} is damaged: scores.npy is {scores.shape}, examples.parquet has {examples.height} rows, "
            f"codes.parquet {codes.height}"
        )
    manifest = records.pop("manifest", None)
    if not isinstance(manifest, dict):
        raise FileNotFoundError(f"{folder} has no manifest.json; {WRITE_AGAIN}")
    check_finite(scores, folder / "scores.npy", may_be_missing="pooled" in manifest)
    if others is not None:
        scores = with_outside(scores, others.height)
        codes = pl.concat([codes, others.select(codes.columns)], how="vertical_relaxed")
    if codes["code"].is_duplicated().any():
        raise UserError(f"{folder} is damaged: a code stands twice in its tables of codes; {WRITE_AGAIN}")
    column = {code: index for index, code in enumerate(codes["code"])}
    check_codes_known(examples, column, folder / "examples.parquet")
    if isinstance(manifest.get("task"), dict):
        manifest["task"] = without_unknown_codes(manifest["task"])
    if folder.name in ("predictions", "validation"):
        manifest["run"] = folder.resolve().parent.name
    return Predictions(
        scores=scores,
        targets=code_matrix(examples["targets"].to_list(), column),
        seen=code_matrix(examples["seen"].to_list(), column),
        thresholds=examples["threshold"].fill_null(float("nan")).to_numpy(),
        example_ids=examples["example_id"].to_list(),
        patient_ids=examples["patient_id"].to_list(),
        codes=codes,
        manifest=manifest,
        num_outside=0 if others is None else others.height,
        previous_visits=examples["previous_visits"].to_numpy() if "previous_visits" in examples.columns else None,
        ages=examples["age"].fill_null(float("nan")).to_numpy() if "age" in examples.columns else None,
        sexes=examples["sex"].to_list() if "sex" in examples.columns else None,
        target_train_counts=target_train_counts(examples),
        group_names=_read_optional(folder / "groups.parquet", read_table),
        rules=_read_optional(folder / "rules.parquet", lambda path: read_table(path, RULE_COLUMNS)),
        trained_on=_read_optional(folder / TRAINED_ON, read_array),
        context=_read_optional(folder / "context.parquet", read_table),
        records=records,
    )


def predictions_for_task(
    task: PreparedTask,
    split: str,
    scores: np.ndarray,
    thresholds: np.ndarray | float | None,
    manifest: Manifest | Mapping[str, object],
    records: Mapping[str, object] | None = None,
) -> Predictions:
    """Predictions for `split` of `task`; `thresholds` per row, one for all, or None for no threshold.

    `records`: what else the report may read; entries that are None are left out.
    """
    rows = task.splits[split]
    if thresholds is None:
        thresholds = float("nan")
    targets, seen = rows["targets"], [[code for visit in past for code in visit["codes"]] for past in rows["history"]]
    others = _occurring(task.other_code_table, [*targets, *seen])
    codes = pl.concat([task.code_table, others]) if others.height else task.code_table
    column = {code: index for index, code in enumerate(codes["code"])}
    scores = np.asarray(scores, dtype=np.float32)
    return Predictions(
        scores=with_outside(scores, others.height) if others.height else scores,
        targets=code_matrix(targets, column),
        seen=code_matrix(seen, column),
        thresholds=np.broadcast_to(np.asarray(thresholds, dtype=np.float32), (len(rows),)),
        example_ids=list(rows["example_id"]),
        patient_ids=list(rows["patient_id"]),
        codes=codes,
        manifest={**manifest},
        num_outside=others.height,
        previous_visits=np.array([len(history) for history in rows["history"]], dtype=np.int32),
        ages=np.array([np.nan if age is None else age for age in rows["age"]], dtype=np.float32),
        sexes=list(rows["sex"]),
        group_names=pl.DataFrame(
            [(level, group, name) for level, names in task.group_names.items() for group, name in names.items()],
            schema={"level": pl.String, "group": pl.String, "name": pl.String},
            orient="row",
        ),
        rules=task.rules if task.rules.height else None,
        trained_on=np.unique(
            patient_hashes(task.splits[name]["patient_id"] for name in ("train", "validation") if name != split)
        ),
        context=_context(rows),
        records={name: value for name, value in (records or {}).items() if value is not None},
    )


def _occurring(codes: pl.DataFrame, rows: Iterable[Sequence[str]]) -> pl.DataFrame:
    """The rows of a code table whose codes stand in `rows`."""
    wanted = {code for row in rows for code in row} if codes.height else set()
    return codes.filter(pl.col("code").is_in(list(wanted)))


def check_unseen(run: Predictions) -> None:
    """Raise UserError where the run was trained or tuned on patients whom it was scored on, as far as it says."""
    scored = patient_hashes([dict.fromkeys(run.patient_ids)])
    known = 0 if run.trained_on is None else int(np.isin(scored, run.trained_on).sum())
    if known:
        raise UserError(
            f"run {run.name!r} was trained or tuned on {known} of the patients it was scored on, so its numbers "
            "would say nothing about new patients; prepare the task and train again"
        )


def code_matrix(rows: Sequence[Sequence[str]], column: dict[str, int]) -> np.ndarray:
    """(N, C) bool: True where the row holds the code. Raises KeyError on a code without a column, where a task
    (`data.task.Task.targets`) leaves codes out that are no candidates."""
    matrix = np.zeros((len(rows), len(column)), dtype=bool)
    for index, row in enumerate(rows):
        matrix[index, [column[code] for code in row]] = True
    return matrix


def _code_lists(matrix: np.ndarray, codes: list[str]) -> list[list[str]]:
    return [[codes[column] for column in np.flatnonzero(row)] for row in matrix]


def _example_table(predictions: Predictions, codes: list[str]) -> pl.DataFrame:
    table = pl.DataFrame(
        {
            "example_id": predictions.example_ids,
            "patient_id": predictions.patient_ids,
            "targets": _code_lists(predictions.targets, codes),
            "seen": _code_lists(predictions.seen, codes),
            "threshold": pl.Series(predictions.thresholds.astype(np.float32)).fill_nan(None),
        },
        schema_overrides={"targets": pl.List(pl.String), "seen": pl.List(pl.String), "threshold": pl.Float32},
    )
    optional = []
    if predictions.previous_visits is not None:
        optional.append(pl.Series("previous_visits", predictions.previous_visits, dtype=pl.Int32))
    if predictions.ages is not None:
        optional.append(pl.Series("age", predictions.ages.astype(np.float32)).fill_nan(None))
    if predictions.sexes is not None:
        optional.append(pl.Series("sex", predictions.sexes, dtype=pl.String))
    if predictions.target_train_counts is not None:
        ends = np.cumsum(predictions.targets.sum(axis=1))[:-1]
        counts = [part.tolist() for part in np.split(predictions.target_train_counts, ends)]
        optional.append(pl.Series("target_train_counts", counts, dtype=pl.List(pl.Int64)))
    return table.with_columns(optional)


def _context(rows: TaskRows) -> pl.DataFrame:
    first = rows.select(range(min(CONTEXT_ROWS, len(rows))))
    values = {name: list(first[name]) for name in CONTEXT_SCHEMA if name in first.column_names}
    schema = {name: CONTEXT_SCHEMA[name] for name in values}
    if any("text" in visit for history in values.get("history", ()) for visit in history or ()):
        schema["history"] = PAST_NOTES_HISTORY
    return pl.DataFrame(values, schema=schema)


def _read_optional(path: Path, read: Callable[[Path], Part]) -> Part | None:
    return read(path) if path.is_file() else None
