"""The report's dataclasses as JSON: `as_json` is the one door between them and report.json.

A field stands under its own name, in the order of its class. `INLINE`, `OMITTED`, `AS_RECORDED` and `called` are a
field's `metadata` where it does not.
"""

import functools
import json
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
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return _entries(value) if is_dataclass(value) and not isinstance(value, type) else value


def _entries(value: "DataclassInstance") -> object:
    entries: dict[str, object] = {}
    for name, key, form in _forms(type(value)):
        item = getattr(value, name)
        if form == "as recorded":
            return item
        if form == "inline":
            inner = as_json(item)
            assert isinstance(inner, dict)
            entries |= inner
        elif form != "omitted":
            entries[key] = as_json(item)
    return entries


@functools.cache
def _forms(kind: "type[DataclassInstance]") -> tuple[tuple[str, str, str | None], ...]:
    """Of each field its name, its key and its form."""
    return tuple(
        (field.name, field.metadata.get("key", field.name), field.metadata.get("form")) for field in fields(kind)
    )


def json_text(value: object, levels: int = 4) -> str:
    """JSON with a line for each entry, down to so many levels of nesting; what lies below stands on one line.

    A report on 120 runs has 300,000 differences: a line for each number would take twice the time and the room.
    """
    if levels and isinstance(value, dict) and value:
        entries = [
            f"{json.dumps(key, ensure_ascii=False)}: {json_text(item, levels - 1)}" for key, item in value.items()
        ]
        return "{\n" + ",\n".join(entries) + "\n}"
    if levels and isinstance(value, list) and value:
        return "[\n" + ",\n".join(json_text(item, levels - 1) for item in value) + "\n]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


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
