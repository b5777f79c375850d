"""The report's dataclasses as JSON: `as_json` is the one door between them and report.json.

A field stands under its own name, in the order of its class. `INLINE`, `OMITTED`, `AS_RECORDED` and `called` are a
field's `metadata` where it does not.
"""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JsonObject = dict[str, Any]
"""What `json.loads` makes of a manifest or a record: JSON gives its values no type."""
Value = TypeVar("Value")

INLINE = {"form": "inline"}
"""The field's own fields stand in the place of the field."""
OMITTED = {"form": "omitted"}
"""Not in report.json, since it is read from something that is."""
AS_RECORDED = {"form": "as recorded"}
"""The whole object is this field: a record as some run wrote it, of which the other fields are readings."""


def called(key: str) -> dict[str, str]:
    """The field stands under another name."""
    return {"key": key}


def as_json(value: object) -> object:
    """Dictionaries, lists, texts and numbers: what `json.dumps` takes. A number that does not exist is None already."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return _entries(value) if is_dataclass(value) and not isinstance(value, type) else value


def _entries(value: "DataclassInstance") -> object:
    entries: dict[str, object] = {}
    for field in fields(value):
        item, form = getattr(value, field.name), field.metadata.get("form")
        if form == "as recorded":
            return item
        if form == "inline":
            inner = as_json(item)
            assert isinstance(inner, dict)
            entries |= inner
        elif form != "omitted":
            entries[field.metadata.get("key", field.name)] = as_json(item)
    return entries


def without_nan(value: Value) -> Value:
    """A copy of a record with None for every NaN and infinity, and plain Python numbers."""
    return cast(Value, _plain(value))  # None where a NaN was is a JSON value too


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
