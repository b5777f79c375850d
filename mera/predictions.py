"""The prediction folder: what a model hands to the report.

predictions/
  scores.npy         (N, candidates) float32, larger = more likely; columns in the order of codes.parquet. Finite, but
                     for -inf in pooled folds, where a code was no candidate in the example's fold
  examples.parquet   example_id, patient_id, targets, seen (codes in the history), threshold (null: none)
  codes.parquet      code, definition, train_count, one column per level: as in the prepared task
  manifest.json      what produced it (see mera/manifest.py)

Optional; a folder without them is complete:
  other_codes.parquet  as codes.parquet, for the codes of `targets` and `seen` that are no candidates: there is nothing
                     of them in scores.npy, and where they are true they are missed

Optional, for the report to say more:
  examples.parquet   also previous_visits, age, sex (null: unknown)
  groups.parquet     level, group, name: what the groups in codes.parquet are called
  trained_on.npy     hashes of the patients of train and validation, none of whom may be among the examples
  context.parquet    history (with its notes, where the task has past notes), text, evidence of the first examples, for
                     the report's example pages
  <record>.json      anything else worth reading: `training` (the trainer's log), `memorization` (recall of stage one),
                     `widths` (quality and speed at each Matryoshka width), `evidence` (row -> code -> spans)
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mera.folder_replacement import replace_folder
from mera.prediction_parts import (
    EXAMPLE_COLUMNS,
    WRITE_AGAIN,
    check_codes_known,
    join_codes,
    read_array,
    read_json,
    read_scores,
    read_table,
    unrankable_rows,
)
from mera.private_files import private_files

CONTEXT_ROWS = 100
"""Examples whose history and note are copied into the folder: enough for example pages, no copy of every note."""
CONTEXT_SCHEMA = {
    "history": pl.List(pl.Struct({"codes": pl.List(pl.String), "days_before": pl.Int32})),
    "text": pl.String,
    "evidence": pl.List(pl.Struct({"code": pl.String, "start": pl.Int32, "end": pl.Int32})),
}
PAST_NOTES_HISTORY = pl.List(pl.Struct({"codes": pl.List(pl.String), "days_before": pl.Int32, "text": pl.String}))
"""`history` in CONTEXT_SCHEMA, where the visits come with their notes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Scores of one model for one task's split. N examples, C codes: the candidates and, after them, the codes outside
    the candidates that are true or seen somewhere."""

    scores: np.ndarray
    """(N, C) float32; -inf where the code is no candidate for the example, so that it can never be retrieved."""
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
    """The last so many codes are candidates for no example."""
    previous_visits: np.ndarray | None = None
    """(N,) int: visits in the example's history."""
    ages: np.ndarray | None = None
    """(N,) float32, in years; NaN where it is not known."""
    sexes: list[str | None] | None = None
    """N of `F`, `M` or None."""
    group_names: pl.DataFrame | None = None
    """level, group, name."""
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
    def predicted(self) -> np.ndarray:
        """(N, C) bool, all False in rows without a threshold."""
        return self.scores > self.thresholds[:, None]


def write_predictions(folder: str | Path, predictions: Predictions) -> Path:
    """Write `folder`, complete or not at all and for its owner alone; one of the same name is replaced.

    Raises ValueError where scores and codes do not fit together, a score is no number, or a code outside the candidates
    has one.
    """
    folder = Path(folder)
    codes = predictions.codes["code"].to_list()
    if predictions.scores.shape != (len(predictions.example_ids), len(codes)):
        raise ValueError(
            f"scores have shape {predictions.scores.shape}, but there are {len(predictions.example_ids)} examples "
            f"and {len(codes)} codes"
        )
    if "manifest" in predictions.records:
        raise ValueError("a record cannot be called manifest: manifest.json is the run's own")
    num_candidates = len(codes) - predictions.num_outside
    if len(unrankable_rows(predictions.scores[:, :num_candidates], _is_pooled(predictions.manifest))):
        raise ValueError("scores contain NaN or infinity; the model diverged, so nothing was written")
    if not np.isneginf(predictions.scores[:, num_candidates:]).all():
        raise ValueError("a code outside the candidates has a score; only candidates are ranked")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    with private_files():
        beside.mkdir()
        _write_parts(beside, predictions, codes)
    replace_folder(beside, folder)
    return folder


