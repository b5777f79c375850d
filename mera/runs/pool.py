"""Putting the folds of a k-fold task together: every patient was tested once, so it is one test to the report."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mera.config import settings_of_method
from mera.runs.predictions import Predictions, check_unseen, read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError

SAME_IN_ALL_FOLDS = {
    "cohort": "cohorts",
    "folds": "numbers of folds",
    "seed": "split seeds",
    "fractions": "fractions",
}
"""Keys of the split protocol, and what messages call them."""
OF_ONE_FOLD = ("counts", "outside_candidates")
"""What the task record of a fold says of its own splits only."""
FITTED_ON_VALIDATION = ("calibration", "threshold", "prior", "fusion", "deep_share")
"""Keys of a fold's manifest."""
OF_A_FOLD = ("seed", "training.seed", "candidates", "model.base", "encoder.pretrained", "evidence.translation", "parts")
"""Settings that name another seed, folder or run in each fold."""


def pool_folds(paths: Sequence[str | Path], output: str | Path) -> Path:
    """Concatenate the predictions of one model on all folds of one cohort into the run `output`; return it.

    Scores of different folds come from different models: metrics within a row (recall, F1 at each model's own
    threshold) are as good as ever, metrics across rows (ROC-AUC) suffer where the models' scales differ. Each fold has
    the candidates of its own training patients; the pooled run has them all, with a score of -inf where a code was no
    candidate of the row's fold. A code's train count is the mean over the folds; beside each target stands its own
    fold's. A hidden code (`mera prepare --hide-codes`) counts as such where every fold hid it; `hidden_in_some_folds`
    of the task's record says how many others there are. Of what was fitted on each fold's validation, calibrations are
    kept fold by fold, a fusion's weights as their mean, other figures not. Settings that differ between the folds stand
    in the manifest (`different_settings`) and are warned of. Raises UserError where the runs are no complete set of
    folds of one cohort.
    """
    folds = sorted((read_predictions(path) for path in paths), key=_fold)
    _check(folds)
    first = folds[0]
    fingerprints = "".join(fold.manifest["task"]["fingerprint"] for fold in folds)
    codes, num_outside = _all_codes(folds)
    different = different_settings(folds)
    if different:
        print(f"warning: the folds have different settings: {', '.join(different)}", file=sys.stderr)
    run = RunDirectory.begun_anew(output)
    pooled = replace(
        first,
        scores=_stacked([fold.scores for fold in folds], folds, codes, -np.inf, np.float32),
        targets=_stacked([fold.targets for fold in folds], folds, codes, False, bool),
        seen=_stacked([fold.seen for fold in folds], folds, codes, False, bool),
        thresholds=np.concatenate([fold.thresholds for fold in folds]),
        example_ids=[name for fold in folds for name in fold.example_ids],
        patient_ids=[name for fold in folds for name in fold.patient_ids],
        codes=codes,
        num_outside=num_outside,
        group_names=_all_groups(folds),
        rules=_all_rules(folds),
        previous_visits=_concatenated([fold.previous_visits for fold in folds]),
        ages=_concatenated([fold.ages for fold in folds]),
        sexes=_all_sexes(folds),
        target_train_counts=np.concatenate([_target_counts(fold, codes) for fold in folds]),
        trained_on=None,  # each trained the others; of those it was tested by none had seen it, as `_check` has looked
        context=None,
        records={},
        manifest={key: value for key, value in first.manifest.items() if key not in FITTED_ON_VALIDATION}
        | _calibrations(folds)
        | _mean_fusion(folds)
        | {
            "run": run.final.name,
            "seconds": round(sum(fold.manifest.get("seconds") or 0 for fold in folds), 1),
            "tokens": _sum_of(folds, "tokens"),
            "energy_joules": _sum_of(folds, "energy_joules"),
            "peak_memory": _highest_memory(folds),
            "different_settings": different,
            "pooled": [fold.manifest["command"] for fold in folds if "command" in fold.manifest],
            "task": {key: value for key, value in first.manifest["task"].items() if key not in OF_ONE_FOLD}
            | {
                "name": first.manifest["task"]["name"].rsplit("-fold", 1)[0],
                "fingerprint": hashlib.sha256(fingerprints.encode()).hexdigest(),
                "split": _split_of_all(folds),
                "candidates": codes.height - num_outside,
            }
            | _partly_hidden(folds)
            | _counts(folds),
        },
    )
    write_predictions(run.path("predictions"), pooled)
    return run.finish()


