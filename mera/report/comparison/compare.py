"""The runs of one task side by side: the report's numbers as one JSON-ready dictionary.

Everything that is printed or drawn is read from here, so report.json holds every number of the page. A number that
does not exist is None. Metrics, differences and intervals are fractions, not percent.
"""

import math
from collections import Counter
from typing import Any

import numpy as np

from mera.evaluation import bootstrap
from mera.report.comparison.ablation import ablation_differences, find_ablations
from mera.report.comparison.pairs import LEADING_METRIC, is_oracle, mark_best, paired_differences, stratum_differences
from mera.report.comparison.published import published_rows
from mera.report.comparison.summary import cautions, summarise
from mera.report.measures.candidates import candidates_record
from mera.report.measures.estimates import estimate, without_interval
from mera.report.measures.load import Comparable
from mera.report.measures.measure import METRICS, Measures, measure
from mera.report.measures.records import memorization_rows, training_curve, width_rows
from mera.report.measures.strata import Stratification, stratify
from mera.runs.predictions import read_predictions


def compare(shared: Comparable, bootstrap_samples: int, seed: int, reference: str | None = None) -> dict[str, Any]:
    """Measure every run (one in memory at a time) and compare them; `reference`: the run that ablations start from."""
    weights = bootstrap.patient_weights(shared.patient_ids, bootstrap_samples, seed)
    strata = stratify(shared)
    measured = [measure(read_predictions(path), shared, strata, weights) for path in shared.paths]
    measured.sort(key=_place)
    num_patients = len(set(shared.patient_ids))
    section = without_nan(
        {
            "task": shared.task,
            "examples": len(shared.example_ids),
            "patients": num_patients,
            **candidates_record(shared.task, int(shared.targets.sum()), shared.outside),
            "targets": int(shared.targets.sum()),
            "targets_per_example": float(shared.targets.sum(axis=1).mean()),
            "leading_metric": LEADING_METRIC,
            "runs": [_run_record(run, label) for run, label in zip(measured, _labels(measured), strict=True)],
            "pairs": paired_differences(measured, num_patients),
            "strata": [_stratification_record(part, measured, shared) for part in strata],
            "oracle_share": _oracle_share(measured),
            "published": published_rows(shared.task),
        }
    )
    mark_best(section)
    section["ablations"] = find_ablations(section, reference)
    for run in (run for found in section["ablations"] for run in found["runs"]):
        run["differences"] = without_nan(ablation_differences(section, measured, run["pairs"]))
    section["summary"] = summarise(section)
    section["cautions"] = cautions(section)
    return section


def without_nan(value: Any) -> Any:
    """A copy with None for every NaN, and plain Python numbers."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _place(run: Measures) -> tuple[bool, float, str]:
    """Oracles first, as the bound; then by recall@20, then by name."""
    value = run.values[LEADING_METRIC]
    return not is_oracle(run.manifest), math.inf if math.isnan(value) else -value, run.manifest["run"]


def _labels(measured: list[Measures]) -> list[str]:
    """What tables call a run: its model, and its run name where two runs have the same model name."""
    models = [str(run.manifest.get("model", run.manifest["run"])) for run in measured]
    shared = Counter(models)
    return [
        model if shared[model] == 1 else f"{model} ({run.manifest['run']})"
        for model, run in zip(models, measured, strict=True)
    ]


def _run_record(run: Measures, label: str) -> dict[str, Any]:
    return {
        "run": run.manifest["run"],
        "label": label,
        "kind": run.manifest.get("kind"),
        "metrics": {
            metric.key: estimate(
                run.replicates[metric.key], bootstrap.mean_error(run.by_code.get(metric.key, np.empty(0)))
            )
            if metric.key in run.replicates
            else without_interval(run.values[metric.key])
            for metric in METRICS
        },
        "recall_curve": run.recall_curve.tolist(),
        "set_size": run.set_size,
        "precision_recall": run.precision_recall,
        "hierarchy": run.hierarchy,
        "coarse_levels": run.coarse_levels,
        "reliability": run.reliability,
        "training": training_curve(run.records.get("training")),
        "memorization": memorization_rows(run.records.get("memorization")),
        "stage_one_seconds": (run.records.get("memorization") or {}).get("seconds"),
        "widths": width_rows(run.records.get("widths")),
        "manifest": run.manifest,
    }


def _stratification_record(part: Stratification, measured: list[Measures], shared: Comparable) -> dict[str, Any]:
    num_targets = np.bincount(part.group_of_target, minlength=len(part.labels))
    patient_of_target = np.asarray(shared.patient_ids)[np.nonzero(shared.targets)[0]]
    num_patients = [len(set(patient_of_target[part.group_of_target == group])) for group in range(len(part.labels))]
    return {
        "key": part.key,
        "title": part.title,
        "definition": part.definition,
        "groups": [
            {
                "label": label,
                "targets": int(num_targets[index]),
                "codes": None if part.num_codes is None else part.num_codes[index],
                "examples": None if part.num_examples is None else part.num_examples[index],
                "patients": num_patients[index],
            }
            for index, label in enumerate(part.labels)
        ],
        "values": {run.manifest["run"]: [estimate(found) for found in run.strata[part.key]] for run in measured},
        "pairs": stratum_differences(measured, part.key, num_patients),
    }


def _oracle_share(measured: list[Measures]) -> dict[str, Any] | None:
    """Recall@20 of the best competitor as a share of the oracle's, on the same resamples."""
    oracles = [run for run in measured if is_oracle(run.manifest)]
    others = [run for run in measured if not is_oracle(run.manifest)]
    if not oracles or not others:
        return None
    best, oracle = others[0].replicates[LEADING_METRIC], oracles[0].replicates[LEADING_METRIC]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(oracle > 0, best / oracle, np.nan)
    names = {"run": others[0].manifest["run"], "oracle": oracles[0].manifest["run"]}
    return names | estimate(share, bounds=(0.0, math.inf))