def _write_parts(folder: Path, predictions: Predictions, codes: list[str]) -> None:
    num_candidates = len(codes) - predictions.num_outside
    np.save(folder / "scores.npy", predictions.scores[:, :num_candidates].astype(np.float32, copy=False))
    predictions.codes.head(num_candidates).write_parquet(folder / "codes.parquet")
    if predictions.num_outside:
        predictions.codes.tail(predictions.num_outside).write_parquet(folder / "other_codes.parquet")
    _example_table(predictions, codes).write_parquet(folder / "examples.parquet")
    if predictions.group_names is not None:
        predictions.group_names.write_parquet(folder / "groups.parquet")
    if predictions.trained_on is not None:
        np.save(folder / "trained_on.npy", predictions.trained_on)
    if predictions.context is not None:
        predictions.context.head(CONTEXT_ROWS).write_parquet(folder / "context.parquet")
    for name, value in ({"manifest": predictions.manifest} | predictions.records).items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")


def read_predictions(path: str | Path) -> Predictions:
    """Read a prediction folder, or a run directory that holds one; the run is called as its directory is called now.

    Raises FileNotFoundError where neither is there, ValueError where a part is damaged, scores and tables do not fit
    together, or a score is no number.
    """
    path = Path(path)
    folder = path if (path / "scores.npy").is_file() else path / "predictions"
    if not (folder / "scores.npy").is_file():
        raise FileNotFoundError(f"no predictions in {path} (looked for {folder / 'scores.npy'})")
    codes = read_table(folder / "codes.parquet", ["code"])
    others = _read_optional(folder / "other_codes.parquet", lambda path: read_table(path, codes.columns))
    num_outside = 0 if others is None else others.height
    examples = read_table(folder / "examples.parquet", EXAMPLE_COLUMNS)
    records = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    if not isinstance(records.get("manifest"), dict):
        raise FileNotFoundError(f"{folder} has no manifest.json; {WRITE_AGAIN}")
    manifest = records.pop("manifest")
    scores = read_scores(
        folder / "scores.npy", (examples.height, codes.height), num_outside=num_outside, pooled=_is_pooled(manifest)
    )
    codes = join_codes(codes, others, folder)
    column = {code: index for index, code in enumerate(codes["code"])}
    check_codes_known(examples, column, folder / "examples.parquet")
    if folder.name == "predictions":
        manifest["run"] = folder.resolve().parent.name
    return Predictions(
        scores=scores,
        targets=code_matrix(examples["targets"], column),
        seen=code_matrix(examples["seen"], column),
        thresholds=examples["threshold"].fill_null(float("nan")).to_numpy(),
        example_ids=examples["example_id"].to_list(),
        patient_ids=examples["patient_id"].to_list(),
        codes=codes,
        manifest=manifest,
        num_outside=num_outside,
        previous_visits=examples["previous_visits"].to_numpy() if "previous_visits" in examples.columns else None,
        ages=examples["age"].fill_null(float("nan")).to_numpy() if "age" in examples.columns else None,
        sexes=examples["sex"].to_list() if "sex" in examples.columns else None,
        group_names=_read_optional(folder / "groups.parquet", read_table),
        trained_on=_read_optional(folder / "trained_on.npy", read_array),
        context=_read_optional(folder / "context.parquet", read_table),
        records=records,
    )


