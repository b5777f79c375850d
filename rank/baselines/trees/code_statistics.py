"""What the trees know of codes from other patients: how often one follows another, how often it returns, who has it.

Shape suffixes: N examples, C candidates, L codes from which they are foretold (rank/baselines/history_columns.py), G
groups of age and sex, E events.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from rank.baselines.history_matrices import HistoryMatrices
from rank.baselines.item_item import with_constant
from rank.wide.item_scores import item_item_weights

TRANSITION_PRIOR = 5.0
"""Examples that the popularity of a code counts for beside those that had another code."""
GROUP_PRIOR = 20.0
"""Examples that a code's overall popularity counts for beside those of a group of age and sex."""
AGE_EDGES = (18.0, 40.0, 55.0, 65.0, 75.0, 85.0)
"""Ages, in years, at which a new group begins; unknown age and unknown sex are groups of their own."""
NUM_GROUPS = 3 * (len(AGE_EDGES) + 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeStatistics:
    popularity: np.ndarray
    """(C,) float32: share of the examples with the code among their targets, smoothed"""
    group_popularity: np.ndarray
    """(G, C) float32: log of the same in the group over that in all"""
    transition: np.ndarray
    """(L, C) float32: P(c is a target | d is in the history), smoothed towards the popularity of c"""
    event_transition: np.ndarray
    """(E, C) float32: P(c is a target | the event is in the history), smoothed likewise"""
    item_weights: np.ndarray
    """(L, C) float32: as the baseline `ease` has them, from the codes of the history; (2 L, C) from those and, apart,
    from the codes of its last visit"""
    item_constant: np.ndarray
    """(C,) float32: what each item-item score begins with"""
    onset: np.ndarray
    """(C,) float32: P(c is a target | c is not in the history), smoothed"""
    recurrence: np.ndarray
    """(C,) float32: P(c is a target | c is in the last visit), smoothed towards the mean over codes"""


def code_statistics(examples: HistoryMatrices, item_penalty: float, last_apart: bool = False) -> CodeStatistics:
    """Counted on `examples`; `item_penalty`: the ridge of the item-item weights; `last_apart`: they read the codes of
    the last visit a second time."""
    seen, targets = examples.seen, examples.targets
    num_examples, num_codes = targets.shape
    target_counts = np.asarray(targets.sum(axis=0)).ravel()
    popularity = (target_counts + 0.5) / (num_examples + 1)
    code_counts = np.asarray(seen.sum(axis=0)).ravel()
    own = np.asarray(seen[:, :num_codes].multiply(targets).sum(axis=0)).ravel()
    onset = (target_counts - own + popularity) / (num_examples - code_counts[:num_codes] + 1)
    both = (examples.linked_seen.T @ targets).toarray()
    transition = (both + TRANSITION_PRIOR * popularity) / (code_counts[examples.linked, None] + TRANSITION_PRIOR)
    event_counts = np.asarray(examples.events.sum(axis=0)).ravel()
    with_target = (examples.events.T @ targets).toarray()
    event_transition = (with_target + TRANSITION_PRIOR * popularity) / (event_counts[:, None] + TRANSITION_PRIOR)
    last = examples.last_visit[:, :num_codes]
    returned, had = np.asarray(last.multiply(targets).sum(axis=0)).ravel(), np.asarray(last.sum(axis=0)).ravel()
    mean_recurrence = returned.sum() / max(had.sum(), 1.0)
    recurrence = (returned + TRANSITION_PRIOR * mean_recurrence) / (had + TRANSITION_PRIOR)
    groups = group_numbers(examples)
    group_sizes = np.bincount(groups, minlength=NUM_GROUPS)
    membership = np.zeros((NUM_GROUPS, num_examples), dtype=np.float32)
    membership[groups, np.arange(num_examples)] = 1.0
    in_group = membership @ targets
    shares = (in_group + GROUP_PRIOR * popularity) / (group_sizes[:, None] + GROUP_PRIOR)
    weights = item_item_weights(with_constant(item_inputs(examples, last_apart)), targets, item_penalty)
    return CodeStatistics(
        popularity=popularity.astype(np.float32),
        group_popularity=np.log(shares / popularity).astype(np.float32),
        transition=transition.astype(np.float32),
        event_transition=event_transition.astype(np.float32),
        item_weights=weights[:-1],
        item_constant=weights[-1],
        onset=onset.astype(np.float32),
        recurrence=recurrence.astype(np.float32),
    )


def item_inputs(examples: HistoryMatrices, last_apart: bool) -> sparse.csr_array:
    """(N, L) or (N, 2 L): what the item-item scores read."""
    if not last_apart:
        return examples.linked_seen
    return sparse.csr_array(sparse.hstack([examples.linked_seen, examples.linked_last]))


def group_numbers(examples: HistoryMatrices) -> np.ndarray:
    """(N,) int64 in [0, NUM_GROUPS): the group of age and sex of each example."""
    age = np.where(np.isnan(examples.age), len(AGE_EDGES) + 1, np.digitize(examples.age, AGE_EDGES)).astype(np.int64)
    sex = np.where(np.isnan(examples.female), 2, examples.female).astype(np.int64)
    return age * 3 + sex
