"""Uncertainty of metrics: a bootstrap over patients, paired comparisons, and Holm's correction.

Patients are drawn with replacement and all rows of a patient go along, because a patient's visits resemble each other.
A resample is never materialised: it is a weight per row (how often its patient was drawn), and every metric here is a
function of weighted sums. Row 0 of the weights is all ones, so replicate 0 of every metric is its observed value.

Legend: N examples, P patients, C codes, T targets, B = 1 + number of resamples. `weights` (B, N) float32 whole numbers;
every function of weights returns (B,) float64 replicates, NaN where a resample leaves the metric undefined.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.stats

from mera.evaluation.metrics import f1_from_counts
from mera.system.errors import UserError

CODES_BLOCK_ELEMENTS = 8_000_000
"""Elements of one (codes, resamples) block of weighted counts: 32 MB."""
RANKS_BLOCK_ELEMENTS = 1_000_000
"""Elements of one (resamples, rows) block of ranks, of which a correlation holds some six in float64."""
TARGETS_BLOCK = 2048
"""Targets compared with all rows at once in the macro ROC-AUC."""
ROUNDING = 1e-12
"""Standard errors up to which equal numbers were added up in another order."""


def patient_weights(patient_ids: Sequence[str], samples: int, seed: int) -> np.ndarray:
    """(1 + samples, N) float32 row weights; the same arguments give the same resamples, which makes runs paired. Of one
    patient (1, N): drawn again and again they are always the same, which says nothing of others."""
    if samples < 1:
        raise UserError(f"the bootstrap needs at least 1 sample, got {samples}")
    if not len(patient_ids):
        raise UserError("cannot resample patients: there is no example")
    patients, patient_of_row = np.unique(np.asarray(patient_ids), return_inverse=True)
    count = len(patients)
    if count == 1:
        return np.ones((1, len(patient_of_row)), dtype=np.float32)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=samples)
    weights = np.ones((1 + samples, len(patient_of_row)), dtype=np.float32)
    weights[1:] = drawn[:, patient_of_row]
    return weights


def row_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted mean of `values` (N,), rows with NaN left out; (N, G) gives G means in one product: (B, G)."""
    valid = ~np.isnan(values)
    return ratio_of_sums(weights, np.where(valid, values, 0.0), valid)


