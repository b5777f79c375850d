"""The runs of one task side by side: every number of the report.

Everything that is printed or drawn is read from a `Comparison`, so report.json holds every number of the page. A number
that does not exist is None. Metrics, differences and intervals are fractions, not percent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mera.evaluation import bootstrap
from mera.report.comparison.ablations import Ablation, compare_ablations
from mera.report.comparison.averaged import Averaged, Family, averaged_runs, families, put_together
from mera.report.comparison.codes import CodeTable, code_table
from mera.report.comparison.pairs import LEADING_METRIC, MetricDifference, paired_differences
from mera.report.comparison.published import PublishedRow, published_rows
from mera.report.comparison.runs import ComparedRun, compared_runs
from mera.report.comparison.seeds import SeedGroup, seed_groups
from mera.report.comparison.signatures import Setting, Signature, failure_signatures, over_seeds
from mera.report.comparison.strata import StratifiedRecall, stratified_recall
from mera.report.json_form import INLINE, OMITTED, called
from mera.report.measures.candidates import Candidates
from mera.report.measures.estimates import Estimate, estimate
from mera.report.measures.load import Comparable
from mera.report.measures.measure import Measures, measure
from mera.report.measures.sets.coding_rules import TrueSetRules, shared_rules, true_set_rules
from mera.report.measures.sets.guarantees import validation_margins
from mera.report.measures.strata import stratify
from mera.report.measures.task_record import TaskRecord
from mera.runs.predictions import read_predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class OracleShare:
    """Recall@20 of the best competitor as a share of the oracle's."""

    name: str = field(metadata=called("run"))
    oracle: str
    share: Estimate = field(metadata=INLINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The runs of one task."""

    task: TaskRecord
    examples: int
    patients: int
    candidates: Candidates = field(metadata=INLINE)
    targets: int
    """True codes of all examples."""
    targets_per_example: float
    leading_metric: str
    runs: tuple[ComparedRun, ...]
    """Oracles first, then by recall@20."""
    pairs: tuple[MetricDifference, ...]
    strata: tuple[StratifiedRecall, ...]
    oracle_share: OracleShare | None
    published: tuple[PublishedRow, ...]
    ablations: tuple[Ablation, ...]
    seeds: tuple[SeedGroup, ...]
    """Models that were trained with several seeds."""
    averaged: Averaged | None
    """With the seeds of each model put together; None where no model has several."""
    families: tuple[Family, ...]
    """Of the models that are shown."""
    true_set_rules: TrueSetRules | None
    """The coding rules that the true sets break; None where the task has none."""
    signatures: tuple[Signature, ...]
    """Patterns of numbers that point at a failure."""
    codes: CodeTable = field(metadata=OMITTED)
    """Written as tables/codes.csv."""

    @property
    def shown(self) -> "Averaged | Comparison":
        """What a page shows: `runs`, `pairs` and `strata` of models, or of runs where each is a model of its own."""
        return self.averaged or self


def compare(
    shared: Comparable, bootstrap_samples: int, seed: int, reference: str | None = None, rare_codes: bool = False
) -> Comparison:
    """Measure every run (one in memory at a time) and compare them; `reference`: the run that ablations start from,
    `rare_codes`: codes of few patients may be named."""
    weights = bootstrap.patient_weights(shared.patient_ids, bootstrap_samples, seed)
    partitions, rules = stratify(shared), shared_rules(shared)

    def measured_run(path: Path) -> Measures:
        validation = validation_margins(path, shared.task.fingerprint, shared.patient_ids)
        run = read_predictions(path)
        run = replace(run, targets=shared.targets, seen=shared.seen)  # equal ones, held once
        return measure(run, shared, partitions, rules, weights, validation)

    measured = sorted(map(measured_run, shared.paths), key=lambda run: run.place)
    num_patients, num_targets = len(set(shared.patient_ids)), int(shared.targets.sum())
    pairs = paired_differences(measured)
    runs = compared_runs(measured, pairs)
    setting = Setting(
        task=shared.task,
        examples=len(shared.example_ids),
        candidates=shared.outside.num_candidates,
        targets_per_example=float(shared.targets.sum(axis=1).mean()),
    )
    seeds = seed_groups(measured)
    averaged = averaged_runs(measured, seeds, partitions, shared)
    return Comparison(
        task=shared.task,
        examples=len(shared.example_ids),
        patients=num_patients,
        candidates=Candidates.of(shared.task.candidates_rule, shared.task.candidates_file, shared.outside, num_targets),
        targets=num_targets,
        targets_per_example=setting.targets_per_example,
        leading_metric=LEADING_METRIC,
        runs=runs,
        pairs=pairs,
        strata=tuple(stratified_recall(partition, measured, shared) for partition in partitions),
        oracle_share=_oracle_share(put_together(measured, seeds)),
        published=published_rows(shared.task),
        ablations=compare_ablations(measured, pairs, reference),
        seeds=seeds,
        averaged=averaged,
        families=families(runs if averaged is None else averaged.runs),
        true_set_rules=true_set_rules(shared, rules),
        signatures=over_seeds(failure_signatures(runs, setting), seeds),
        codes=code_table(shared, measured, rare_codes),
    )


def _oracle_share(measured: Sequence[Measures]) -> OracleShare | None:
    """On the same resamples."""
    oracles = [run for run in measured if run.is_oracle]
    others = [run for run in measured if not run.is_oracle]
    if not oracles or not others:
        return None
    best, oracle = others[0].replicates[LEADING_METRIC], oracles[0].replicates[LEADING_METRIC]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(oracle > 0, best / oracle, np.nan)
    return OracleShare(name=others[0].name, oracle=oracles[0].name, share=estimate(share, bounds=(0.0, math.inf)))
