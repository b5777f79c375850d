"""Putting the folds of a k-fold task together: every patient was tested once, so it is one test to the report."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mera.predictions import Predictions, read_predictions, write_predictions
from mera.run_directory import RunDirectory

SAME_IN_ALL_FOLDS = {
    "cohort": "cohorts",
    "seed": "seeds (--split-seed)",
    "folds": "numbers of folds (--folds)",
    "fractions": "shares of training and validation (--fractions)",
}
"""Entries of `split_protocol` that one `mera prepare` gives to all of its folds, and what a refusal calls them."""
OF_ONE_FOLD = ("counts", "outside_candidates")
"""Entries of a task record that say nothing of the other folds."""


def pool_folds(paths: Sequence[str | Path], output: str | Path) -> Path:
    """Concatenate the predictions of one model on all folds of one cohort into the run `output`; return it.

    Folds may have different candidates: the pool has the codes of all, and where a code was no candidate in an
    example's fold its score is -inf there. Scores of different folds come from different models: metrics within a row
    (recall, F1 at each model's own threshold) are as good as ever, metrics across rows (ROC-AUC) suffer where the
    models' scales differ. A code's train count is the mean over the folds. Raises ValueError where the runs are no
    complete set of folds of one cohort.
    """
    folds = sorted((read_predictions(path) for path in paths), key=_fold)
    _check(folds)
    first = folds[0]
    fingerprints = "".join(fold.manifest["task"]["fingerprint"] for fold in folds)
    codes, num_outside = _all_codes(folds)
    run = RunDirectory(output)
    pooled = replace(
        first,
        scores=_in_columns_of(codes, folds, lambda fold: fold.scores, -np.inf),
        targets=_in_columns_of(codes, folds, lambda fold: fold.targets, False),
        seen=_in_columns_of(codes, folds, lambda fold: fold.seen, False),
        thresholds=np.concatenate([fold.thresholds for fold in folds]),
        example_ids=[name for fold in folds for name in fold.example_ids],
        patient_ids=[name for fold in folds for name in fold.patient_ids],
        codes=codes,
        num_outside=num_outside,
        previous_visits=_concatenated([fold.previous_visits for fold in folds]),
        ages=_concatenated([fold.ages for fold in folds]),
        sexes=None if first.sexes is None else [sex for fold in folds for sex in fold.sexes],
        group_names=_all_group_names(folds),
        trained_on=None,  # each patient was tested by a model that had not seen them, and trained the others
        context=None,
        records={},
        manifest=first.manifest
        | {
            "run": run.final.name,
            "seconds": round(sum(fold.manifest.get("seconds") or 0 for fold in folds), 1),
            "pooled": [fold.manifest["command"] for fold in folds if "command" in fold.manifest],
            "task": {key: value for key, value in first.manifest["task"].items() if key not in OF_ONE_FOLD}
            | {
                "name": first.manifest["task"]["name"].rsplit("-fold", 1)[0],
                "fingerprint": hashlib.sha256(fingerprints.encode()).hexdigest(),
                "split": f"all {len(folds)} folds",
                "candidates": codes.height - num_outside,
            },
        },
    )
    write_predictions(run.path("predictions"), pooled)
    return run.finish()


def _protocol(fold: Predictions) -> dict[str, Any]:
    return fold.manifest["task"].get("split_protocol", {})


def _fold(fold: Predictions) -> int:
    protocol = _protocol(fold)
    if protocol.get("name") != "kfold":
        raise ValueError(f"the run {fold.name!r} is not of a k-fold task; mera pool takes one run for each fold")
    if not {"fold", "folds", "cohort", "seed"} <= protocol.keys():
        raise ValueError(f"the manifest of {fold.name!r} does not say which fold it is; write the predictions again")
    return protocol["fold"]


def _check(folds: Sequence[Predictions]) -> None:
    if not folds:
        raise ValueError("give the runs to pool, one for each fold")
    for key, name in SAME_IN_ALL_FOLDS.items():
        if len({str(_protocol(fold).get(key)) for fold in folds}) > 1:
            values = "" if key == "cohort" else f" ({', '.join(str(_protocol(fold).get(key)) for fold in folds)})"
            raise ValueError(
                f"the runs are of different {name}{values}, so patients would be tested twice or never; pool the folds "
                "of one `mera prepare --protocol kfold`"
            )
    tasks = [fold.manifest["task"] for fold in folds]
    rules = dict.fromkeys(str((task.get("candidates_rule") or {"name": "all"})["name"]) for task in tasks)
    if len(rules) > 1:
        raise ValueError(f"the runs have different rules for candidates ({', '.join(rules)}); pool those of one rule")
    splits = dict.fromkeys(task.get("split") for task in tasks)
    if len(splits) > 1:
        raise ValueError(f"the runs scored different splits ({', '.join(map(str, splits))}); pool those of one split")
    if len({fold.manifest["model"] for fold in folds}) > 1:
        names = ", ".join(sorted({fold.manifest["model"] for fold in folds}))
        raise ValueError(f"the runs are of different models ({names}); pool each model's folds on their own")
    wanted, given = list(range(_protocol(folds[0])["folds"])), [_protocol(fold)["fold"] for fold in folds]
    if given != wanted:
        raise ValueError(f"a pool needs each of the folds {wanted} once, got {given}")
    patients = [set(fold.patient_ids) for fold in folds]
    twice = sum(map(len, patients)) - len(set().union(*patients))
    if twice:
        raise ValueError(f"{twice} patients are in several of the folds; pool the folds of one `mera prepare`")


def _all_codes(folds: Sequence[Predictions]) -> tuple[pl.DataFrame, int]:
    """The codes that are candidates in some fold, then the others, and how many those are.

    Each part is in the order of the first fold where all folds have the same codes, else sorted by code.
    """
    columns = [name for name in folds[0].codes.columns if all(name in fold.codes.columns for fold in folds)]
    tables = [fold.codes.select(columns) for fold in folds]
    candidates = _union([table.head(len(table) - fold.num_outside) for table, fold in zip(tables, folds, strict=True)])
    others = _union([table.tail(fold.num_outside) for table, fold in zip(tables, folds, strict=True)])
    others = others.filter(~pl.col("code").is_in(candidates["code"].to_list()))
    codes = pl.concat([candidates, others], how="vertical_relaxed")
    counts = dict.fromkeys(codes["code"], 0)
    for code, count in (row for table in tables for row in table.select("code", "train_count").iter_rows()):
        counts[code] += count
    mean = (np.array(list(counts.values())) / len(folds)).round().astype(np.int64)
    return codes.with_columns(pl.Series("train_count", mean)), others.height


def _union(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    first = tables[0]
    if all(table["code"].equals(first["code"]) for table in tables):
        return first
    return pl.concat(tables, how="vertical_relaxed").unique("code", keep="first", maintain_order=True).sort("code")


def _in_columns_of(
    codes: pl.DataFrame, folds: Sequence[Predictions], matrix: Callable[[Predictions], np.ndarray], missing: Any
) -> np.ndarray:
    """(N, C): the folds' rows one under the other, each code in its column of `codes`; else `missing`."""
    column = {code: index for index, code in enumerate(codes["code"])}
    shape = (sum(len(fold.example_ids) for fold in folds), len(column))
    pooled = np.full(shape, missing, dtype=matrix(folds[0]).dtype)
    start = 0
    for fold in folds:
        stop = start + len(fold.example_ids)
        pooled[start:stop, [column[code] for code in fold.codes["code"]]] = matrix(fold)
        start = stop
    return pooled


def _all_group_names(folds: Sequence[Predictions]) -> pl.DataFrame | None:
    names = [fold.group_names for fold in folds if fold.group_names is not None]
    return pl.concat(names).unique(["level", "group"], keep="first", maintain_order=True) if names else None


def _concatenated(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    return None if any(part is None for part in parts) else np.concatenate(parts)
