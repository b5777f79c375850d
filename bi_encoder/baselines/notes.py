"""The notes that a baseline is fitted on. N notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bi_encoder.baselines.phrases.known import together
from bi_encoder.inputs.texts import query_texts
from data.task import Task
from mera.evaluation.spread_rows import spread_rows

Value = TypeVar("Value")
MOST_NOTES = 20_000
"""Training notes that are read: the linear models take the products of all pairs of them, 3 GiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """What a model is fitted on."""

    rows: np.ndarray
    """(N,) increasing: each note's number among those of the splits, whether they were read or not."""
    texts: list[str]
    targets: list[list[int]]
    """The columns of each note's true codes."""
    patients: list[str]
    """The patient of each note."""
    marked: list[list[tuple[int, str]]] | None
    """(column, words) of each note's evidence; None where the task has none."""

    @classmethod
    def of(cls, task: Task, splits: Sequence[str], joined: bool = False, most: int = MOST_NOTES) -> "Notes":
        """The notes of `splits`, one split after the other, or `most` of them, spread over all; `joined`: the words
        that are marked for a code in one sentence as one phrase, instead of piece by piece."""
        starts = np.cumsum([0, *(len(task.splits[split]) for split in splits)])
        rows = spread_rows(int(starts[-1]), most)
        texts: list[str] = []
        targets: list[list[int]] = []
        patients: list[str] = []
        marked: list[list[tuple[int, str]] | None] = []
        for split, start, end in zip(splits, starts, starts[1:], strict=False):
            in_split = (rows[(rows >= start) & (rows < end)] - start).tolist()
            texts += _at(texts_of(task, split), in_split)
            targets += _at(task.target_columns(split), in_split)
            patients += _at(task.splits[split]["patient_id"], in_split)
            marked += _marked_words(task, split, in_split, joined)
        known = [of_note for of_note in marked if of_note is not None]
        return cls(
            rows=rows,
            texts=texts,
            targets=targets,
            patients=patients,
            marked=known if len(known) == len(marked) and any(known) else None,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, positions: Sequence[int] | np.ndarray) -> "Notes":
        """Those at `positions`."""
        return Notes(
            rows=self.rows[positions],
            texts=_at(self.texts, positions),
            targets=_at(self.targets, positions),
            patients=_at(self.patients, positions),
            marked=None if self.marked is None else _at(self.marked, positions),
        )

    def of_rows(self, rows: np.ndarray) -> "Notes":
        """Those whose number is among `rows`."""
        return self.select(np.flatnonzero(np.isin(self.rows, rows)))


def _at(values: Sequence[Value], positions: Sequence[int] | np.ndarray) -> list[Value]:
    return [values[position] for position in positions]


def texts_of(task: Task, split: str) -> list[str]:
    return [query.text for query in query_texts(task, split)]


def _marked_words(task: Task, split: str, in_split: Sequence[int], joined: bool) -> list[list[tuple[int, str]] | None]:
    """For each of the notes (column, words) of its evidence; None where the split has none."""
    column, rows = task.column, task.splits[split].select(in_split)
    if "evidence" not in rows.column_names:
        return [None] * len(in_split)
    marked: list[list[tuple[int, str]] | None] = []
    for text, evidence in zip(rows["text"], rows["evidence"], strict=True):
        spans = [
            (column[span["code"]], span["start"], span["end"]) for span in evidence or () if span["code"] in column
        ]
        if joined and spans:
            marked.append(together(text, spans))
        else:
            marked.append([(of_code, text[start:end]) for of_code, start, end in spans])
    return marked
