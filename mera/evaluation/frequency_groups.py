"""Codes by how often they were given in training: the groups in which a report and stage one say how well they do."""

import numpy as np

TRAIN_AND_VALIDATION = "train"
"""The rule of a task whose candidates are the codes of those two splits (`mera prepare --candidates`)."""
FREQUENCY_GROUPS = ((0, "unseen"), (10, "1-10"), (100, "11-100"), (None, "> 100"))
"""Largest number of training examples in each group, and the group's name; `mera inspect` counts by the same
(data/inspection/task_figures.py), which imports nothing of this room."""


def frequency_group(train_count: int) -> str:
    """The name of a code's group."""
    return next(label for largest, label in FREQUENCY_GROUPS if largest is None or train_count <= largest)


def fair_candidates(train_counts: np.ndarray, candidates_rule: str) -> np.ndarray:
    """(C,) bool: the candidates by which validation may judge. train_counts (C,) int.

    All of them, but where the candidates are the codes of train and validation (`train`) only those that training
    shows: each other one is a candidate because a patient of validation has it, so that unseen codes look as if they
    were often true. In a test split they hardly are.
    """
    return train_counts > 0 if candidates_rule == TRAIN_AND_VALIDATION else np.ones(len(train_counts), dtype=bool)


def group_numbers(values: np.ndarray, groups: tuple[tuple[int | None, str], ...]) -> np.ndarray:
    """The first group whose largest value is not below the value."""
    largest = np.array([largest for largest, _ in groups if largest is not None])
    return np.searchsorted(largest, values, side="left")
