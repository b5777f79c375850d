"""One run's numbers: every metric with its bootstrap replicates, and every breakdown that the report shows."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from mera import metrics
from mera.evaluation import bootstrap
from mera.evaluation.coding_rules import CodingRules
from mera.evaluation.hidden_codes import hidden_replicates, hidden_targets
from mera.report.measures.decisions import PrecisionRecall, SetSize, at_label_count, precision_recall, set_size
from mera.report.measures.estimates import Estimate, estimate
from mera.report.measures.hierarchy import CoarseLevels, Hierarchy, coarse_levels, hierarchy
from mera.report.measures.load import Comparable
from mera.report.measures.records import (
    StageOneRecall,
    TrainingCurve,
    Width,
    stage_one_recall,
    stage_one_seconds,
    training_curve,
    widths,
)
from mera.report.measures.reliability import Reliability, reliability
from mera.report.measures.run_manifest import ORACLE, RunManifest
from mera.report.measures.sets.code_counts import CodeCounts, code_counts
from mera.report.measures.sets.coding_rules import RuleCheck, rule_check
from mera.report.measures.sets.guarantees import Guarantees, ValidationMargins, guarantees
from mera.report.measures.sets.variety import Variety, variety
from mera.report.measures.strata import Stratification, recall_in_groups
from mera.runs.predictions import Predictions

MAX_AUC_WORK = 200_000_000
"""Targets x examples above which ROC-AUC gets no interval: with 1,000 resamples that is some 10 s a run."""
SAME_DIGITS = 9
"""To which two recalls are the same: sums of floats in another order differ behind it."""
BLOCK_ELEMENTS = 4_000_000
"""Scores ranked at once without the codes of the history."""
CURVE_LENGTH = 100
CODING = "coding"
"""Kind of the tasks that code a note."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    key: str
    label: str
    meaning: str