def different_settings(folds: Sequence[Predictions]) -> dict[str, list[object]]:
    """The settings of the method that not all folds share, with the value of each fold; None: unset."""
    each = [settings_of_method(fold.manifest.get("config") or {}) for fold in folds]
    keys = sorted({key for settings in each for key in settings} - set(OF_A_FOLD))
    values = {key: [settings.get(key) for settings in each] for key in keys}
    return {key: of_folds for key, of_folds in values.items() if any(one != of_folds[0] for one in of_folds)}


def _target_counts(fold: Predictions, codes: pl.DataFrame) -> np.ndarray:
    """(T,) training examples of each target of a fold, in the order of the columns of `codes`."""
    column = {code: index for index, code in enumerate(codes["code"])}
    rows, columns = np.nonzero(fold.targets)
    pooled_columns = np.array([column[code] for code in fold.codes["code"]])[columns]
    counts: np.ndarray = fold.codes["train_count"].to_numpy()[columns]
    return counts[np.lexsort((pooled_columns, rows))].astype(np.int64)


def _sum_of(folds: Sequence[Predictions], key: str) -> float | None:
    """None where a fold does not say it."""
    values: list[float | None] = [fold.manifest.get(key) for fold in folds]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _highest_memory(folds: Sequence[Predictions]) -> dict[str, int]:
    """The folds trained one after the other."""
    peaks = [fold.manifest.get("peak_memory") or {} for fold in folds]
    return {key: max(peak.get(key, 0) for peak in peaks) for key in sorted({key for peak in peaks for key in peak})}


def _partly_hidden(folds: Sequence[Predictions]) -> dict[str, int]:
    """`hidden_in_some_folds`: codes that not every fold with them as candidates has hidden; empty where there are
    none."""
    candidates = pl.concat([fold.codes[: fold.num_candidates] for fold in folds])
    if "hidden" not in candidates.columns:
        return {}
    of_code = candidates.group_by("code").agg(pl.col("hidden").any().alias("any"), pl.col("hidden").all().alias("all"))
    number = of_code.filter(pl.col("any") & ~pl.col("all")).height
    return {"hidden_in_some_folds": number} if number else {}


def _counts(folds: Sequence[Predictions]) -> dict[str, object]:
    """`counts` of all folds together: what their tasks say they hold, whatever was scored; empty where one does not
    say it."""
    each = [(fold.manifest["task"].get("counts") or {}).get(fold.manifest["task"]["split"]) or {} for fold in folds]
    keys = [key for key in ("examples", "patients", "targets") if all(isinstance(one.get(key), int) for one in each)]
    total = {key: sum(one[key] for one in each) for key in keys}
    return {"counts": {_split_of_all(folds): total}} if total else {}


def _split_of_all(folds: Sequence[Predictions]) -> str:
    return f"all {len(folds)} folds"


def _calibrations(folds: Sequence[Predictions]) -> dict[str, object]:
    """`calibration` as mera/report/measures/reliability.py reads it; empty where a fold has none."""
    records = [fold.manifest["calibration"] for fold in folds if fold.manifest.get("calibration")]
    if len(records) == len(folds) and all(record == records[0] for record in records):
        return {"calibration": records[0]}
    if len(records) < len(folds) or not all("slope" in record for record in records):
        return {}
    return {
        "calibration": {
            "folds": [
                {**record, "examples": len(fold.example_ids)} for record, fold in zip(records, folds, strict=True)
            ]
        }
    }


