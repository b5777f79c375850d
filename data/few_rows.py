"""A prepared task cut down, for a rehearsal."""

from dataclasses import replace

import datasets

from data.task import Task


def with_few_held_out(task: Task, rows: int) -> Task:
    """`task` with only the first `rows` examples of validation and test; training examples are as they were."""
    kept = {
        name: split if name == "train" else split.select(range(min(rows, len(split))))
        for name, split in task.splits.items()
    }
    return replace(task, splits=datasets.DatasetDict(kept))
