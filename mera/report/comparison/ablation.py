"""Runs whose configuration differs from a reference run in a few keys: what each change is worth."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mera.evaluation import bootstrap
from mera.report.comparison.pairs import competitors, find_pair
from mera.report.comparison.published import paper_finding
from mera.report.measures.measure import Measures

MAX_CHANGES = 3
"""Runs that differ in more keys are different models, not ablations of one."""
IGNORED_KEYS = frozenset(
    {
        *("output", "name", "task", "evaluation_batch_size", "selection.batch_size", "model.dtype", "attention"),
        *("training.tracking", "training.keep_last", "training.save_every"),
    }
)
"""Where a run was written, what it is called, and how it was computed, not what was trained."""
START_KEYS = ("model.base", "model.gguf_file", "model.architecture", "model.tokenizer_size", "model.max_length")
"""Together they say one thing: what the run started from."""
SEED = "training.seed"
MISSING = "not set"
METRICS = ("recall@20", "weighted_f1_at_label_count", "micro_f1", "map")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Model:
    """One configuration, trained with one or more seeds."""

    config: dict[str, Any]
    """flat, without the seed"""
    runs: dict[Any, str]
    """seed -> run"""

    @property
    def name(self) -> str:
        """The run with the first seed."""
        return self.runs[min(self.runs, key=str)]


def find_ablations(section: dict[str, Any], reference: str | None = None) -> list[dict[str, Any]]:
    """For each kind of model with near relatives: the reference and the runs that differ from it in 1-3 keys.

    Runs that differ in nothing but their seed are one model; `pairs` are its runs and the reference's of equal seeds.
    The reference is `reference` where it is of that kind, else the model with the most such relatives; of equals, the
    one that differs least from them. Each change is named with both values; `paper`: see `paper_finding`.
    """
    found = []
    trained = [run for run in competitors(section) if run["kind"] != "baseline"]
    for kind in dict.fromkeys(run["kind"] for run in trained):
        models = _models([run for run in trained if run["kind"] == kind])
        relatives = {model.name: _relatives(model, models) for model in models}
        named = [model.name for model in models if reference in model.runs.values()]
        chosen = named[0] if named else max(relatives, key=lambda name: _centrality(relatives[name]))
        if relatives[chosen]:
            found.append({"kind": kind, "reference": chosen, "runs": relatives[chosen]})
    return found


def ablation_differences(
    section: dict[str, Any], measured: list[Measures], pairs: list[list[str]]
) -> dict[str, dict[str, Any]]:
    """For each of METRICS: run minus reference, a mean over seeds, with the interval over patients of that mean.

    One pair has the p-value of the whole report's correction; several have none, but `by_seed`, each seed's difference.
    """
    if len(pairs) == 1:
        found = {metric: find_pair(section, metric, *pairs[0]) for metric in METRICS}
        return {metric: pair for metric, pair in found.items() if pair is not None}
    runs = {run.manifest["run"]: run for run in measured}
    differences = {}
    for metric in METRICS:
        both = [(runs[first], runs[second]) for first, second in pairs]
        by_seed = [first.values[metric] - second.values[metric] for first, second in both]
        low = high = None
        if all(metric in run.replicates for pair in both for run in pair):
            mean = np.mean([first.replicates[metric] - second.replicates[metric] for first, second in both], axis=0)
            low, high = bootstrap.interval(mean)
        differences[metric] = {"difference": float(np.mean(by_seed)), "low": low, "high": high, "by_seed": by_seed}
    return differences


def flattened(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"loss": {"known": "negative"}}` -> `{"loss.known": "negative"}`, without the keys that change no model."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flattened(value, f"{name}.")
        elif name not in IGNORED_KEYS:
            found[name] = value
    return found


def _models(runs: list[dict[str, Any]]) -> list[_Model]:
    found: dict[str, _Model] = {}
    for run in runs:
        config = _described(run)
        seed = config.pop(SEED, None)
        model = found.setdefault(json.dumps(config, sort_keys=True), _Model(config=config, runs={}))
        model.runs.setdefault(seed, run["run"])
    return list(found.values())


def _described(run: dict[str, Any]) -> dict[str, Any]:
    """The run's configuration, flat; what it started from as one key, `model.base`."""
    config = run["manifest"].get("config") or {}
    flat = {key: value for key, value in flattened(config).items() if not key.startswith(START_KEYS)}
    model = config.get("model")
    if isinstance(model, dict):
        architecture = model.get("architecture") or {}
        flat["model.base"] = model.get("base") or f"random {architecture.get('model_type', 'weights')}"
        flat["stage one"] = bool(run.get("memorization"))
    return flat


def _centrality(relatives: list[dict[str, Any]]) -> tuple[int, int]:
    return len(relatives), -sum(len(run["changes"]) for run in relatives)


def _relatives(reference: _Model, models: list[_Model]) -> list[dict[str, Any]]:
    found = []
    for model in models:
        changes = [
            {"key": key, "reference": _shown(reference.config, key), "changed": _shown(model.config, key)}
            for key in sorted(reference.config.keys() | model.config.keys())
            if reference.config.get(key, MISSING) != model.config.get(key, MISSING)
        ]
        shared = sorted(model.runs.keys() & reference.runs.keys(), key=str)
        pairs = [[model.runs[seed], reference.runs[seed]] for seed in shared] or [[model.name, reference.name]]
        if changes and not shared:
            seeds = [str(min(runs, key=str)) for runs in (reference.runs, model.runs)]
            changes.append({"key": SEED, "reference": seeds[0], "changed": seeds[1]})
        if 0 < len(changes) <= MAX_CHANGES and reference.config and model.config:
            found.append({"run": model.name, "changes": changes, "pairs": pairs, "paper": paper_finding(changes)})
    return found


def _shown(config: dict[str, Any], key: str) -> str:
    if key not in config:
        return MISSING
    value = config[key]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return str(value)
