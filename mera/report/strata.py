"""Where a model is good and where not: recall@20 on parts of the targets."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mera import bootstrap, metrics
from mera.report.load import Comparable

FREQUENCY_GROUPS = ((0, "unseen"), (10, "1-10"), (100, "11-100"), (None, "> 100"))
"""Largest number of training examples in each group, and the group's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratification:
    """A partition of the targets."""

    key: str
    title: str
    definition: str
    labels: list[str]
    group_of_target: np.ndarray
    """(T,) int, targets in the order of `np.nonzero(targets)`."""
    num_codes: list[int] | None
    """Candidates in each group; None where a code can be in several."""


def stratify(shared: Comparable) -> list[Stratification]:
    """By frequency in train, by recurrence, and by chapter where the code table knows it.

    Frequency: training examples with the code among their targets. Recurring: the code stands in the example's own
    history; new: it does not (so a patient may well have had it before the recorded history).
    """
    rows, columns = np.nonzero(shared.targets)
    train_counts = shared.codes["train_count"].to_numpy()
    frequency = np.searchsorted([limit for limit, _ in FREQUENCY_GROUPS[:-1]], train_counts, side="left")
    labels = [label for _, label in FREQUENCY_GROUPS]
    found = [
        Stratification(
            key="frequency",
            title="Code frequency in train",
            definition="Groups by the number of training examples that have the code as a target.",
            labels=labels,
            group_of_target=frequency[columns],
            num_codes=np.bincount(frequency, minlength=len(labels)).tolist(),
        )
    ]
    if shared.seen.any():
        found.append(
            Stratification(
                key="recurrence",
                title="New and recurring codes",
                definition="Recurring: the code stands in the example's recorded history. New: it does not.",
                labels=["new", "recurring"],
                group_of_target=shared.seen[rows, columns].astype(np.int64),
                num_codes=None,
            )
        )
    if "chapter" in shared.codes.columns:
        chapters = pl.Series(shared.codes["chapter"]).cast(pl.String).fill_null("none").to_numpy()
        names, chapter_of_code = np.unique(chapters, return_inverse=True)
        found.append(
            Stratification(
                key="chapter",
                title="Chapter of the ontology",
                definition="Groups by the chapter that the code belongs to.",
                labels=names.tolist(),
                group_of_target=chapter_of_code[columns],
                num_codes=np.bincount(chapter_of_code).tolist(),
            )
        )
    return found


def recall_in_groups(ranking: metrics.Ranking, part: Stratification, weights: np.ndarray) -> np.ndarray:
    """(groups, B): of all targets in the group, the share that stands among the first 20 of its row's full ranking.

    Targets are pooled over rows, not averaged per row: most rows have none or one target in a small group.
    """
    hit, num_rows = ranking.ranks < 20, len(ranking.top)
    found = []
    for group in range(len(part.labels)):
        inside = part.group_of_target == group
        per_row = [np.bincount(ranking.rows[chosen], minlength=num_rows) for chosen in (inside & hit, inside)]
        found.append(bootstrap.ratio_of_sums(weights, *per_row))
    return np.stack(found)
