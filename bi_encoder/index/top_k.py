"""The largest scores of each row, exactly, and without partitioning the whole row. Q queries, C codes, D width.

Partitioning 100,000 scores takes longer than computing them at 64 dimensions. So a threshold is taken from every 16th
score, and only the few scores that reach it are partitioned. Where fewer than k reach it, the whole row is partitioned
after all, so the result is exact whatever the data. Rows are shared out over threads: NumPy and torch release the
interpreter lock while they compare, partition, gather and multiply.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from bi_encoder.index.vector_groups import VectorGroups

SAMPLE_STEP = 16


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns (Q, k) int64 and values (Q, k) of each row's largest scores (Q, C), best first, ties by column."""
    columns = top_k_columns(scores, k)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def top_k_columns(scores: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) int64: the columns of each row's k largest scores (Q, C), ascending; of equal scores the first columns."""
    columns = np.empty((len(scores), k), dtype=np.int64)
    thresholds = _low_thresholds(scores, k)

    def fill(row: int) -> None:
        values = scores[row]
        reach = np.flatnonzero(values >= thresholds[row])
        columns[row] = reach[_largest(values[reach], k)] if len(reach) >= k else _largest(values, k)

    _in_threads(fill, len(scores))
    return columns


def score_columns(queries: np.ndarray, keys: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(Q, n): the scalar product of each query (Q, D) with its own n rows `columns` (Q, n) of `keys` (C, D).

    One query at a time and, with ascending columns, in the order of memory, what is gathered stays in the cache: three
    times as fast as gathering (Q, n, D) at once.
    """
    products = np.empty(columns.shape, dtype=queries.dtype)

    def fill(row: int) -> None:
        products[row] = keys[columns[row]] @ queries[row]

    _in_threads(fill, len(queries))
    return products


def score_groups(queries: np.ndarray, keys: np.ndarray, columns: np.ndarray, groups: VectorGroups) -> np.ndarray:
    """(Q, n): the best scalar product of each query (Q, D) with the rows of `keys` (V, D) that belong to each of its
    own n codes `columns` (Q, n). One query at a time, as `score_columns`."""
    if groups.single:
        return score_columns(queries, keys, columns)
    products = np.empty(columns.shape, dtype=queries.dtype)

    def fill(row: int) -> None:
        rows, begins = groups.rows_of(columns[row])
        products[row] = np.maximum.reduceat(keys[rows] @ queries[row], begins)

    _in_threads(fill, len(queries))
    return products


def in_parts(work: Callable[[np.ndarray], tuple[np.ndarray, ...]], rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """`work(rows)`, by as many threads as torch computes with (OMP_NUM_THREADS), each with a part of the rows.

    Within a part nothing is shared out again: threads that wait for one another at every product, and spin meanwhile,
    made two slower than one.
    """
    available = torch.get_num_threads()
    threads = min(available, len(rows))
    if threads <= 1:
        return work(rows)

    def alone(part: np.ndarray) -> tuple[np.ndarray, ...]:
        torch.set_num_threads(1)  # of this thread, and MKL's of all, which is why it is set back below
        return work(part)

    try:
        with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(alone, np.array_split(rows, threads)))
    finally:
        torch.set_num_threads(available)
    return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))


@cache
def _blas() -> ThreadpoolController:
    """Made once: it looks through all loaded libraries."""
    return ThreadpoolController()


def _in_threads(fill: Callable[[int], None], num_rows: int) -> None:
    """`fill(row)` for every row, by as many threads as torch computes with (OMP_NUM_THREADS)."""
    threads = min(torch.get_num_threads(), num_rows)
    if threads <= 1:
        for row in range(num_rows):
            fill(row)
        return

    def fill_every_nth(first: int) -> None:
        for row in range(first, num_rows, threads):
            fill(row)

    with ThreadPoolExecutor(threads) as pool:
        # One task a thread: a task a row would spend longer on handing rows over than on some of them.
        list(pool.map(fill_every_nth, range(threads)))


def _low_thresholds(scores: np.ndarray, k: int) -> np.ndarray:
    """(Q,) scores that at least k of the row probably reach, and not many more."""
    sample = scores[:, ::SAMPLE_STEP]
    expected = k / SAMPLE_STEP
    # About `expected` of the k largest are in the sample; three standard deviations more make it almost certain.
    rank = int(expected + 3 * expected**0.5) + 1
    if 4 * rank > sample.shape[1]:
        return np.full(len(scores), -np.inf, dtype=np.float32)
    place = sample.shape[1] - rank
    return np.partition(sample, place, axis=1)[:, place]


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions (k,) of the k largest values (n,), ascending; of equal values the first."""
    if k == len(values):
        return np.arange(k)
    # Values are partitioned rather than positions: NumPy does that several times as fast.
    smallest = np.partition(values, len(values) - k)[len(values) - k]
    above = np.flatnonzero(values > smallest)
    equal = np.flatnonzero(values == smallest)[: k - len(above)]
    return np.sort(np.concatenate([above, equal]))
