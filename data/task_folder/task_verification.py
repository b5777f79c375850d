"""Whether a prepared task is still what it was made as.

task.json holds a digest of the rows of each split, of each other file and of the facts that models rely on. They are
compared with the folder when a task is loaded, and again only after one of its files has changed: the size and the time
of change of every file of a verified task are remembered in the user's cache folder, never in the task.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa

from data.task_folder.task_info import Digests, TaskInfo
from data.task_folder.task_rows import digest_table
from mera.root import cache_folder
from mera.system.errors import UserError
from mera.system.private_files import private_files

HASHED_FILES = (
    "codes.parquet",
    "other_codes.parquet",
    "groups.parquet",
    "terms.parquet",
    "rules.parquet",
    "translations.parquet",
    "events.parquet",
    "oracle.npy",
)
FACTS = (
    "fingerprint",
    "source",
    "kind",
    "ontology",
    "edition",
    "book",
    "protocol",
    "candidates",
    "candidates_rule",
    "outside_candidates",
    "counts",
    "oracle",
    "hidden_codes",
    "events",
)
"""What of task.json stages and the report rely on."""
_REMEMBERED_TASKS = 200
_FORM = 1
"""Version of the remembered file: raised when more is verified than before."""

Stamps = dict[str, list[int]]
"""A file of the task -> its size in bytes and its time of change in ns."""


def fingerprint_of(
    row_digests: Mapping[str, str], codes: pl.DataFrame, others: pl.DataFrame, events: pl.DataFrame | None = None
) -> str:
    """sha256 of the candidates, the other codes and the events if any, and the rows; `row_digests` in the order of the
    splits."""
    digest = hashlib.sha256()
    digest.update(codes.write_json().encode())
    if others.height:
        digest.update(f"other codes {others.write_json()}\n".encode())
    if events is not None and events.height:
        digest.update(f"events {events.write_json()}\n".encode())
    for name, of_rows in row_digests.items():
        digest.update(f"{name} {of_rows}\n".encode())
    return digest.hexdigest()


def digests_of(folder: Path, row_digests: Mapping[str, str], info: Mapping[str, object]) -> Digests:
    """The digests of a task that is written into `folder` but for task.json itself."""
    return {"rows": dict(row_digests), "files": _file_digests(folder), "facts": _digest_facts(info)}


def verify_task(
    path: Path, tables: Mapping[str, pa.Table], codes: pl.DataFrame, others: pl.DataFrame, info: TaskInfo
) -> None:
    """Raise UserError naming what differs where the task in `path` is not what it was made as.

    A task made before there were digests is held against its fingerprint, which covers rows and codes.
    """
    stamps = stamps_of(path)
    if _remembered(path) == stamps:
        return
    row_digests = {name: digest_table(table) for name, table in tables.items()}
    differing = (
        _differences(path, row_digests, info["digests"], info)
        if "digests" in info
        else _old_differences(row_digests, codes, others, info)
    )
    if differing:
        raise UserError(
            f"{path} was changed after it was made: {', '.join(differing)} no longer match what task.json remembers; "
            "prepare the task again, or put back the folder as it was"
        )
    remember_verified(path, stamps)


def stamps_of(path: Path) -> Stamps:
    """The stamps of every file of the task, without hidden ones such as the writer's lock."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {
        file.relative_to(path).as_posix(): [stat.st_size, stat.st_mtime_ns] for file in files for stat in [file.stat()]
    }


def remember_verified(path: Path, stamps: Stamps) -> None:
    """Remember in the cache folder that the task with these files is as it was made; does nothing where the cache
    cannot be written."""
    record = _record_path(path)
    with contextlib.suppress(OSError, RuntimeError), private_files():
        record.parent.mkdir(parents=True, exist_ok=True)
        beside = record.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"form": _FORM, "files": stamps}), encoding="utf-8")
        os.replace(beside, record)
        records = sorted(record.parent.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for old in records[:-_REMEMBERED_TASKS]:
            old.unlink(missing_ok=True)


def _differences(path: Path, row_digests: Mapping[str, str], expected: Digests, info: TaskInfo) -> list[str]:
    """The parts of the task that differ from `expected`, which somebody may have damaged too."""
    if not isinstance(expected, dict) or not {"rows", "files", "facts"} <= expected.keys():
        return ["task.json itself"]
    parts = [f"the {name} split" for name, digest in row_digests.items() if expected["rows"].get(name) != digest]
    files = _file_digests(path)
    parts += [name for name in HASHED_FILES if expected["files"].get(name) != files.get(name)]
    return parts + (["task.json itself"] if expected["facts"] != _digest_facts(info) else [])


def _old_differences(
    row_digests: Mapping[str, str], codes: pl.DataFrame, others: pl.DataFrame, info: TaskInfo
) -> list[str]:
    if info.get("candidates", codes.height) != codes.height:
        return ["codes.parquet"]
    right = info["fingerprint"] == fingerprint_of(row_digests, codes, others)
    return [] if right else ["the rows, codes.parquet or the fingerprint"]


def _file_digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in HASHED_FILES
        if (folder / name).is_file()
    }


def _digest_facts(info: Mapping[str, object]) -> str:
    facts = {name: info[name] for name in FACTS if name in info}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _record_path(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return cache_folder() / "verified_tasks" / f"{name}.json"


def _remembered(path: Path) -> Stamps | None:
    """None where nothing is remembered, or nothing readable."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        record = json.loads(_record_path(path).read_text(encoding="utf-8"))
        if isinstance(record, dict) and record.get("form") == _FORM:
            return record.get("files")
    return None