def predictions_for_task(
    task: Any,
    split: str,
    scores: np.ndarray,
    thresholds: np.ndarray | float | None,
    manifest: dict[str, Any],
    records: dict[str, Any] | None = None,
) -> Predictions:
    """Predictions for `split` of a `data.task.Task`; `thresholds` per row, one for all, or None for no threshold.

    `scores`: (N, candidates of the task). `records`: what else the report may read; entries that are None are left out.
    """
    rows = task.splits[split]
    targets = list(rows["targets"])
    seen = [[code for visit in history for code in visit["codes"]] for history in rows["history"]]
    others = _other_codes(task, {code for row in (*targets, *seen) for code in row})
    codes = task.code_table if others is None else pl.concat([task.code_table, others])
    column = {code: index for index, code in enumerate(codes["code"])}
    num_outside = codes.height - task.code_table.height
    scores = np.asarray(scores, dtype=np.float32)
    if num_outside:
        scores = np.pad(scores, [(0, 0), (0, num_outside)], constant_values=-np.inf)
    if thresholds is None:
        thresholds = float("nan")
    return Predictions(
        scores=scores,
        targets=code_matrix(targets, column),
        seen=code_matrix(seen, column),
        thresholds=np.broadcast_to(np.asarray(thresholds, dtype=np.float32), (len(rows),)),
        example_ids=list(rows["example_id"]),
        patient_ids=list(rows["patient_id"]),
        codes=codes,
        manifest=manifest,
        num_outside=num_outside,
        previous_visits=np.array([len(history) for history in rows["history"]], dtype=np.int32),
        ages=np.array([np.nan if age is None else age for age in rows["age"]], dtype=np.float32),
        sexes=list(rows["sex"]),
        group_names=pl.DataFrame(
            [(level, group, name) for level, names in task.group_names.items() for group, name in names.items()],
            schema={"level": pl.String, "group": pl.String, "name": pl.String},
            orient="row",
        ),
        trained_on=np.unique(
            patient_hashes(task.splits[name]["patient_id"] for name in ("train", "validation") if name != split)
        ),
        context=_context(rows),
        records={name: value for name, value in (records or {}).items() if value is not None},
    )


def task_record(task: Any, split: str) -> dict[str, Any]:
    """What a manifest says of the `data.task.Task` that was scored; the report prints it as the data card.

    Runs are comparable where `fingerprint` and `split` are equal. The rest of task.json is there where it is known.
    """
    known = (
        "source",
        "ontology",
        "edition",
        "counts",
        "candidates",
        "candidates_rule",
        "outside_candidates",
        "dropped",
        "unknown_codes",
        "inputs",
    )
    return {
        "name": task.path.name,
        "kind": task.info["kind"],
        "fingerprint": task.fingerprint,
        "split": split,
        "protocol": task.info["protocol"]["name"],
        "split_protocol": task.info["protocol"],
    } | {key: task.info[key] for key in known if key in task.info}


def memorization_record(base: str | Path | None) -> dict[str, Any] | None:
    """What stage one measured, where `base` is the checkpoint of one of its runs (`<run>/checkpoint`); else None."""
    if base is None:
        return None
    path = Path(base).parent / "recall.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    manifest = path.with_name("manifest.json")
    if manifest.is_file():
        run = json.loads(manifest.read_text(encoding="utf-8"))
        found |= {key: run[key] for key in ("run", "seconds", "command") if key in run}
    return found


def patient_hashes(groups: Iterable[Iterable[str]]) -> np.ndarray:
    """uint64 hash of each patient id of all groups, in order; equal ids have equal hashes, on every machine."""
    digests = (hashlib.blake2b(str(patient).encode(), digest_size=8).digest() for group in groups for patient in group)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def code_matrix(rows: Sequence[Sequence[str]], column: dict[str, int]) -> np.ndarray:
    """(N, C) bool: True where the row holds the code. Raises KeyError on a code without a column."""
    matrix = np.zeros((len(rows), len(column)), dtype=bool)
    for index, row in enumerate(rows):
        matrix[index, [column[code] for code in row]] = True
    return matrix


def _other_codes(task: Any, used: set[str]) -> pl.DataFrame | None:
    """The rows of the task's codes outside its candidates that are in `used`; None where it has none of them."""
    others = getattr(task, "other_code_table", None)
    if others is None:
        return None
    others = others.filter(pl.col("code").is_in(list(used)))
    return others.select(task.code_table.columns) if others.height else None


def _is_pooled(manifest: dict[str, Any]) -> bool:
    """Whether several folds stand together, whose candidates may differ."""
    return "pooled" in manifest


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
    return table.with_columns(optional)


def _context(rows: Any) -> pl.DataFrame:
    first = rows.select(range(min(CONTEXT_ROWS, len(rows))))
    values = {name: list(first[name]) for name in CONTEXT_SCHEMA if name in first.column_names}
    schema = {name: CONTEXT_SCHEMA[name] for name in values}
    if any("text" in visit for history in values.get("history", ()) for visit in history or ()):
        schema["history"] = PAST_NOTES_HISTORY
    return pl.DataFrame(values, schema=schema)


def _read_optional(path: Path, read: Callable[[Path], Any]) -> Any:
    return read(path) if path.is_file() else None
