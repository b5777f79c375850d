"""Runs whose configuration differs from a reference run in a few keys: what each change is worth."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mera.config import settings_of_method
from mera.evaluation import bootstrap
from mera.report.comparison.pairs import MetricDifference, find_pair
from mera.report.comparison.published import Change, PaperFinding, paper_finding
from mera.report.json_form import INLINE, JsonObject, called
from mera.report.measures.estimates import finite
from mera.report.measures.measure import Measures
from mera.report.measures.run_manifest import BASELINE, ORACLE

MAX_CHANGES = 3
"""Runs that differ in more keys are different models, not ablations of one."""
START_KEYS = ("model.base", "model.gguf_file", "model.architecture", "model.tokenizer_size", "model.max_length")
"""Together they say one thing, what the run started from: one key, START, of a configuration that is compared."""
START = "model.base"
SEED = "training.seed"
BASELINE_SEED = "seed"
MISSING = "not set"
METRICS = ("recall@20", "weighted_f1_at_label_count", "micro_f1", "map")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedRun:
    """What the search for ablations knows of a run."""

    name: str
    kind: str | None
    model: str
    """Empty where its manifest names none: it is not called after its folder, which a seed may have of its own."""
    config: JsonObject
    has_stage_one: bool
    """It started from a checkpoint of stage one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Relative:
    """A model that differs from the reference in 1-3 keys."""

    name: str = field(metadata=called("run"))
    """Its run with the first seed."""
    changes: tuple[Change, ...]
    pairs: tuple[tuple[str, str], ...]
    """(its run, the reference's run) of each seed that both have; without one, of their first seeds."""
    paper: PaperFinding | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Relatives:
    """The reference of one kind of model and what is near it."""

    kind: str | None
    reference: str
    relatives: tuple[Relative, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedsDifference:
    """Mean over several seeds of run minus reference, with the interval over patients of that mean; without a test."""

    difference: float | None
    low: float | None
    high: float | None
    by_seed: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationRun:
    relative: Relative = field(metadata=INLINE)
    differences: Mapping[str, MetricDifference | SeedsDifference]
    """By metric of METRICS: run minus reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """All ablations of one kind of model."""

    kind: str | None
    reference: str
    runs: tuple[AblationRun, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """One configuration, trained with one or more seeds."""

    config: JsonObject
    """flat, without the seed"""
    runs: Mapping[object, str]
    """seed -> run"""

    @property
    def name(self) -> str:
        """The run with the first seed."""
        return self.runs[min(self.runs, key=seed_order)]


def names_without_seeds(models: Mapping[object, Collection[str]]) -> dict[tuple[object, str], str]:
    """(seed, name) of runs that differ in nothing but their seed -> what the model is called without it: `LSTM` of
    `LSTM (seed 3)`, and where names differ, of `LSTM-3` with seed 3. `models`: seed -> names."""
    plain = {(seed, name): without_seed(name) for seed, names in models.items() for name in names}
    if len(set(plain.values())) == 1:
        return plain  # a number at its end is the model's own
    return {
        (seed, name): re.sub(rf"[\s,;_-]+{re.escape(str(seed))}\s*$", "", text) or text
        for (seed, name), text in plain.items()
    }


def without_seed(model: str) -> str:
    """`LSTM` of `LSTM (seed 3)`."""
    return re.sub(r"[\s,;_-]*[(\[]?\s*\bseed[\s_=:-]*\d+\s*[)\]]?\s*$", "", model, flags=re.IGNORECASE) or model


def seed_order(seed: object) -> tuple[int, str]:
    """2 before 10; a run without a seed has None."""
    return len(str(seed)), str(seed)


def compare_ablations(
    measured: Sequence[Measures], pairs: Sequence[MetricDifference], reference: str | None
) -> tuple[Ablation, ...]:
    """The ablations among the runs, each with its differences; `pairs`: every comparison of two runs."""
    runs = [_trained_run(run) for run in measured]
    return tuple(
        Ablation(
            kind=family.kind,
            reference=family.reference,
            runs=tuple(
                AblationRun(relative=relative, differences=ablation_differences(measured, pairs, relative.pairs))
                for relative in family.relatives
            ),
        )
        for family in find_ablations(runs, reference)
    )


def trained_runs(measured: Sequence[Measures]) -> list[TrainedRun]:
    """Those that are no oracles; baselines learn too."""
    return [_trained_run(run) for run in measured if run.manifest.kind != ORACLE]


def find_ablations(runs: Sequence[TrainedRun], reference: str | None = None) -> list[Relatives]:
    """For each kind of model with near relatives: the reference and the runs that differ from it in 1-3 keys.

    Runs that differ in nothing but their seed are one model. The reference is `reference` where it is of that kind,
    else the model with the most such relatives; of equals, the one that differs least from them.
    """
    families = []
    trained = [run for run in runs if run.kind not in (ORACLE, BASELINE)]
    for kind in dict.fromkeys(run.kind for run in trained):
        models = models_of([run for run in trained if run.kind == kind])
        relatives = {model.name: _relatives(model, models) for model in models}
        named = [model.name for model in models if reference in model.runs.values()]
        chosen = named[0] if named else max(relatives, key=lambda name: _centrality(relatives[name]))
        if relatives[chosen]:
            families.append(Relatives(kind=kind, reference=chosen, relatives=relatives[chosen]))
    return families


def ablation_differences(
    measured: Sequence[Measures], all_pairs: Sequence[MetricDifference], pairs: Sequence[tuple[str, str]]
) -> dict[str, MetricDifference | SeedsDifference]:
    """For each of METRICS: run minus reference over the `pairs` of runs, one for each seed.

    One pair has the p-value of the whole report's correction; several have none, but each seed's difference.
    """
    if len(pairs) == 1:
        first, second = pairs[0]
        single = {metric: find_pair(all_pairs, metric, first, second) for metric in METRICS}
        return {metric: pair for metric, pair in single.items() if pair is not None}
    runs = {run.name: run for run in measured}
    return {metric: _over_seeds(metric, [(runs[first], runs[second]) for first, second in pairs]) for metric in METRICS}


def _over_seeds(metric: str, pairs: list[tuple[Measures, Measures]]) -> SeedsDifference:
    by_seed = [first.values[metric] - second.values[metric] for first, second in pairs]
    low = high = float("nan")
    if all(metric in run.replicates for pair in pairs for run in pair):
        mean = np.mean([first.replicates[metric] - second.replicates[metric] for first, second in pairs], axis=0)
        low, high = bootstrap.interval(mean)
    return SeedsDifference(
        difference=finite(float(np.mean(by_seed))),
        low=finite(low),
        high=finite(high),
        by_seed=tuple(map(finite, by_seed)),
    )


def models_of(runs: Sequence[TrainedRun]) -> list[TrainedModel]:
    """Runs of one kind, put together where they are called alike and differ in nothing but their seed."""
    configs: dict[str, JsonObject] = {}
    by_seed: dict[str, dict[object, str]] = {}
    names: dict[str, dict[object, set[str]]] = {}
    described: list[tuple[TrainedRun, object, str, JsonObject]] = []
    for run in runs:
        config = _described(run)
        seed = config.pop(BASELINE_SEED if run.kind == BASELINE else SEED, None)
        settings = json.dumps(config, sort_keys=True)
        described.append((run, seed, settings, config))
        names.setdefault(settings, {}).setdefault(seed, set()).add(run.model)
    for run, seed, settings, config in described:
        key = json.dumps([names_without_seeds(names[settings])[seed, run.model], settings])
        configs.setdefault(key, config)
        by_seed.setdefault(key, {}).setdefault(seed, run.name)
    return [TrainedModel(config=config, runs=by_seed[key]) for key, config in configs.items()]


def _trained_run(run: Measures) -> TrainedRun:
    return TrainedRun(
        name=run.name,
        kind=run.manifest.kind,
        model=run.manifest.model if run.manifest.kind == BASELINE or "model" in run.manifest.record else "",
        config=run.manifest.config,
        has_stage_one=bool(run.breakdown.memorization),
    )


def _described(run: TrainedRun) -> JsonObject:
    """The run's configuration, flat; what it started from as one key, START."""
    every = settings_of_method(run.config)
    flat = {key: value for key, value in every.items() if not key.startswith(START_KEYS)}
    if run.kind == BASELINE:  # one configuration is that of all baselines
        return flat | {"model": without_seed(run.model)}
    model = run.config.get("model")
    if isinstance(model, dict):
        architecture = model.get("architecture") or {}
        start = {key: value for key, value in every.items() if key.startswith(START_KEYS)}
        start[START] = model.get("base") or f"random {architecture.get('model_type', 'weights')}"
        flat[START] = start
        flat["stage one"] = run.has_stage_one
    return flat


def _centrality(relatives: Sequence[Relative]) -> tuple[int, int]:
    return len(relatives), -sum(len(relative.changes) for relative in relatives)


def _relatives(reference: TrainedModel, models: Sequence[TrainedModel]) -> tuple[Relative, ...]:
    relatives = []
    for model in models:
        changes = [
            Change(key=key, reference=in_words, changed=changed_in_words)
            for key in sorted(reference.config.keys() | model.config.keys())
            if reference.config.get(key, MISSING) != model.config.get(key, MISSING)
            for in_words, changed_in_words in [_both_in_words(reference.config, model.config, key)]
        ]
        shared = sorted(model.runs.keys() & reference.runs.keys(), key=seed_order)
        pairs = [(model.runs[seed], reference.runs[seed]) for seed in shared] or [(model.name, reference.name)]
        if changes and not shared:
            seeds = [str(min(runs, key=seed_order)) for runs in (reference.runs, model.runs)]
            changes.append(Change(key=SEED, reference=seeds[0], changed=seeds[1]))
        if 0 < len(changes) <= MAX_CHANGES and reference.config and model.config:
            relatives.append(
                Relative(name=model.name, changes=tuple(changes), pairs=tuple(pairs), paper=paper_finding(changes))
            )
    return tuple(relatives)


def _both_in_words(first: JsonObject, second: JsonObject, key: str) -> tuple[str, str]:
    """Two values of a key; of what the runs started from the base, and where they share that, the parts that differ."""
    one, other = first.get(key), second.get(key)
    if not isinstance(one, dict) or not isinstance(other, dict):
        return _in_words(first, key), _in_words(second, key)
    parts = [part for part in sorted(one.keys() | other.keys()) if one.get(part, MISSING) != other.get(part, MISSING)]
    parts = [START] if START in parts else parts

    def words(start: JsonObject) -> str:
        return ", ".join(f"{'' if part == START else f'{part} '}{_in_words(start, part)}" for part in parts)

    return words(one), words(other)


def _in_words(config: JsonObject, key: str) -> str:
    if key not in config:
        return MISSING
    value = config[key]
    if isinstance(value, dict):
        return str(value[START])
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return str(value)
