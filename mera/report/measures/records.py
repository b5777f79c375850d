"""What a prediction folder holds besides scores: the training log, stage one's recall, quality and speed by width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mera.report.json_form import AS_RECORDED, JsonObject, without_nan

RECALL_KINDS = {
    "code_to_definition": "code to definition",
    "definition_to_code": "definition to code",
    "held_out_synonym_to_code": "held-out synonym to code",
    "held_out_term_to_code": "held-out index term to code",
}

Points = tuple[tuple[float, float | None], ...]
"""(epoch, value); None where the value was no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingCurve:
    loss: Points
    validation: Mapping[str, Points]
    """By metric."""
    steps: int | None
    """Optimiser steps; None where the log does not count them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOneRecall:
    """Exact match on one kind of question before and after stage one; None: not asked."""

    kind: str
    before: float | None
    after: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Width:
    """Quality and speed of a bi-encoder that scores with the first `width` numbers of its embeddings."""

    width: int
    metrics: Mapping[str, float]
    """On the validation split."""
    queries_per_second: float | None
    bytes_per_code: int | None
    record: JsonObject = field(metadata=AS_RECORDED)


def training_curve(log: Sequence[JsonObject] | None) -> TrainingCurve | None:
    """From the Hugging Face trainer's log; None without one."""
    entries = [entry for entry in log or () if "epoch" in entry]
    loss = [[entry["epoch"], entry["loss"]] for entry in entries if "loss" in entry]
    validation: dict[str, list[list[float]]] = {}
    for entry in entries:
        for key, value in entry.items():
            if key.startswith("eval_") and isinstance(value, float) and not _is_timing(key):
                validation.setdefault(key.removeprefix("eval_"), []).append([entry["epoch"], value])
    if not loss and not validation:
        return None
    steps = [entry["step"] for entry in entries if isinstance(entry.get("step"), int)]
    return TrainingCurve(
        loss=_points(loss),
        validation={key: _points(points) for key, points in validation.items()},
        steps=max(steps, default=None),
    )


def stage_one_recall(record: JsonObject | None) -> tuple[StageOneRecall, ...]:
    """One for each kind of question."""
    record = without_nan(record or {})
    before, after = record.get("before") or {}, record.get("after") or {}
    return tuple(
        StageOneRecall(
            kind=RECALL_KINDS.get(kind, kind.replace("_", " ")), before=before.get(kind), after=after.get(kind)
        )
        for kind in dict.fromkeys([*before, *after])
    )


def stage_one_seconds(record: JsonObject | None) -> float | None:
    seconds: float | None = without_nan(record or {}).get("seconds")
    return seconds


def widths(records: Sequence[JsonObject] | None) -> tuple[Width, ...]:
    """Narrowest first."""
    return tuple(
        Width(
            width=record["width"],
            metrics=record["metrics"],
            queries_per_second=record.get("queries_per_second"),
            bytes_per_code=record.get("bytes_per_code"),
            record=record,
        )
        for record in map(without_nan, sorted(records or (), key=lambda record: record["width"]))
    )


def _points(pairs: list[list[float]]) -> Points:
    return tuple((epoch, value) for epoch, value in without_nan(pairs))


def _is_timing(key: str) -> bool:
    return key.endswith(("_runtime", "_per_second"))