def _mean_fusion(folds: Sequence[Predictions]) -> dict[str, object]:
    """`fusion` with the mean weights, shares and offsets of the folds, each part with those of its model, and what else
    is the same in all, without figures; empty where there is none. Raises UserError where the folds were fused of
    different models."""
    records = [fold.manifest["fusion"] for fold in folds if fold.manifest.get("fusion")]
    if len(records) < len(folds):
        return {}
    by_model = [_parts_by_model(record["parts"]) for record in records]
    sets = list(dict.fromkeys(", ".join(model for model, _ in sorted(parts)) for parts in by_model))
    if len(sets) > 1:
        raise UserError(f"the runs were fused of different models ({' and '.join(sets)}); fuse each fold of the same")
    first = records[0]
    same = {key: value for key, value in first.items() if all(record.get(key) == value for record in records)}
    fusion = same | {
        "parts": [
            {key: part[key] for key in ("run", "model")}
            | {key: _mean_of([parts[place] for parts in by_model], key) for key in ("weight", "share")}
            for place, part in by_model[0].items()
        ],
        "offsets": {group: _mean_of([record["offsets"] for record in records], group) for group in first["offsets"]},
        "validation_rows": sum(record["validation_rows"] for record in records),
    }
    if all("offsets_share" in record for record in records):
        fusion["offsets_share"] = _mean_of(records, "offsets_share")
    trees = [record["trees"] for record in records if record.get("trees")]
    if len(trees) == len(records) and len({of_fold["number"] for of_fold in trees}) == 1:
        rows = sum(of_fold["training_rows"] for of_fold in trees)
        fusion["trees"] = {"number": trees[0]["number"], "training_rows": rows}
    fusion.pop("validation", None)
    return {"fusion": fusion}


def _parts_by_model(parts: Sequence[Mapping[str, object]]) -> dict[tuple[str, int], Mapping[str, object]]:
    """(model, the how manieth of that model) -> the part: an ensemble has several of one."""
    places: dict[tuple[str, int], Mapping[str, object]] = {}
    for part in parts:
        model = str(part["model"])
        places[model, sum(other == model for other, _ in places)] = part
    return places


def _mean_of(records: Sequence[Mapping[str, object]], key: str) -> float:
    return float(np.array([record.get(key, 0.0) for record in records], dtype=np.float64).mean())


def _protocol(fold: Predictions) -> dict[str, Any]:
    return fold.manifest["task"].get("split_protocol", {})


def _fold(fold: Predictions) -> int:
    if _protocol(fold).get("name") != "kfold":
        raise UserError(f"the run {fold.name!r} is not of a k-fold task; mera pool takes one run for each fold")
    missing = [key for key in ("fold", *SAME_IN_ALL_FOLDS) if _protocol(fold).get(key) is None]
    if missing:
        raise UserError(
            f"the manifest of the run {fold.name!r} does not say the {', '.join(missing)} of its k-fold task; prepare "
            "the task again"
        )
    return _protocol(fold)["fold"]


def _check(folds: Sequence[Predictions]) -> None:
    if not folds:
        raise UserError("give the runs to pool, one for each fold")
    for fold in folds:
        check_unseen(fold)
    for key, name in SAME_IN_ALL_FOLDS.items():
        _check_same(name, [_protocol(fold)[key] for fold in folds], show=key != "cohort")
    _check_same("rules of candidates", [_candidates_rule(fold) for fold in folds])
    _check_same("splits", [fold.manifest["task"]["split"] for fold in folds])
    if len({fold.manifest["model"] for fold in folds}) > 1:
        names = ", ".join(sorted({fold.manifest["model"] for fold in folds}))
        raise UserError(f"the runs are of different models ({names}); pool each model's folds on their own")
    wanted, given = list(range(_protocol(folds[0])["folds"])), [_protocol(fold)["fold"] for fold in folds]
    if given != wanted:
        raise UserError(f"a pool needs each of the folds {wanted} once, got {given}")
    tested = Counter(patient for fold in folds for patient in set(fold.patient_ids))
    repeated = sum(count > 1 for count in tested.values())
    if repeated:
        raise UserError(f"{repeated:,} patients were tested in more than one of the folds; prepare the task again")


