"""One run's numbers: every metric with its bootstrap replicates, and every breakdown that the report shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from mera.evaluation import bootstrap, metrics
from mera.report.measures.coarse_levels import coarse_levels
from mera.report.measures.decisions import at_label_count, precision_recall, set_size
from mera.report.measures.estimates import Estimate
from mera.report.measures.hierarchy import hierarchy
from mera.report.measures.load import Comparable
from mera.report.measures.reliability import reliability
from mera.report.measures.strata import Stratification, recall_in_groups
from mera.runs.predictions import Predictions

MAX_AUC_WORK = 200_000_000
"""Targets x examples above which ROC-AUC gets no interval: with 1,000 resamples that is some 10 s a run."""
CURVE_LENGTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    key: str
    label: str
    meaning: str


METRICS = (
    Metric(key="recall@10", label="Recall@10", meaning="share of a row's true codes among its first 10"),
    Metric(key="recall@20", label="Recall@20", meaning="the same among its first 20"),
    Metric(
        key="weighted_f1_at_label_count",
        label="Weighted F1 at label count",
        meaning="each row predicts as many codes as it truly has (oracle count); F1 per code, weighted by support",
    ),
    Metric(key="micro_f1", label="Micro F1", meaning="codes above the model's own threshold, all pairs together"),
    Metric(
        key="macro_f1",
        label="Macro F1",
        meaning="codes above the threshold; mean over the codes that occur in the split of the code's F1",
    ),
    Metric(key="precision@5", label="Precision@5", meaning="share of true codes among a row's first 5"),
    Metric(key="ndcg@20", label="nDCG@20", meaning="discounted gain of the true codes among the first 20"),
    Metric(key="map", label="MAP", meaning="mean over rows of the average precision over the whole ranking"),
    Metric(key="macro_roc_auc", label="Macro ROC-AUC", meaning="per code over rows, mean over codes with both classes"),
    Metric(key="micro_roc_auc", label="Micro ROC-AUC", meaning="over all pairs of row and code"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """B = 1 + resamples; replicate 0 is the observed value."""

    manifest: dict[str, Any]
    values: dict[str, float]
    """By metric key; NaN where the run has no such number."""
    replicates: dict[str, np.ndarray]
    """(B,) by metric key; missing where no interval is computed."""
    by_code: dict[str, np.ndarray]
    """(C,) by key of a macro metric: its value for each code, NaN where a code has none."""
    strata: dict[str, np.ndarray]
    """(groups, B) by stratification key: recall@20 within each group."""
    recall_curve: np.ndarray
    """(CURVE_LENGTH,) recall@1, recall@2, ..."""
    set_size: dict[str, Any] | None
    """None where the run sets no threshold."""
    precision_recall: dict[str, list[float]] | None
    hierarchy: dict[str, Any] | None
    coarse_levels: dict[str, dict[str, Estimate]]
    """MAP, recall@20 and micro F1 of groups, by level."""
    reliability: dict[str, Any] | None
    """None where the run has no probabilities."""
    records: dict[str, Any]
    """What the prediction folder holds besides scores."""


def measure(run: Predictions, shared: Comparable, strata: list[Stratification], weights: np.ndarray) -> Measures:
    """All numbers of one run; `weights` (B, N) from `mera.evaluation.bootstrap.patient_weights`, the same for all runs."""
    ranking = metrics.rank_targets(run.scores, shared.targets, CURVE_LENGTH)
    row_metrics = {
        "recall@10": metrics.row_recall(ranking, 10),
        "recall@20": metrics.row_recall(ranking, 20),
        "precision@5": metrics.row_precision(ranking, 5),
        "ndcg@20": metrics.row_ndcg(ranking, 20),
        "map": metrics.row_average_precision(ranking),
    }
    means = bootstrap.row_mean(weights, np.column_stack(list(row_metrics.values())))
    replicates = dict(zip(row_metrics, means.T, strict=True))
    targets = scipy.sparse.csr_array(shared.targets)
    rows, columns = at_label_count(ranking)
    oracle_count = scipy.sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), targets.shape)
    replicates["weighted_f1_at_label_count"] = bootstrap.code_f1(weights, oracle_count, targets)["weighted"]
    has_thresholds = bool(np.isfinite(run.thresholds).all())
    predicted = run.predicted if has_thresholds else None
    if predicted is not None:
        replicates["micro_f1"] = bootstrap.micro_f1(weights, predicted, shared.targets)
        replicates["macro_f1"] = bootstrap.code_f1(weights, scipy.sparse.csr_array(predicted), targets)["macro"]
    by_code = {"macro_roc_auc": metrics.roc_auc_by_code(run.scores, shared.targets)}
    if predicted is not None:
        by_code["macro_f1"] = metrics.f1_by_code(predicted, shared.targets)
    values = {}
    if len(ranking.rows) * len(run.scores) <= MAX_AUC_WORK:
        replicates["macro_roc_auc"] = bootstrap.macro_roc_auc(weights, run.scores, shared.targets)
        replicates["micro_roc_auc"] = bootstrap.micro_roc_auc(weights, run.scores, shared.targets)
    else:
        values["macro_roc_auc"] = metrics.mean_over_rows(by_code["macro_roc_auc"])
        values["micro_roc_auc"] = metrics.roc_auc(run.scores, shared.targets, "micro")
    values |= {key: float(found[0]) for key, found in replicates.items()}
    return Measures(
        manifest=run.manifest,
        values={metric.key: values.get(metric.key, float("nan")) for metric in METRICS},
        replicates=replicates,
        by_code=by_code,
        strata={part.key: recall_in_groups(ranking, part, weights) for part in strata},
        recall_curve=_recall_curve(ranking),
        set_size=None if predicted is None else set_size(predicted, shared.targets, weights),
        precision_recall=precision_recall(run, shared.targets),
        hierarchy=hierarchy(ranking, shared.codes, weights),
        coarse_levels=coarse_levels(run, shared.targets, shared.codes, weights),
        reliability=reliability(run, ranking, weights),
        records=run.records,
    )


def _recall_curve(ranking: metrics.Ranking) -> np.ndarray:
    """(CURVE_LENGTH,) mean over rows of the recall at each k, from one pass over the targets."""
    num_targets = ranking.num_targets
    share = 1 / num_targets[ranking.rows]
    inside = ranking.ranks < CURVE_LENGTH
    gained = np.bincount(ranking.ranks[inside], weights=share[inside], minlength=CURVE_LENGTH)
    return np.cumsum(gained) / max(1, (num_targets > 0).sum())
