"""Where a model is good and where not: recall@20 on parts of the targets."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mera.evaluation import bootstrap, metrics
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, group_numbers
from mera.report.measures.load import Comparable

VISIT_GROUPS = ((0, "none"), (1, "1"), (2, "2"), (5, "3-5"), (None, "> 5"))
"""Largest number of previous visits in each group, and the group's name."""
AGE_GROUPS = ((17, "below 18"), (39, "18-39"), (59, "40-59"), (79, "60-79"), (None, "80 and over"))
"""Largest age in years, whole years counted, in each group, and the group's name."""
SEX_NAMES = {"F": "female", "M": "male"}
UNKNOWN = "unknown"


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
    num_examples: list[int] | None = None
    """Examples in each group; None where an example's targets can be in several."""


def stratify(shared: Comparable) -> list[Stratification]:
    """By code frequency, recurrence, previous visits, age, sex and chapter: what the prediction folders tell of.

    A stratification into a single group says nothing and is left out, but for the frequency.
    """
    partitions = [_by_frequency(shared), _by_recurrence(shared), *_by_example(shared), _by_chapter(shared)]
    return [partition for partition in partitions if partition is not None]


def _by_frequency(shared: Comparable) -> Stratification:
    _, columns = np.nonzero(shared.targets)
    frequency = group_numbers(shared.codes["train_count"].to_numpy(), FREQUENCY_GROUPS)
    of_targets, where = frequency[columns], ""
    if shared.target_train_counts is not None:
        of_targets, where = group_numbers(shared.target_train_counts, FREQUENCY_GROUPS), ", in its own fold"
    labels = [label for _, label in FREQUENCY_GROUPS]
    missed = " True codes outside the candidates are among the unseen." if shared.outside.targets else ""
    return Stratification(
        key="frequency",
        title="Code frequency in train",
        definition=f"Groups by the number of training examples that have the code as a target{where}.{missed}",
        labels=labels,
        # What is no candidate was not trained on, whatever other folds or histories hold.
        group_of_target=np.where(shared.outside.is_missed, 0, of_targets),
        num_codes=None
        if where
        else np.bincount(frequency[: shared.outside.num_candidates], minlength=len(labels)).tolist(),
    )


def _by_recurrence(shared: Comparable) -> Stratification | None:
    """Recurring: the code stands in the example's own history; a patient may have had it before that history began."""
    if not shared.seen.any():
        return None
    return Stratification(
        key="recurrence",
        title="New and recurring codes",
        definition="Recurring: the code stands in the example's recorded history. New: it does not.",
        labels=["new", "recurring"],
        group_of_target=shared.seen[np.nonzero(shared.targets)].astype(np.int64),
        num_codes=None,
    )


def _by_example(shared: Comparable) -> list[Stratification | None]:
    """By what is known of the example as a whole."""
    partitions = []
    if shared.previous_visits is not None:
        partitions.append(
            _example_groups(
                shared,
                "visits",
                "Previous visits",
                "Groups by the number of visits in the example's history.",
                [label for _, label in VISIT_GROUPS],
                group_numbers(shared.previous_visits, VISIT_GROUPS),
            )
        )
    if shared.ages is not None:
        known = np.isfinite(shared.ages)
        ages = np.floor(np.where(known, shared.ages, 0))
        partitions.append(
            _example_groups(
                shared,
                "age",
                "Age",
                "Groups by age in years at the visit that is predicted, as the source gives it.",
                [*(label for _, label in AGE_GROUPS), UNKNOWN],
                np.where(known, group_numbers(ages, AGE_GROUPS), len(AGE_GROUPS)),
            )
        )
    if shared.sexes is not None:
        names = [SEX_NAMES.get(sex, UNKNOWN) if sex is not None else UNKNOWN for sex in shared.sexes]
        labels = [*SEX_NAMES.values(), UNKNOWN]
        numbers = np.array([labels.index(name) for name in names])
        partitions.append(_example_groups(shared, "sex", "Sex", "Groups by sex as recorded.", labels, numbers))
    return partitions


def _example_groups(
    shared: Comparable, key: str, title: str, definition: str, labels: list[str], group_of_row: np.ndarray
) -> Stratification | None:
    """Groups of examples, empty ones left out; None where a single group is left."""
    present, group_of_row = np.unique(group_of_row, return_inverse=True)
    if len(present) < 2:
        return None
    rows, _ = np.nonzero(shared.targets)
    return Stratification(
        key=key,
        title=title,
        definition=definition,
        labels=[labels[number] for number in present],
        group_of_target=group_of_row[rows],
        num_codes=None,
        num_examples=np.bincount(group_of_row).tolist(),
    )


def _by_chapter(shared: Comparable) -> Stratification | None:
    if "chapter" not in shared.codes.columns:
        return None
    _, columns = np.nonzero(shared.targets)
    chapters = shared.codes["chapter"].cast(pl.String).fill_null("none").to_numpy()
    groups, chapter_of_code = np.unique(chapters, return_inverse=True)
    names = {}
    if shared.group_names is not None:
        of_chapters = shared.group_names.filter(pl.col("level") == "chapter")
        names = dict(zip(of_chapters["group"], of_chapters["name"], strict=True))
    return Stratification(
        key="chapter",
        title="Chapter of the ontology",
        definition="Groups by the chapter that the code belongs to.",
        labels=[f"{group}: {names[group]}" if names.get(group, group) != group else group for group in groups],
        group_of_target=chapter_of_code[columns],
        num_codes=np.bincount(chapter_of_code[: shared.outside.num_candidates], minlength=len(groups)).tolist(),
    )


def recall_in_groups(ranking: metrics.Ranking, part: Stratification, weights: np.ndarray) -> np.ndarray:
    """(groups, B): of all targets in the group, the share that stands among the first 20 of its row's full ranking.

    Targets are pooled over rows, not averaged per row: most rows have none or one target in a small group.
    """
    num_rows, num_groups = len(ranking.top), len(part.labels)
    hit = ranking.ranks < 20
    cells = ranking.rows * num_groups + part.group_of_target
    hits, totals = (
        np.bincount(chosen, minlength=num_rows * num_groups).reshape(num_rows, num_groups)
        for chosen in (cells[hit], cells)
    )
    return bootstrap.ratio_of_sums(weights, hits, totals).T
