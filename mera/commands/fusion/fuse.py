"""`mera fuse`: the runs as one run, its threshold and what its manifest says."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mera.commands.fusion.parts import Splits, check_paths, figures
from mera.commands.fusion.saved import write_fusion
from mera.commands.fusion.trees import fuse_by_trees
from mera.commands.fusion.weighted_sum import fuse_by_sum
from mera.evaluation.calibration import fit_platt
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.other_splits.validation_scores import FOLDER, read_validation
from mera.runs.predictions import Predictions, read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory

Form = Literal["sum", "trees"]
FORMS = {"sum": fuse_by_sum, "trees": fuse_by_trees}
CALLED = {"sum": "fusion", "trees": "fusion by trees"}


def fuse_runs(paths: Sequence[str | Path], output: str | Path, name: str | None = None, form: Form = "sum") -> Path:
    """Fuse the runs in `paths` into the run `output`; return it. `name`: what the report calls it.

    `form`: the weighted sum, fitted on validation, or trees on top of one, fitted on train and validation. The run's
    `predictions/` are scored by the fusion fitted on all these rows; the rows of its `validation/` each by a fusion
    fitted without their patient, and by these the threshold, the calibration and the figures of the manifest come
    about, over the candidates by which validation may judge (`fair_candidates`). Raises UserError where there are fewer
    than two runs, one stands twice, a run has no validation predictions (`trees`: no training scores) or was scored on
    patients it has learnt from, or they are not of the same task, rows and candidates.
    """
    clock = RunClock()
    folders = [Path(path) for path in paths]
    check_paths(folders, Path(output))
    first = Splits(folders[0], read_validation(folders[0]), read_predictions(folders[0]))
    fused = FORMS[form](folders, first)

    targets, judged = first.validation.targets[:, first.fair], fused.validation[:, first.fair]
    threshold = best_threshold(judged, targets)
    run = RunDirectory.begun_anew(output)
    manifest = build_manifest(
        run=run.final.name,
        model=name or f"{CALLED[form]} of {', '.join(part.model for part in fused.parts)}",
        kind="fusion",
        config={"parts": [part.run for part in fused.parts], "form": form},
        seed=0,
        task=first.test.manifest["task"],
        clock=clock,
    ) | {
        "calibration": fit_platt(judged - threshold, targets),
        "fusion": {
            **fused.record,
            "validation": figures(judged, np.full(len(targets), np.float32(threshold)), targets),
            "validation_rows": len(targets),
        },
    }
    if any(part.refitted for part in fused.parts):
        manifest["refitted"] = True
    of_validation = manifest | {"task": first.validation.manifest["task"]}
    of_test = _fused(first.test, fused.test, threshold, manifest)
    patients, evidence = trained_on_of_parts(map(read_predictions, folders)), evidence_of_parts(folders)
    write_predictions(run.path("predictions"), dataclasses.replace(of_test, records=evidence, trained_on=patients))
    write_fusion(run, folders, fused, threshold)
    patients = trained_on_of_parts(map(read_validation, folders))
    of_fitting = _fused(first.validation, fused.validation, threshold, of_validation)
    write_predictions(run.path(FOLDER), dataclasses.replace(of_fitting, trained_on=patients))
    return run.finish()


def trained_on_of_parts(parts: Iterable[Predictions]) -> np.ndarray | None:
    """`Predictions.trained_on` of them all together; None where none says it."""
    known = [part.trained_on for part in parts if part.trained_on is not None]
    return np.unique(np.concatenate(known)) if known else None


def evidence_of_parts(folders: Sequence[Path]) -> dict[str, dict[str, dict[str, list[list[int]]]]]:
    """The record `evidence` (row -> code -> spans, for the report's example pages), of each code that of the first part
    that has it; no record where none has."""
    merged: dict[str, dict[str, list[list[int]]]] = {}
    for folder in folders:
        for row, of_codes in (read_predictions(folder).records.get("evidence") or {}).items():
            said = {code: spans for code, spans in of_codes.items() if spans}
            merged[row] = {**said, **merged.get(row, {})}
    return {"evidence": merged} if merged else {}


def _fused(run: Predictions, scores: np.ndarray, threshold: float, manifest: Mapping[str, object]) -> Predictions:
    """`run` with other scores; codes that are no candidates stay at -inf."""
    wider = run.scores.copy()
    wider[:, : run.num_candidates] = scores
    thresholds = np.full(len(scores), threshold, dtype=np.float32)
    return dataclasses.replace(run, scores=wider, thresholds=thresholds, manifest={**manifest}, records={})
