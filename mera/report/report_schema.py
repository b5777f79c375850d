"""The JSON schema of report.json, made from the report's dataclasses; shipped as report.schema.json beside this file.

After a change of a dataclass, write it anew (and raise `mera.report.page.write.FORMAT` where a key went or means
something else): `python -c "from mera.report.report_schema import *; SCHEMA_FILE.write_text(schema_text())"`
"""

import ast
import functools
import inspect
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mera.report.page.render import Report

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

Schema = dict[str, object]


def schema_text() -> str:
    """What report.schema.json holds."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"


def report_schema() -> Schema:
    """Draft 2020-12. Every key is required and an object has no others, but a record that a run wrote may hold
    anything."""
    definitions: dict[str, Schema] = {}
    reference = _of_type(Report, definitions)
    return {
        "$schema": DIALECT,
        "title": "report.json of `mera report`",
        "description": "Metrics, differences and intervals are fractions, not percent. A number that does not exist is "
        "null.",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }


def _of_type(kind: object, definitions: dict[str, Schema]) -> Schema:
    if kind in SIMPLE:
        return {"type": SIMPLE[typing.cast(type, kind)]}
    if isinstance(kind, type) and is_dataclass(kind):
        return _reference(kind, definitions)
    if kind in (typing.Any, object):
        return {}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _union([_of_type(argument, definitions) for argument in arguments])
    if origin in (Mapping, dict):
        return {"type": "object", "additionalProperties": _of_type(arguments[1], definitions)}
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        return {"type": "array", "items": _of_type(arguments[0], definitions)}
    assert origin is tuple, f"the schema knows no {kind}"
    items = [_of_type(argument, definitions) for argument in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _union(schemas: list[Schema]) -> Schema:
    """`{"type": ["number", "null"]}` where all are simple."""
    if all(set(schema) == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": schemas}


def _reference(kind: "type[DataclassInstance]", definitions: dict[str, Schema]) -> Schema:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # a class may hold others of its kind
        definitions[kind.__name__] = _of_dataclass(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _of_dataclass(kind: "type[DataclassInstance]", definitions: dict[str, Schema]) -> Schema:
    hints = typing.get_type_hints(kind)
    if any(field.metadata.get("form") == "as recorded" for field in fields(kind)):
        return {"type": "object", "description": f"{_first_line(kind)} As some run wrote it."}
    properties: dict[str, object] = {}
    descriptions = _descriptions(kind)
    for field in fields(kind):
        form = field.metadata.get("form")
        if form == "omitted":
            continue
        if form == "inline":
            inner = _of_dataclass(hints[field.name], definitions)["properties"]
            assert isinstance(inner, dict)
            properties |= inner
            continue
        description = descriptions.get(field.name)
        schema = _of_type(hints[field.name], definitions)
        key = field.metadata.get("key", field.name)
        properties[key] = schema if description is None else {**schema, "description": description}
    return {
        "type": "object",
        "description": _first_line(kind),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _first_line(kind: type) -> str:
    text = kind.__doc__ or ""
    return "" if text.startswith(f"{kind.__name__}(") else " ".join(text.split())


@functools.cache
def _descriptions(kind: type) -> Mapping[str, str]:
    """Field -> the text below it in the source, of the class and those that it stands on."""
    texts: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        body = ast.parse(inspect.getsource(cls)).body[0]
        assert isinstance(body, ast.ClassDef)
        for above, below in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(above, ast.AnnAssign)
                and isinstance(above.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                texts[above.target.id] = " ".join(below.value.value.split())
    return texts
