"""Tables of pairs: those that the trees learn from, with features that know nothing of their own patient, and those
that they score.

Shape suffixes: N examples, C candidates, P pairs, K features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mera.system.errors import UserError
from rank.baselines.history_matrices import HistoryMatrices
from rank.baselines.trees.code_statistics import CodeStatistics, code_statistics
from rank.baselines.trees.pair_features import PairBlock

BLOCK_PAIRS = 1_000_000
"""Pairs of examples and candidates at once: about 100 MB of features, and four matrices of 4 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairTable:
    features: np.ndarray
    """(P, K) float32"""
    targets: np.ndarray
    """(P,) float32, 0 or 1"""
    weights: np.ndarray
    """(P,) float32: pairs that stand for others which were not drawn weigh more"""
    blind: np.ndarray
    """(P,) bool: whether the pair would be there whatever its target; the others are there for being targets"""
    group_sizes: np.ndarray
    """(N,) int: pairs of each example; an example's pairs stand together"""


def training_pairs(
    examples: HistoryMatrices,
    item_penalty: float,
    num_likely: int,
    num_random: int,
    max_pairs: int,
    folds: int,
    seed: int,
    last_apart: bool = False,
) -> PairTable:
    """`drawn_pairs` of the training examples, whose features come from statistics of the other folds of patients: no
    example's target is in its own features. `last_apart`: as in `code_statistics`. Where the pairs would be more than
    `max_pairs`, examples are left out at random."""
    generator = np.random.default_rng(seed)
    fold_of_row = drawn_folds(examples.patients, folds, generator)
    chosen = np.arange(len(examples))
    most = max(1, max_pairs // min(examples.targets.shape[1], num_likely + num_random))
    if len(examples) > most:
        chosen = np.sort(generator.choice(len(examples), most, replace=False))
    parts = []
    for fold in range(folds):
        rows = chosen[fold_of_row[chosen] == fold]
        others = np.flatnonzero(fold_of_row != fold)
        if len(rows) and len(others):
            statistics = code_statistics(examples.of(others), item_penalty, last_apart)
            parts.append(drawn_pairs(examples.of(rows), statistics, num_likely, num_random, generator))
    if not parts:
        raise UserError("gbdt learns of each patient from the others and needs 2 with an earlier visit in train")
    return joined(parts)


def drawn_pairs(
    examples: HistoryMatrices,
    statistics: CodeStatistics,
    num_likely: int,
    num_random: int,
    generator: np.random.Generator,
) -> PairTable:
    """Of each example its targets, the codes of its history, the `num_likely` candidates with the best item-item scores
    and `num_random` of the others, drawn evenly and weighed for all of them."""
    blocks = example_blocks(np.arange(len(examples)), examples.targets.shape[1])
    return joined([_drawn_pairs(examples.of(block), statistics, num_likely, num_random, generator) for block in blocks])


def joined(parts: Sequence[PairTable]) -> PairTable:
    """One table after the other."""
    return PairTable(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(PairTable)}
    )


def all_pairs(examples: HistoryMatrices, statistics: CodeStatistics) -> Iterator[PairTable]:
    """Every pair of example and candidate, some examples at a time, in order."""
    num_codes = examples.targets.shape[1]
    for block in example_blocks(np.arange(len(examples)), num_codes):
        own = examples.of(block)
        rows, columns = np.divmod(np.arange(len(block) * num_codes), num_codes)
        yield PairTable(
            features=PairBlock(own, statistics).features(rows, columns),
            targets=own.targets.toarray().ravel(),
            weights=np.ones(len(rows), dtype=np.float32),
            blind=np.ones(len(rows), dtype=bool),
            group_sizes=np.full(len(block), num_codes),
        )


def drawn_folds(patients: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """(N,) int: the fold of each example, the same for all of a patient."""
    return generator.permutation(int(patients.max()) + 1)[patients] % folds


def example_blocks(rows: np.ndarray, num_codes: int) -> list[np.ndarray]:
    """`rows` in pieces whose pairs with all candidates are at most BLOCK_PAIRS, one example at the least."""
    at_once = max(1, BLOCK_PAIRS // num_codes)
    return [rows[start : start + at_once] for start in range(0, len(rows), at_once)]


def _drawn_pairs(
    examples: HistoryMatrices,
    statistics: CodeStatistics,
    num_likely: int,
    num_random: int,
    generator: np.random.Generator,
) -> PairTable:
    block, targets = PairBlock(examples, statistics), examples.targets.toarray() > 0
    num_codes = targets.shape[1]
    likely = block.seen[:, :num_codes].copy()
    best = np.argpartition(-block.item_scores, min(num_likely, num_codes) - 1, axis=1)[:, :num_likely]
    np.put_along_axis(likely, best, True, axis=1)
    # A random number for each of the others; the smallest of a row are drawn.
    order = np.where(likely, 2.0, generator.random(likely.shape))
    smallest = np.argpartition(order, min(num_random, num_codes) - 1, axis=1)[:, :num_random]
    drawn = np.zeros_like(likely)
    np.put_along_axis(drawn, smallest, True, axis=1)
    drawn &= ~likely
    others = ~likely & ~targets
    weight_of_drawn = others.sum(axis=1) / np.maximum((drawn & others).sum(axis=1), 1)
    rows, columns = np.nonzero(likely | drawn | targets)
    return PairTable(
        features=block.features(rows, columns),
        targets=targets[rows, columns].astype(np.float32),
        weights=np.where(others[rows, columns], weight_of_drawn[rows], 1.0).astype(np.float32),
        blind=(likely | drawn)[rows, columns],
        group_sizes=np.bincount(rows, minlength=len(examples)),
    )
