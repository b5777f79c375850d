"""One run's numbers: every metric with its bootstrap replicates, recall in strata, recall curve, set sizes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from mera import bootstrap, metrics
from mera.predictions import Predictions
from mera.report.load import Comparable
from mera.report.strata import Stratification, recall_in_groups

MAX_AUC_WORK = 200_000_000
"""Targets x examples above which ROC-AUC gets no interval: with 1,000 resamples that is some 10 s a run."""
CURVE_LENGTH = 100
SIZE_GROUPS = 8


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
        meaning="codes above the threshold, mean over codes that occur in the split",
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
    strata: dict[str, np.ndarray]
    """(groups, B) by stratification key: recall@20 within each group."""
    recall_curve: np.ndarray
    """(CURVE_LENGTH,) recall@1, recall@2, ..."""
    set_size: dict[str, Any] | None
    """None where the run sets no threshold."""


def measure(run: Predictions, shared: Comparable, strata: list[Stratification], weights: np.ndarray) -> Measures:
    """All numbers of one run; `weights` (B, N) from `mera.bootstrap.patient_weights`, the same for all runs."""
    ranking = metrics.rank_targets(run.scores, shared.targets, CURVE_LENGTH)
    rows = {
        "recall@10": metrics.row_recall(ranking, 10),
        "recall@20": metrics.row_recall(ranking, 20),
        "precision@5": metrics.row_precision(ranking, 5),
        "ndcg@20": metrics.row_ndcg(ranking, 20),
        "map": metrics.row_average_precision(ranking),
    }
    replicates = {key: bootstrap.row_mean(weights, values) for key, values in rows.items()}
    targets = scipy.sparse.csr_array(shared.targets)
    replicates["weighted_f1_at_label_count"] = bootstrap.code_f1(weights, _at_label_count(ranking, targets), targets)[
        "weighted"
    ]
    has_thresholds = bool(np.isfinite(run.thresholds).all())
    predicted = run.predicted if has_thresholds else None
    if predicted is not None:
        replicates["micro_f1"] = bootstrap.micro_f1(weights, predicted, shared.targets)
        replicates["macro_f1"] = bootstrap.code_f1(weights, scipy.sparse.csr_array(predicted), targets)["macro"]
    values = {}
    if len(ranking.rows) * len(run.scores) <= MAX_AUC_WORK:
        replicates["macro_roc_auc"] = bootstrap.macro_roc_auc(weights, run.scores, shared.targets)
        replicates["micro_roc_auc"] = bootstrap.micro_roc_auc(weights, run.scores, shared.targets)
    else:
        values["macro_roc_auc"] = metrics.roc_auc(run.scores, shared.targets, "macro")
        values["micro_roc_auc"] = metrics.roc_auc(run.scores, shared.targets, "micro")
    values |= {key: float(found[0]) for key, found in replicates.items()}
    return Measures(
        manifest=run.manifest,
        values={metric.key: values.get(metric.key, float("nan")) for metric in METRICS},
        replicates=replicates,
        strata={part.key: recall_in_groups(ranking, part, weights) for part in strata},
        recall_curve=_recall_curve(ranking),
        set_size=None if predicted is None else _set_size(predicted, shared.targets),
    )


def _at_label_count(ranking: metrics.Ranking, targets: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    chosen = metrics.predict_label_count(ranking)
    rows, _ = np.nonzero(chosen)
    return scipy.sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, ranking.top[chosen])), targets.shape)


def _recall_curve(ranking: metrics.Ranking) -> np.ndarray:
    """(CURVE_LENGTH,) mean over rows of the recall at each k, from one pass over the targets."""
    num_targets = ranking.num_targets
    share = 1 / num_targets[ranking.rows]
    inside = ranking.ranks < CURVE_LENGTH
    gained = np.bincount(ranking.ranks[inside], weights=share[inside], minlength=CURVE_LENGTH)
    return np.cumsum(gained) / max(1, (num_targets > 0).sum())


def _set_size(predicted: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Predicted against true numbers of codes, over rows with targets; `curve`: groups of rows of similar true size."""
    with_targets = targets.any(axis=1)
    sizes, true_sizes = predicted[with_targets].sum(axis=1), targets[with_targets].sum(axis=1)
    hits = int((predicted & targets).sum())
    distinct, inverse, counts = np.unique(true_sizes, return_inverse=True, return_counts=True)
    group_of_size = (np.cumsum(counts) - counts) * SIZE_GROUPS // max(1, len(true_sizes))
    group = group_of_size[inverse] if len(distinct) else inverse
    curve = [
        [float(true_sizes[group == number].mean()), float(sizes[group == number].mean())] for number in np.unique(group)
    ]
    num_predicted = int(predicted.sum())
    return {
        "mean_true": float(true_sizes.mean()) if len(sizes) else None,
        "mean_predicted": float(sizes.mean()) if len(sizes) else None,
        "mean_absolute_error": float(np.abs(sizes - true_sizes).mean()) if len(sizes) else None,
        "spearman": metrics.spearman(sizes, true_sizes),
        "micro_precision": hits / num_predicted if num_predicted else None,
        "micro_recall": hits / int(targets.sum()) if targets.any() else None,
        "rows_without_prediction": float((sizes == 0).mean()) if len(sizes) else None,
        "curve": curve,
    }