def _check_same(what: str, values: Sequence[Any], show: bool = True) -> None:
    different = list(dict.fromkeys(json.dumps(value) for value in values))
    if len(different) > 1:
        shown = f" ({' and '.join(different)})" if show else ""
        raise UserError(
            f"the runs are of different {what}{shown}; pool the folds of one `mera prepare --protocol kfold`"
        )


def _candidates_rule(fold: Predictions) -> str | None:
    """Its name; None in a manifest that was written before tasks had a choice."""
    return fold.manifest["task"].get("candidates_rule", {}).get("name")


def _all_codes(folds: Sequence[Predictions]) -> tuple[pl.DataFrame, int]:
    """The codes of all folds, what is a candidate of one before what is of none; and the number of the latter."""
    candidates = pl.concat([fold.codes[: fold.num_candidates] for fold in folds])
    if "hidden" in candidates.columns:  # by the training targets of each fold, so folds may differ a little
        candidates = candidates.with_columns(pl.col("hidden").all().over("code"))
    counts = candidates.group_by("code").agg(total=pl.col("train_count").sum())
    named = candidates.unique("code", keep="first", maintain_order=True)
    if named.height > folds[0].num_candidates:
        named = named.sort("code")
    mean = (pl.col("total") / len(folds)).round().cast(pl.Int64)
    named = named.join(counts, on="code", maintain_order="left").with_columns(train_count=mean).drop("total")
    others = pl.concat([fold.codes[fold.num_candidates :] for fold in folds]).unique("code", maintain_order=True)
    others = others.join(named, on="code", how="anti").with_columns(pl.col("train_count").cast(pl.Int64))
    return pl.concat([named, others.select(named.columns)]), others.height


def _stacked(
    parts: Sequence[np.ndarray], folds: Sequence[Predictions], codes: pl.DataFrame, nothing: float, dtype: type
) -> np.ndarray:
    """The rows of all folds over the columns of `codes`, `nothing` where a fold lacks the code."""
    column = {code: index for index, code in enumerate(codes["code"])}
    whole: np.ndarray = np.full((sum(map(len, parts)), codes.height), nothing, dtype=dtype)
    start = 0
    for part, fold in zip(parts, folds, strict=True):
        whole[start : start + len(part), [column[code] for code in fold.codes["code"]]] = part
        start += len(part)
    return whole


def _all_groups(folds: Sequence[Predictions]) -> pl.DataFrame | None:
    tables = [fold.group_names for fold in folds if fold.group_names is not None]
    return pl.concat(tables).unique(["level", "group"], keep="first", maintain_order=True) if tables else None


def _all_rules(folds: Sequence[Predictions]) -> pl.DataFrame | None:
    """The rules of all folds; one that several have is about the candidates of them all."""
    tables = [fold.rules for fold in folds if fold.rules is not None]
    if not tables:
        return None
    sides = [pl.col(side).explode().drop_nulls().unique(maintain_order=True) for side in ("subjects", "objects")]
    return pl.concat(tables).group_by("kind", "node", "text", maintain_order=True).agg(sides)


def _all_sexes(folds: Sequence[Predictions]) -> list[str | None] | None:
    """None where a fold does not say them."""
    parts = [fold.sexes for fold in folds if fold.sexes is not None]
    return [sex for part in parts for sex in part] if len(parts) == len(folds) else None


def _concatenated(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """None where a fold lacks its part."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None
