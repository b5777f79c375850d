"""Resources of FHIR as a Bulk export writes them, one JSON object a line, or as Bundles hold them; and what stands
where in one."""

import datetime
import gzip
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from mera.system.errors import UserError

Version = tuple[float, int]
SUFFIXES = (".ndjson", ".jsonl", ".json", ".ndjson.gz", ".jsonl.gz", ".json.gz")
_MAYBE_WHOLE = (".json", ".json.gz")
"""Of files that may be one JSON value over many lines."""
DELETED = "deleted"
"""Type of what stands for an entry of a Bundle that deletes a resource, whose `reference` names that."""


def at(value: object, *path: str | int) -> object:
    """What lies in `value` at `path`; None where nothing does."""
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: object, *path: str | int) -> str:
    """The text at `path`; empty where there is none. Halves of characters, which JSON can hold, become `?`."""
    text = at(value, *path)
    if not isinstance(text, str):
        return ""
    stripped = text.strip()
    return stripped if stripped.isascii() else stripped.encode("utf-8", "replace").decode()


def first_of(*values: object) -> object:
    """The first of `values` that is an object."""
    return next((value for value in values if isinstance(value, Mapping)), None)


def id_of(reference: object) -> str:
    """The id in a Reference: `Patient/7`, an address that ends so, or `urn:uuid:...`; empty for contained resources."""
    text = text_at(reference, "reference")
    if text.startswith("#"):
        return ""
    # One object for each id, however many resources name it.
    return sys.intern(re.sub(r"/_history/[^/]*$", "", text).rsplit("/", 1)[-1].removeprefix("urn:uuid:"))


def type_of(reference: object) -> str:
    """`Condition` of `Condition/7`, of an address that ends so or of a reference that says its type; empty where
    nothing says it."""
    path = re.sub(r"/_history/[^/]*$", "", text_at(reference, "reference")).split("/")
    return text_at(reference, "type") or (path[-2] if len(path) > 1 else "")


def version_of(resource: Mapping[str, object]) -> Version:
    """When it was updated last, and its version; of what says neither the least."""
    number, updated = text_at(resource, "meta", "versionId"), -math.inf
    with suppress(ValueError):
        moment = datetime.datetime.fromisoformat(text_at(resource, "meta", "lastUpdated"))
        updated = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    return updated, int(number) if number.isdecimal() else 0


def resource_lines(path: Path) -> Iterator[Mapping[str, object]]:
    """The resources of a file, those of a Bundle one after the other; of a .json file that is no resource (the manifest
    of a Bulk export) none. Raises UserError naming file and line where it is damaged."""
    for resource in _whole(path) if _is_of_many_lines(path) else _lines(path):
        yield from _opened(resource)


def _opened(resource: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The resource, or what its entries are where it is a Bundle."""
    if resource["resourceType"] != "Bundle":
        yield resource
        return
    entries = at(resource, "entry")
    for entry in entries if isinstance(entries, list) else ():
        inside = at(entry, "resource")
        if text_at(entry, "request", "method").upper() == "DELETE":
            when = text_at(entry, "response", "lastModified") or text_at(resource, "meta", "lastUpdated")
            reference = text_at(entry, "request", "url")
            yield {"resourceType": DELETED, "reference": reference, "meta": {"lastUpdated": when}}
        elif isinstance(inside, Mapping) and isinstance(inside.get("resourceType"), str):
            yield from _opened(inside)


def _is_of_many_lines(path: Path) -> bool:
    """Whether a .json file is no resource a line: its first line is no whole object."""
    if not path.name.lower().endswith(_MAYBE_WHOLE):
        return False
    with suppress(EOFError, gzip.BadGzipFile, zlib.error), _stream(path) as file:
        first = next((line for line in file if line.strip()), b"")
        try:
            return not isinstance(at(json.loads(first.decode("utf-8-sig")), "resourceType"), str)
        except (ValueError, RecursionError):
            return True
    return False  # which the reading of its lines says


def _whole(path: Path) -> Iterator[Mapping[str, object]]:
    with _stream(path) as file:
        try:
            value = json.loads(file.read().decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            place = f"line {error.lineno:,}, column {error.colno:,}"
            raise UserError(f"{path} is not JSON from {place} on; is it cut off?") from None
        except (ValueError, RecursionError):
            raise UserError(f"{path} is not JSON in UTF-8") from None
    for each in value if isinstance(value, list) else [value]:
        if isinstance(at(each, "resourceType"), str):
            yield each


def _stream(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    number = 0
    try:
        with _stream(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                resource = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                    raise UserError(f"{path}, line {number:,} is no FHIR resource: it has no resourceType")
                yield resource
    except UserError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is a damaged or cut off gzip file; download or copy it again") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}, line {number:,} is not JSON; a Bulk export has one resource a line") from None