NEW_CODE_METRICS = (
    Metric(
        key="new_recall@10",
        label="New codes: Recall@10",
        meaning="share of a row's true codes that are not in its history, among the first 10 codes that are not; rows "
        "without such a true code are left out",
    ),
    Metric(key="new_recall@20", label="New codes: Recall@20", meaning="the same among the first 20"),
    Metric(
        key="new_map", label="New codes: MAP", meaning="MAP of the ranking and the true codes without the row's history"
    ),
    Metric(
        key="new_micro_f1",
        label="New codes: Micro F1",
        meaning="micro F1 of the predicted and the true codes that are not in the row's history, at the same threshold",
    ),
)
"""Onset: only codes that the history does not hold, as if those that it holds were no candidates. Tasks that predict a
next visit have them; where a note is coded, the history is no answer to be left out."""
MEANS_OVER_ROWS = (
    "recall@10",
    "recall@20",
    "precision@5",
    "ndcg@20",
    "map",
    "new_recall@10",
    "new_recall@20",
    "new_map",
)
"""Keys of the metrics that are shares of each row: at 1 all patients have all, at 0 none has any."""
METRICS = (
    Metric(key="recall@10", label="Recall@10", meaning="share of a row's true codes among its first 10"),
    Metric(key="recall@20", label="Recall@20", meaning="the same among its first 20"),
    Metric(
        key="weighted_f1_at_label_count",
        label="Weighted F1 at label count",
        meaning="each row predicts as many codes as it truly has (oracle count); F1 per code, weighted by support",
    ),
    Metric(key="micro_f1", label="Micro F1", meaning="codes above the model's own threshold, all pairs together"),
    Metric(key="map", label="MAP", meaning="mean over rows of the average precision over the whole ranking"),
    *NEW_CODE_METRICS,
    Metric(
        key="macro_f1",
        label="Macro F1",
        meaning="codes above the threshold; mean over the codes that occur in the split of the code's F1",
    ),
    Metric(key="precision@5", label="Precision@5", meaning="share of true codes among a row's first 5"),
    Metric(key="ndcg@20", label="nDCG@20", meaning="discounted gain of the true codes among the first 20"),
    Metric(key="macro_roc_auc", label="Macro ROC-AUC", meaning="per code over rows, mean over codes with both classes"),
    Metric(key="micro_roc_auc", label="Micro ROC-AUC", meaning="over all pairs of row and code"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """What the report says of a run besides its metrics; None, or nothing, where the run has no numbers for it."""

    recall_curve: tuple[float, ...]
    """CURVE_LENGTH values: recall@1, recall@2, ..."""
    rows_without_threshold: int
    """Where it is above 0 the run predicts no sets: micro and macro F1 would be of the other rows alone."""
    set_size: SetSize | None
    """None where a row has no threshold."""
    new_set_size: SetSize | None
    """Of the codes alone that the history does not hold; None too where notes are coded or no example has a history."""
    precision_recall: PrecisionRecall | None
    hierarchy: Hierarchy | None
    coarse_levels: CoarseLevels
    """MAP, recall@20 and micro F1 of groups, by level."""
    reliability: Reliability | None
    """None where the run has no probabilities."""
    training: TrainingCurve | None
    memorization: tuple[StageOneRecall, ...]
    stage_one_seconds: float | None
    widths: tuple[Width, ...]
    coding_rules: RuleCheck | None
    """None where the task has no rules or the run sets no threshold."""
    hidden_codes: dict[str, Estimate]
    """By key of `mera.evaluation.hidden_codes.hidden_replicates`; empty where the task hides no code."""
    guarantees: Guarantees
    variety: Variety | None
    """None where nothing is ranked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """B = 1 + resamples; replicate 0 is the observed value."""

    manifest: RunManifest
    values: dict[str, float]
    """By metric key; NaN where the run has no such number."""
    replicates: dict[str, np.ndarray]
    """(B,) by metric key; missing where no interval is computed."""
    patients: dict[str, int]
    """With a value, by metric key: with a true code, or with one that their history does not hold."""
    by_code: dict[str, np.ndarray]
    """(C,) by key of a macro metric: its value for each code, NaN where a code has none."""
    strata: dict[str, np.ndarray]
    """(groups, B) by stratification key: recall@20 within each group."""
    codes: CodeCounts | None
    """None where the run sets no threshold."""
    breakdown: Breakdown

    @property
    def name(self) -> str:
        return self.manifest.name

    def units(self, metric: str) -> int | None:
        """Of `bootstrap.interval`: the patients that a mean over rows is taken of; None for other metrics."""
        return self.patients[metric] if metric in MEANS_OVER_ROWS else None

    @property
    def is_oracle(self) -> bool:
        return self.manifest.kind == ORACLE

    @property
    def place(self) -> tuple[bool, float, float, str]:
        """Its order in a comparison: oracles first, as the bound; then by recall@20, of equal ones by MAP, then by
        name. Where 20 places are all candidates, all have the same recall."""
        value, precision = (self.values[name] for name in ("recall@20", "map"))
        recall = math.inf if math.isnan(value) else -round(value, SAME_DIGITS)
        return not self.is_oracle, recall, math.inf if math.isnan(precision) else -precision, self.name


def measure(
    run: Predictions,
    shared: Comparable,
    strata: list[Stratification],
    rules: CodingRules | None,
    weights: np.ndarray,
    validation: ValidationMargins | str,
) -> Measures:
    """All numbers of one run; `weights` (B, N) from `mera.evaluation.bootstrap.patient_weights`, the same for all
    runs; `validation` from `mera.report.measures.sets.guarantees.validation_margins`."""
    ranking = metrics.rank_targets(run.scores, shared.targets, CURVE_LENGTH)
    predicted = run.predicted if bool(np.isfinite(run.thresholds).all()) else None
    by_code = {"macro_roc_auc": metrics.roc_auc_by_code(run.scores, shared.targets)}
    if predicted is not None:
        by_code["macro_f1"] = metrics.f1_by_code(predicted, shared.targets)
    replicates = _replicates(run, shared.targets, ranking, predicted, weights)
    predicted_new = None
    if shared.seen.any() and shared.task.kind != CODING:
        predicted_new = None if predicted is None else predicted & ~shared.seen
        replicates |= new_code_replicates(run.scores, predicted, shared.targets, shared.seen, weights)
    values = {}
    if "macro_roc_auc" not in replicates:
        values["macro_roc_auc"] = metrics.mean_over_rows(by_code["macro_roc_auc"])
        values["micro_roc_auc"] = metrics.roc_auc(run.scores, shared.targets, "micro")
    num_patients = len(set(shared.patient_ids))
    values |= {key: float(resampled[0]) for key, resampled in replicates.items()}
    return Measures(
        manifest=RunManifest.of(run.manifest),
        values={metric.key: values.get(metric.key, float("nan")) for metric in METRICS},
        replicates=replicates,
        patients=_patients_with_value(shared),
        by_code=by_code,
        strata={partition.key: recall_in_groups(ranking, partition, weights) for partition in strata},
        codes=code_counts(ranking, predicted, shared.targets, shared.codes),
        breakdown=Breakdown(
            recall_curve=_recall_curve(ranking),
            rows_without_threshold=int((~np.isfinite(run.thresholds)).sum()),
            set_size=None if predicted is None else set_size(predicted, shared.targets, weights, num_patients),
            new_set_size=None
            if predicted_new is None
            else set_size(predicted_new, shared.targets & ~shared.seen, weights, num_patients),
            precision_recall=precision_recall(run, shared.targets),
            hierarchy=hierarchy(ranking, shared.codes, weights),
            coarse_levels=coarse_levels(run, shared.targets, shared.codes, weights, predicted),
            reliability=reliability(run, ranking, weights),
            training=training_curve(run.records.get("training")),
            memorization=stage_one_recall(run.records.get("memorization")),
            stage_one_seconds=stage_one_seconds(run.records.get("memorization")),
            widths=widths(run.records.get("widths")),
            coding_rules=rule_check(run, shared, rules, weights),
            hidden_codes=_hidden_codes(run.scores, shared, weights),
            guarantees=guarantees(run, shared, strata, predicted, validation, weights),
            variety=variety(ranking, shared.codes.height),
        ),
    )


def _patients_with_value(shared: Comparable) -> dict[str, int]:
    """By the key of each of METRICS."""
    patients = np.asarray(shared.patient_ids)
    with_code, with_new = (
        len(np.unique(patients[true.any(axis=1)])) for true in (shared.targets, shared.targets & ~shared.seen)
    )
    return {metric.key: with_new if metric in NEW_CODE_METRICS else with_code for metric in METRICS}


def _replicates(
    run: Predictions,
    targets: np.ndarray,
    ranking: metrics.Ranking,
    predicted: np.ndarray | None,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """(B,) by metric key; targets and predicted (N, C) bool, weights (B, N)."""
    row_metrics = {
        "recall@10": metrics.row_recall(ranking, 10),
        "recall@20": metrics.row_recall(ranking, 20),
        "precision@5": metrics.row_precision(ranking, 5),
        "ndcg@20": metrics.row_ndcg(ranking, 20),
        "map": metrics.row_average_precision(ranking),
    }
    means = bootstrap.row_mean(weights, np.column_stack(list(row_metrics.values())))
    replicates: dict[str, np.ndarray] = dict(zip(row_metrics, means.T, strict=True))
    sparse = scipy.sparse.csr_array(targets)
    rows, columns = at_label_count(ranking)
    oracle_count = scipy.sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), sparse.shape)
    replicates["weighted_f1_at_label_count"] = bootstrap.code_f1(weights, oracle_count, sparse)["weighted"]
    if predicted is not None:
        replicates["micro_f1"] = bootstrap.micro_f1(weights, predicted, targets)
        replicates["macro_f1"] = bootstrap.code_f1(weights, scipy.sparse.csr_array(predicted), sparse)["macro"]
    if len(ranking.rows) * len(run.scores) <= MAX_AUC_WORK:
        replicates["macro_roc_auc"] = bootstrap.macro_roc_auc(weights, run.scores, targets)
        replicates["micro_roc_auc"] = bootstrap.micro_roc_auc(weights, run.scores, targets)
    return replicates


def new_code_replicates(
    scores: np.ndarray, predicted: np.ndarray | None, targets: np.ndarray, seen: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """(B,) by key of NEW_CODE_METRICS; scores (N, C), predicted, targets and seen (N, C) bool, weights (B, N)."""
    rows_at_once = max(1, BLOCK_ELEMENTS // scores.shape[1])
    row_metrics: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for start in range(0, len(scores), rows_at_once):
        block = slice(start, start + rows_at_once)
        is_new = ~seen[block]
        new_targets = targets[block] & is_new
        ranking = metrics.rank_targets(np.where(is_new, scores[block], -np.inf), new_targets)
        values = [metrics.row_recall(ranking, 10), metrics.row_recall(ranking, 20)]
        row_metrics.append(np.column_stack([*values, metrics.row_average_precision(ranking)]))
        if predicted is not None:
            counts.append(bootstrap.set_counts(predicted[block] & is_new, new_targets))
    means = bootstrap.row_mean(weights, np.concatenate(row_metrics))
    replicates: dict[str, np.ndarray] = dict(zip(("new_recall@10", "new_recall@20", "new_map"), means.T, strict=True))
    if predicted is not None:
        replicates["new_micro_f1"] = bootstrap.micro_f1_of_counts(weights, np.concatenate(counts))
    return replicates


def _hidden_codes(scores: np.ndarray, shared: Comparable, weights: np.ndarray) -> dict[str, Estimate]:
    if "hidden" not in shared.codes.columns:
        return {}
    hidden = shared.codes["hidden"].fill_null(False).to_numpy().astype(bool)
    places = hidden_targets(scores, shared.targets, shared.seen, hidden)
    replicates = hidden_replicates(places, len(scores), weights)
    patients = np.asarray(shared.patient_ids)[places.rows]
    units = {is_new: len(np.unique(patients[places.is_new] if is_new else patients)) for is_new in (False, True)}
    return {key: estimate(values, units=units[key.startswith("new_")]) for key, values in replicates.items()}


def _recall_curve(ranking: metrics.Ranking) -> tuple[float, ...]:
    """Mean over rows of the recall at each k, from one pass over the targets."""
    num_targets = ranking.num_targets
    share = 1 / num_targets[ranking.rows]
    inside = ranking.ranks < CURVE_LENGTH
    gained = np.bincount(ranking.ranks[inside], weights=share[inside], minlength=CURVE_LENGTH)
    return tuple((np.cumsum(gained) / max(1, (num_targets > 0).sum())).tolist())
