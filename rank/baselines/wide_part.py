"""The wide part of stage two by itself, as training begins with it: what the language model has to add to."""

import numpy as np

from data.task import Task
from mera.config import load_config
from mera.root import shipped
from rank.baselines.simple import EVALUATED, BaselineScores
from rank.config import RankConfig
from rank.start import fitted_wide_part

RECIPE = "configs/rank/tiny.yaml"
"""Whose loss it is fitted by."""


def wide_part(task: Task, seed: int) -> BaselineScores:
    """Scores of the wide part, fitted alone on the task's train split."""
    keys = {"task": str(task.path), "output": "none", "wide": "full", "training.seed": seed}
    start = fitted_wide_part(load_config(RankConfig, shipped(RECIPE), keys), task)
    assert start is not None, "the wide part was asked for"
    scores: dict[str, np.ndarray] = {}
    for split in EVALUATED:
        patients = [start.scorer.tables.patient(row, task.column) for row in task.splits[split]]
        scores[split] = start.scorer.bonus(patients)[:, :-1]
    return BaselineScores(validation=scores["validation"], test=scores["test"], chosen={})