def ratio_of_sums(weights: np.ndarray, numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Weighted sum of `numerators` (N,) over the weighted sum of `denominators` (N,), e.g. hits over targets.

    Both may be (N, G), for G ratios in one product: (B, G).
    """
    count = numerators.shape[1] if numerators.ndim == 2 else 1
    sums = _weighted_sums(weights, np.column_stack([numerators, denominators]))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(sums[:, count:] != 0, sums[:, :count] / sums[:, count:], np.nan)
    return ratios if numerators.ndim == 2 else ratios[:, 0]


def micro_f1(weights: np.ndarray, predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """F1 over all (example, code) pairs. predicted, targets (N, C) bool."""
    return micro_f1_of_counts(weights, set_counts(predicted, targets))


def set_counts(predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N, 3) int: hits, predicted and true codes of each row. predicted, targets (N, C) bool."""
    rows_at_once = max(1, CODES_BLOCK_ELEMENTS // max(1, targets.shape[1]))
    blocks = [slice(start, start + rows_at_once) for start in range(0, len(targets), rows_at_once)]
    hits = [(predicted[block] & targets[block]).sum(axis=1) for block in blocks]
    return np.stack([np.concatenate(hits), predicted.sum(axis=1), targets.sum(axis=1)], axis=1)


def micro_f1_of_counts(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`micro_f1` of the counts (N, 3) of `set_counts`."""
    return f1_from_counts(*_weighted_sums(weights, counts).T)


def code_f1(
    weights: np.ndarray, predicted: scipy.sparse.sparray, targets: scipy.sparse.sparray
) -> dict[str, np.ndarray]:
    """`macro` (over the codes with a target in the resample) and `weighted` F1.

    predicted, targets: (N, C) sparse. Two sparse-by-dense products and one for the hits, a block of codes at a time.
    """
    predicted, targets = predicted.astype(np.float32).tocsc(), targets.astype(np.float32).tocsc()
    hits = predicted.multiply(targets).tocsc()
    by_row = np.ascontiguousarray(weights.T)
    present, macro, support, weighted = np.zeros((4, len(weights)))
    codes = np.flatnonzero(np.diff(targets.indptr) > 0)
    codes_at_once = max(1, CODES_BLOCK_ELEMENTS // len(weights))
    for start in range(0, len(codes), codes_at_once):
        block = codes[start : start + codes_at_once]
        counts = [matrix[:, block].T @ by_row for matrix in (hits, predicted, targets)]
        values = np.where(counts[2] > 0, f1_from_counts(*counts), 0.0)
        present += (counts[2] > 0).sum(axis=0)
        macro += values.sum(axis=0)
        support += counts[2].sum(axis=0, dtype=np.float64)
        weighted += (values * counts[2]).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return {"macro": macro / present, "weighted": weighted / support}


def macro_roc_auc(weights: np.ndarray, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean over codes, with both classes in the resample, of the code's ROC-AUC.

    Each target is compared once with all rows of its column; the weighted number of negatives below it in every
    resample is then one matrix product. Costs T * N * B multiply-adds. Scores of -inf as in
    `mera.evaluation.metrics.roc_auc`.
    """
    negatives = ~targets & ~np.isneginf(scores)
    columns, rows = np.nonzero(targets.T)
    by_row = np.ascontiguousarray(weights.T)
    mean, num_codes = np.zeros((2, len(weights)))
    for start, stop in _blocks_of_whole_columns(columns):
        column, row = columns[start:stop], rows[start:stop]
        chosen = scores[row, column][:, None]
        others = np.ascontiguousarray(scores[:, column].T)
        below = (others < chosen) + np.float32(0.5) * (others == chosen)
        below *= negatives[:, column].T
        won = by_row[row] * (below.astype(np.float32) @ by_row)
        first = np.flatnonzero(np.diff(column, prepend=-1))
        won_per_code = np.add.reduceat(won, first, axis=0, dtype=np.float64)
        positives = np.add.reduceat(by_row[row], first, axis=0, dtype=np.float64)
        pairs = positives * (negatives[:, column[first]].T.astype(np.float32) @ by_row)
        mean += np.divide(won_per_code, pairs, out=np.zeros_like(pairs), where=pairs > 0).sum(axis=0)
        num_codes += (pairs > 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return mean / num_codes


def micro_roc_auc(weights: np.ndarray, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """ROC-AUC over all (example, code) pairs; scores of -inf as in `mera.evaluation.metrics.roc_auc`.

    `won[i, j]` counts the pairs (target of row i, non-target of row j) in which the target scores higher; a resample
    with weights w then has the AUC (w won w) / (w targets * w non-targets).
    """
    rows, _ = np.nonzero(targets)
    chosen = scores[targets]
    order = np.argsort(chosen, kind="stable")
    rows, chosen = rows[order], chosen[order]
    won = np.empty((len(scores), len(scores)))
    num_negatives = np.empty(len(scores), dtype=np.int64)
    for row in range(len(scores)):
        negatives = np.sort(scores[row, ~targets[row] & ~np.isneginf(scores[row])])
        num_negatives[row] = len(negatives)
        places = np.searchsorted(negatives, chosen, side="left") + np.searchsorted(negatives, chosen, side="right")
        won[:, row] = np.bincount(rows, weights=places / 2, minlength=len(scores))
    weights = weights.astype(np.float64)
    pairs = (weights @ targets.sum(axis=1)) * (weights @ num_negatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, ((weights @ won) * weights).sum(axis=1) / pairs, np.nan)


def spearman(weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rank correlation of two (N,) arrays with few distinct values, such as set sizes; mid-ranks for equal values.

    The mid-ranks of a resample follow from how often each distinct value was drawn, so nothing is sorted per resample.
    """
    if not len(first):
        return np.full(len(weights), np.nan)
    correlations = []
    for block in np.array_split(weights, max(1, weights.size // RANKS_BLOCK_ELEMENTS)):
        block = block.astype(np.float64)
        ranks = [_centred_ranks(block, values) for values in (first, second)]
        product, *squares = [
            (block * left * right).sum(axis=1) for left, right in (ranks, [ranks[0]] * 2, [ranks[1]] * 2)
        ]
        spread = np.sqrt(squares[0] * squares[1])
        correlations.append(np.divide(product, spread, out=np.full(len(block), np.nan), where=spread > 0))
    return np.concatenate(correlations)


def interval(
    replicates: np.ndarray, level: float = 0.95, least_error: float = 0.0, units: int | None = None
) -> tuple[float, float]:
    """Percentile interval of the resamples, shifted so that their mean is the observed value (replicate 0).

    Without the shift an interval can miss its own value: a resample holds only some 63% of the codes that occur once,
    which moves macro F1 (the mean over the codes that occur) up in every resample. Means over rows are not moved.
    Where the resamples' standard error is below `least_error` (see `mean_error`), their spread is stretched to it, and
    where they do not differ at all, it is that of a normal distribution with this error. Without such an error
    resamples that do not differ say nothing of other patients: then the interval is the exact one of a share, where
    `units` (the patients with a value, whose mean it is) all reach it or none does, and else there is none.
    NaNs where the observed value is undefined, or all resamples but one are.
    """
    resampled = replicates[1:][~np.isnan(replicates[1:])]
    if units and is_all_or_none(replicates[0]):
        return exact_interval(replicates[0] > 0.5, units, level)
    if len(resampled) < 2 or np.isnan(replicates[0]):
        return float("nan"), float("nan")
    deviations = resampled - resampled.mean()
    error = float(deviations.std())
    ends = [(1 - level) / 2, (1 + level) / 2]
    if is_rounding(error, replicates[0]):
        low, high = scipy.stats.norm.ppf(ends) * (least_error or np.nan)
        return float(replicates[0] + low), float(replicates[0] + high)
    if error < least_error:
        deviations *= least_error / error
    low, high = np.quantile(deviations, ends)
    return float(replicates[0] + low), float(replicates[0] + high)


def exact_interval(all_of_them: bool, units: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934) of a share that all of `units` patients reach, or none: 48 to 100% of
    five."""
    exact = scipy.stats.binomtest(units if all_of_them else 0, units).proportion_ci(level, method="exact")
    return float(exact.low), float(exact.high)


def is_all_or_none(value: float) -> bool:
    """Whether a share is 1 or 0."""
    return bool(is_rounding(value, 1.0) or is_rounding(value - 1.0, 1.0))


def varies(replicates: np.ndarray) -> bool:
    """Whether the resamples of any row of (..., B) differ. Those of one patient never do, whatever was measured."""
    resampled = replicates[..., 1:]
    if not resampled.size:
        return False
    known = ~np.isnan(resampled)
    lowest = np.min(resampled, axis=-1, initial=np.inf, where=known)
    highest = np.max(resampled, axis=-1, initial=-np.inf, where=known)
    return bool(((highest > lowest) & ~is_rounding(highest - lowest, highest)).any())


def is_rounding(errors: np.ndarray | float, values: np.ndarray | float) -> np.ndarray | bool:
    """Whether standard errors are those of equal numbers, which floats add up to nearly the same."""
    return np.abs(errors) <= ROUNDING * np.maximum(1.0, np.abs(values))


def mean_error(values: np.ndarray) -> float:
    """Standard error of the mean of `values` (C,), NaN left out: the least error of a macro metric, from its codes.

    A code with one target keeps that one target in every resample of patients, so resampling shows next to nothing of
    how much its F1 or ROC-AUC would vary, and a macro mean over many such codes looks more certain than it is. The
    spread between codes does show it. In a simulation (300 rows, 400 codes, most of them rare; 250 data sets) intervals
    of macro F1 and macro ROC-AUC covered 90% and 88% with resampled patients alone, 96% and 96% with this least error;
    those of paired differences 92% and 93% alone, 96% and 98% with it. It is 0 below two values.
    """
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0


def paired_p_value(first: np.ndarray, second: np.ndarray, num_patients: int, least_error: float = 0.0) -> float:
    """Two-sided p-value of the difference between two runs, from replicates on the same resamples.

    The observed difference over its bootstrap standard error (at least `least_error`, see `mean_error`), against
    Student's t with P - 1 degrees of freedom. Counting resamples beyond zero instead could not give less than 2 / B,
    which Holm's correction over some hundred comparisons would turn into "never significant"; a sign-flip test is exact
    only for metrics that add up over patients, which F1 and ROC-AUC do not. 1 where the runs do not differ in any
    resample. Where they differ by the same in each, all patients differ alike, and the test is the sign-flip test
    (`alike_p_value`). NaN below 2 patients. `num_patients`: those with a value of the metric.
    """
    difference = first - second
    resampled = difference[1:][~np.isnan(difference[1:])]
    if num_patients < 2 or len(resampled) < 2 or np.isnan(difference[0]):
        return float("nan")
    error = max(float(resampled.std(ddof=1)), least_error)
    if is_rounding(error, difference[0]):
        return 1.0 if is_rounding(difference[0], 1.0) else alike_p_value(num_patients)
    return float(2 * scipy.stats.t.sf(abs(difference[0]) / error, num_patients - 1))


def alike_p_value(num_patients: int) -> float:
    """Two-sided p-value of the paired sign-flip test where all P patients differ by the same: of the 2^P ways to turn
    the signs of their differences, two give a mean as far from 0."""
    return float(min(1.0, 2.0 ** (1 - num_patients)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values of one family, in the given order; NaN stays NaN and does not count."""
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    stepped = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def _weighted_sums(weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(B, M) float64 sums of `columns` (N, M)."""
    columns = columns.astype(np.float64)
    blocks = np.array_split(weights, max(1, weights.size // CODES_BLOCK_ELEMENTS))
    return np.concatenate([block.astype(np.float64) @ columns for block in blocks])


def _centred_ranks(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(B, N) mid-rank of each row's value in each resample, minus the resample's mean rank."""
    distinct, inverse = np.unique(values, return_inverse=True)
    drawn = weights @ (inverse[:, None] == np.arange(len(distinct)))
    mid_ranks = np.cumsum(drawn, axis=1) - drawn / 2
    centred: np.ndarray = (mid_ranks - weights.sum(axis=1, keepdims=True) / 2)[:, inverse]
    return centred


def _blocks_of_whole_columns(columns: np.ndarray) -> list[tuple[int, int]]:
    """Cut the sorted `columns` (T,) into runs of about TARGETS_BLOCK entries that split no column."""
    starts = np.append(np.flatnonzero(np.diff(columns, prepend=-1)), len(columns))
    blocks, begin = [], 0
    for start in starts[1:]:
        if start - begin >= TARGETS_BLOCK or start == len(columns):
            blocks.append((begin, int(start)))
            begin = int(start)
    return blocks
