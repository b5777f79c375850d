"""The columns of a prepared task's rows, and its splits."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import datasets

SPLITS = ("train", "validation", "test")

FEATURES = datasets.Features(
    {
        "example_id": datasets.Value("string"),
        "patient_id": datasets.Value("string"),
        "age": datasets.Value("int32"),
        "sex": datasets.Value("string"),
        "history": datasets.List(
            {"codes": datasets.List(datasets.Value("string")), "days_before": datasets.Value("int32")}
        ),
        "text": datasets.Value("string"),
        "targets": datasets.List(datasets.Value("string")),
        "evidence": datasets.List(
            {
                "code": datasets.Value("string"),
                "start": datasets.Value("int32"),
                "end": datasets.Value("int32"),
            }
        ),
    }
)
"""One row = one example. `history`: visits, oldest first, `days_before` the target visit (null without dates);
`age` in years at the target visit and `sex` (`F`, `M`) may be null; `text`: the note, or null; `evidence`: character
spans `[start, end)` of `text` that support a code, empty where the source has none."""

PAST_NOTES_FEATURES = datasets.Features(
    {**FEATURES, "history": datasets.List({**FEATURES["history"].feature, "text": datasets.Value("string")})}
)
"""The same with the notes of past visits: each visit of `history` has its own `text`, the note or null."""


def task_features(past_notes: bool = False, events: bool = False) -> datasets.Features:
    """FEATURES or PAST_NOTES_FEATURES; with `events` each visit of `history` has its own `events` too: those of
    events.parquet that occurred in it, sorted."""
    features = PAST_NOTES_FEATURES if past_notes else FEATURES
    if not events:
        return features
    visit = {**features["history"].feature, "events": datasets.List(datasets.Value("string"))}
    return datasets.Features({**features, "history": datasets.List(visit)})


class VisitRow(TypedDict):
    """A visit of a history."""

    codes: Sequence[str]
    days_before: int | None
    """Days from it to the target visit; None without dates."""
    text: NotRequired[str | None]
    """Its note or None, where the rows have PAST_NOTES_FEATURES."""
    events: NotRequired[Sequence[str]]
    """What else was done or measured in it, as events.parquet calls it, where the task has events."""


class EvidenceSpan(TypedDict):
    """The characters `[start, end)` of the note that support a code."""

    code: str
    start: int
    end: int


class PatientRow(TypedDict):
    """What a model reads of a patient."""

    age: int | None
    sex: str | None
    """`F` or `M`"""
    history: Sequence[VisitRow]
    """oldest visit first"""
    text: str | None
    """the note"""


class TaskRow(PatientRow):
    """One example, as `task_features` describes it."""

    example_id: str
    patient_id: str
    targets: Sequence[str]
    evidence: Sequence[EvidenceSpan]


def has_past_notes(features: datasets.Features) -> bool:
    """Whether the visits of a history come with their notes."""
    return "text" in features["history"].feature


def has_events(features: datasets.Features) -> bool:
    """Whether the visits of a history come with their events."""
    return "events" in features["history"].feature
