"""The numbers that everything is chosen by on validation: epochs, and the bonus of rare codes."""

import numpy as np

from mera.evaluation.metrics import recall_at_k, weighted_f1_at_label_count


def ranking_quality(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """recall@10, recall@20 and weighted F1 at label count, 0 to 1; scores (N, C), targets (N, C) bool."""
    return {
        "recall_at_10": float(recall_at_k(scores, targets, 10)),
        "recall_at_20": float(recall_at_k(scores, targets, 20)),
        "weighted_f1_at_label_count": float(weighted_f1_at_label_count(scores, targets)),
    }
