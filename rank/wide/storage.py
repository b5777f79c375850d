"""The wide part in a checkpoint: `wide.safetensors`, its tables and weights."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from mera.system.errors import UserError
from rank.wide.features import FEATURES, PATIENT_FEATURES, WideTables
from rank.wide.wide_part import WideScorer, WideWeights

WIDE_FILE = "wide.safetensors"
START = "start."
"""Before the names of `WideScorer.start`."""
NUMBERS = ("num_rows", "age", "visits", "codes")
"""Of `WideTables`, what is no array."""


def save_wide_part(scorer: WideScorer, checkpoint: str | Path) -> None:
    """Write `wide.safetensors`. The item-item weights take two bytes each: 80 MB for 8,000 codes."""
    arrays = _arrays(scorer.weights) | ({} if scorer.start is None else _arrays(scorer.start, START))
    tables = asdict(scorer.tables)
    numbers = {name: tables.pop(name) for name in NUMBERS}
    events, event_weight = list(tables.pop("event_columns")), tables.pop("event_weight")
    if events:
        numbers |= {"events": events, "event_weight": event_weight}
    arrays |= tables | {"item_weights": np.ascontiguousarray(tables["item_weights"], dtype=np.float16)}
    settings = {"features": FEATURES, "patient_features": PATIENT_FEATURES, **numbers}
    save_file(arrays, Path(checkpoint) / WIDE_FILE, metadata={"wide": json.dumps(settings)})


def load_wide_part(checkpoint: str | Path) -> WideScorer | None:
    """The wide part of a checkpoint; None where it was trained without. Raises UserError where it reads other features
    than this version."""
    path = Path(checkpoint) / WIDE_FILE
    if not path.is_file():
        return None
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        settings = json.loads(file.metadata()["wide"])
    if (settings["features"], settings["patient_features"]) != (list(FEATURES), list(PATIENT_FEATURES)):
        raise UserError(f"{path} was written by another version, whose wide part reads other features; train it again")
    tables = WideTables(
        counts=arrays["counts"],
        num_rows=settings["num_rows"],
        item_weights=arrays["item_weights"].astype(np.float32),
        linked=arrays.get("linked", np.arange(len(arrays["counts"]))),  # a checkpoint of before has rows of all codes
        group_ids=arrays["group_ids"],
        age=tuple(settings["age"]),
        visits=settings["visits"],
        codes=settings["codes"],
        event_columns={event: number for number, event in enumerate(settings.get("events", ()))},
        event_weight=settings.get("event_weight", 0.0),
    )
    start = _weights(arrays, START) if any(name.startswith(START) for name in arrays) else None
    return WideScorer(tables=tables, weights=_weights(arrays), start=start)


def _arrays(weights: WideWeights, prefix: str = "") -> dict[str, np.ndarray]:
    return {prefix + part.name: np.ascontiguousarray(getattr(weights, part.name)) for part in fields(WideWeights)}


def _weights(arrays: dict[str, np.ndarray], prefix: str = "") -> WideWeights:
    return WideWeights(**{part.name: arrays[prefix + part.name] for part in fields(WideWeights)})
