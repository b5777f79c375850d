"""Fusion by trees: boosted trees on top of the weighted sum of `mera.evaluation.fusion`, fitted on many more rows.

Legend: N examples, C codes, P parts (the models), M pairs of an example and a code, F features.

    f(example, code) = weighted sum of the parts' log-odds + trees(features of the pair)

The sum takes each part alone; the trees see what the parts say together (a phrase that is right where BM25 agrees), how
a code stands against the others of its example, and how often training showed it. They start at the sum and correct it
(LightGBM, Ke et al. 2017): stacking (Wolpert 1992). They need more rows than a validation split has, so they read the
training split too, of which every part has scores out of fold (`mera/runs/other_splits/train_scores.py`).

Only the best NUM_CORRECTED codes of an example by the sum are corrected; the others follow behind them, in the order
and with the distances of the sum.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import lightgbm
import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, group_numbers
from mera.evaluation.fusion import Fusion, fit_fusion, sample_pairs

NUM_CORRECTED = 150
ROUNDS = 300
"""Trees. Half and twice as many, and other sizes of trees, leaves and corrected part, are within half a point
(tests/benchmarks/bench_fusion_trees.py; docs/fusion.md)."""
PARAMETERS: dict[str, object] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "verbose": -1,
}
PAIRS_AT_ONCE = 1_000_000
"""Whose features are in memory together: 8 bytes for each and for each feature."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredRows:
    """Rows as the parts see them."""

    scores: np.ndarray
    """(P, N, C) float32."""
    train_counts: np.ndarray
    """(N, C) or (1, C) int: the training examples of each code that the models had which scored the row."""

    def select(self, rows: np.ndarray | slice) -> "ScoredRows":
        shared = len(self.train_counts) == 1
        return ScoredRows(
            scores=self.scores[:, rows], train_counts=self.train_counts if shared else self.train_counts[rows]
        )

    def __len__(self) -> int:
        return len(self.scores[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeFusion:
    fusion: Fusion
    """The weighted sum that the trees correct."""
    trees: lightgbm.Booster
    families: np.ndarray
    """(C,) int: codes of one number belong together in the ontology."""

    def scores(self, rows: ScoredRows) -> np.ndarray:
        """(N, C) float32."""
        parts = [self._of_block(rows.select(block)) for block in _blocks(rows)]
        return np.concatenate(parts) if parts else np.zeros(rows.scores.shape[1:], dtype=np.float32)

    def gains(self, num_parts: int) -> dict[str, float]:
        """Feature -> its share in what the trees gain on the rows they were fitted on."""
        gains = self.trees.feature_importance("gain")
        names = feature_names(num_parts)
        return {name: float(gain) for name, gain in zip(names, gains / max(gains.sum(), 1e-12), strict=True)}

    def _of_block(self, rows: ScoredRows) -> np.ndarray:
        summed = weighted_sum(self.fusion, rows)
        best = best_columns(summed)
        features = pair_features(rows, summed, best, self.families)
        corrections = self.trees.predict(features.reshape(-1, features.shape[-1]), raw_score=True)
        return with_corrections(summed, best, np.asarray(corrections, dtype=np.float32).reshape(best.shape))


def fit_tree_fusion(
    rows: ScoredRows, targets: np.ndarray, fair: np.ndarray, families: np.ndarray, threads: int = 0
) -> TreeFusion:
    """targets (N, C) bool; fair (N, C) bool: the pairs that are fitted on; families (C,) int. `threads`: 0 all.

    Raises UserError where no fair pair is true.
    """
    pairs = sample_pairs(targets)
    of_fit = fair[pairs.rows, pairs.columns]
    at, columns = pairs.rows[of_fit], pairs.columns[of_fit]
    counts = np.broadcast_to(rows.train_counts, targets.shape)
    fusion = fit_fusion(
        rows.scores[:, at, columns].T,
        pairs.true[of_fit],
        pairs.weights[of_fit],
        group_numbers(counts[at, columns], FREQUENCY_GROUPS),
    )
    features, summed, true = [], [], []
    for block in _blocks(rows):
        of_block = weighted_sum(fusion, rows.select(block))
        best = best_columns(of_block)
        chosen = np.take_along_axis(fair[block], best, axis=1)
        features.append(pair_features(rows.select(block), of_block, best, families)[chosen])
        summed.append(np.take_along_axis(of_block, best, axis=1)[chosen])
        true.append(np.take_along_axis(targets[block], best, axis=1)[chosen])
    data = lightgbm.Dataset(np.concatenate(features), np.concatenate(true), init_score=np.concatenate(summed))
    trees = lightgbm.train({**PARAMETERS, "num_threads": threads}, data, ROUNDS)
    return TreeFusion(fusion=fusion, trees=trees, families=families)


def weighted_sum(fusion: Fusion, rows: ScoredRows) -> np.ndarray:
    """(N, C) float32."""
    summed = np.broadcast_to(fusion.of_codes(rows.train_counts), rows.scores.shape[1:]).astype(np.float32)
    for part, scores in enumerate(rows.scores):
        summed += fusion.part(part, scores).astype(np.float32)
    return summed


def best_columns(summed: np.ndarray) -> np.ndarray:
    """(N, C) -> (N, K) int: the best NUM_CORRECTED codes of each row, or all, in order; of equal ones the first."""
    return np.argsort(-summed, axis=1, kind="stable")[:, :NUM_CORRECTED]


def feature_names(num_parts: int) -> list[str]:
    """In the order of `pair_features`."""
    of_each = [f"{what}, part {part + 1}" for part in range(num_parts) for what in ("score", "place", "below the best")]
    return [*of_each, "sum", "place by the sum", "below the best sum", "below its family", "family", "codes", "count"]


def pair_features(rows: ScoredRows, summed: np.ndarray, columns: np.ndarray, families: np.ndarray) -> np.ndarray:
    """summed (N, C), columns (N, K), families (C,) -> (N, K, F) float32.

    Of each part, and of the sum, the score, log(1 + codes that score higher), and the distance to the row's best; of
    the sum also the distance to the best of the code's family and the probabilities of the others in it, and the
    probabilities of all codes of the row; log(1 + training examples).
    """
    probabilities = expit(summed)
    in_family = np.zeros((families.max() + 1, len(summed)), dtype=np.float32)
    np.add.at(in_family, families, probabilities.T)
    best_of_family = np.full_like(in_family, -np.inf)
    np.maximum.at(best_of_family, families, summed.T)
    each = [feature for scores in (*rows.scores, summed) for feature in _standing(scores)]
    each += [
        summed - best_of_family.T[:, families],
        in_family.T[:, families] - probabilities,
        np.broadcast_to(probabilities.sum(axis=1, keepdims=True), summed.shape),
        np.broadcast_to(np.log1p(rows.train_counts), summed.shape),
    ]
    return np.stack([np.take_along_axis(feature, columns, axis=1) for feature in each], axis=-1, dtype=np.float32)


def with_corrections(summed: np.ndarray, columns: np.ndarray, corrections: np.ndarray) -> np.ndarray:
    """summed (N, C), columns and corrections (N, K) -> (N, C) float32: the other codes of a row stand as far below the
    least corrected score as they stood below the least of those sums."""
    corrected = np.take_along_axis(summed, columns, axis=1) + corrections
    moved = corrected.min(axis=1) - np.take_along_axis(summed, columns, axis=1).min(axis=1)
    scores: np.ndarray = summed + moved[:, None]
    np.put_along_axis(scores, columns, corrected, axis=1)
    return scores


def _standing(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (N, C), and of each its place and its distance to the best of its row."""
    places = np.log1p(rankdata(-scores, method="min", axis=1) - 1)
    return scores, places, scores - scores.max(axis=1, keepdims=True)


def _blocks(rows: ScoredRows) -> Iterator[slice]:
    """Of rows that are read together."""
    at_once = max(1, PAIRS_AT_ONCE // rows.scores.shape[-1])
    for start in range(0, len(rows), at_once):
        yield slice(start, start + at_once)
