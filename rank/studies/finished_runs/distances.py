"""How alike codes are in a space, and whether the same codes are alike in another: arrays in, numbers out.

Legend: K codes, E numbers of a code's row, L levels of the ontology.
"""

import numpy as np
from scipy.stats import rankdata

from mera.evaluation.metrics import roc_auc_by_code
from mera.system.errors import UserError


def cosine_similarities(rows: np.ndarray, centre: bool) -> np.ndarray:
    """(K, E) -> (K, K) float64. `centre`: after the mean row is taken away, since embeddings share a direction."""
    rows = rows.astype(np.float64)
    if centre:
        rows = rows - rows.mean(axis=0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    similarities: np.ndarray = unit @ unit.T
    return similarities


def tree_similarities(group_ids: np.ndarray) -> np.ndarray:
    """(L, K) group of each code at each level -> (K, K): at how many levels two codes are in the same group."""
    shared: np.ndarray = (group_ids[:, :, None] == group_ids[:, None, :]).sum(axis=0).astype(np.float64)
    return shared


def ppmi(visits: np.ndarray) -> np.ndarray:
    """Positive pointwise mutual information of codes that stand in one visit (Church and Hanks 1990).

    visits (V, K) bool -> (K, K): max(0, log(p(c, d) / (p(c) p(d)))), 0 on the diagonal and for pairs that never were.
    """
    counts = visits.astype(np.float64)
    together = counts.T @ counts
    alone = np.diag(together).copy()
    np.fill_diagonal(together, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(together * len(visits) / np.outer(alone, alone))
    return np.where(np.isfinite(information), np.maximum(information, 0.0), 0.0)


def agreement_by_code(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(K,) rank correlation, for each code, of its similarities to all others in two spaces; NaN where they are all
    equal in one. first, second (K, K)."""
    if first.shape != second.shape or first.shape[0] != first.shape[1]:
        raise UserError(f"expected two square matrices of one shape, got {first.shape} and {second.shape}")
    number = len(first)
    others = ~np.eye(number, dtype=bool)
    ranks = [rankdata(matrix[others].reshape(number, number - 1), axis=1) for matrix in (first, second)]
    left, right = (of_matrix - of_matrix.mean(axis=1, keepdims=True) for of_matrix in ranks)
    spread = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return np.divide((left * right).sum(axis=1), spread, out=np.full(number, np.nan), where=spread > 0)


def group_auc_by_code(similarities: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(K,) chance, for each code, that another code of its group is more similar to it than one of another group; NaN
    for a code alone in its group. similarities (K, K); groups (K,) int, below 0: none."""
    same = (groups[:, None] == groups[None, :]) & (groups >= 0)[:, None]
    np.fill_diagonal(same, False)
    scores = similarities.copy()
    np.fill_diagonal(scores, -np.inf)  # a code is not compared with itself
    return roc_auc_by_code(scores.T, same.T)
