"""The notes that a baseline is fitted on. N notes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bi_encoder.baselines.phrases.known import together
from bi_encoder.inputs.texts import query_texts
from data.task import Task

MOST_NOTES = 20_000
"""Training notes that are read, the first ones: the linear models take the products of all pairs of them, 3 GiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """What a model is fitted on, at most MOST_NOTES of them."""

    texts: list[str]
    targets: list[list[int]]
    """The columns of each note's true codes."""
    patients: list[str]
    """The patient of each note."""
    marked: list[list[tuple[int, str]]] | None
    """(column, words) of each note's evidence; None where the task has none."""

    @classmethod
    def of(cls, task: Task, splits: Sequence[str], joined: bool = False) -> "Notes":
        """The notes of `splits`, one split after the other; `joined`: the words that are marked for a code in one
        sentence as one phrase, instead of piece by piece."""
        marked = [_marked_words(task, split, joined) for split in splits]
        there = [row for of_split in marked for row in of_split or ()]
        return cls(
            texts=[text for split in splits for text in texts_of(task, split)][:MOST_NOTES],
            targets=[list(row) for split in splits for row in task.target_columns(split)][:MOST_NOTES],
            patients=[patient for split in splits for patient in task.splits[split]["patient_id"]][:MOST_NOTES],
            marked=None if None in marked or not any(there) else there[:MOST_NOTES],
        )

    def select(self, rows: np.ndarray) -> "Notes":
        """Those of `rows` that were read."""
        read = [row for row in rows if row < len(self.texts)]
        return Notes(
            texts=[self.texts[row] for row in read],
            targets=[self.targets[row] for row in read],
            patients=[self.patients[row] for row in read],
            marked=None if self.marked is None else [self.marked[row] for row in read],
        )


def texts_of(task: Task, split: str) -> list[str]:
    return [query.text for query in query_texts(task, split)]


def _marked_words(task: Task, split: str, joined: bool) -> list[list[tuple[int, str]]] | None:
    """For each note of the split (column, words) of its evidence; None where it has none."""
    column, rows = task.column, task.splits[split].select(range(min(MOST_NOTES, len(task.splits[split]))))
    if "evidence" not in rows.column_names:
        return None
    marked: list[list[tuple[int, str]]] = []
    for text, evidence in zip(rows["text"], rows["evidence"], strict=True):
        spans = [
            (column[span["code"]], span["start"], span["end"]) for span in evidence or () if span["code"] in column
        ]
        if joined and spans:
            marked.append(together(text, spans))
        else:
            marked.append([(of_code, text[start:end]) for of_code, start, end in spans])
    return marked
