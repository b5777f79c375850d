"""What a manifest and a prediction folder record beside the scores: the task, and what stage one measured."""

import json
from collections.abc import Mapping
from pathlib import Path

from mera.runs.finished_runs import RECALL
from mera.runs.task_protocol import PreparedTask

PREPARED = "prepared"
"""What `mera go` calls the folder of a task."""
UNKNOWN_CODES = ("unknown_codes", "unknown_code_counts")
"""What task.json says of codes that no ontology knows: some of them, which stay there, and how many there are."""


def task_record(task: PreparedTask, split: str) -> dict[str, object]:
    """What a manifest says of the task that was scored; the report prints it as the data card.

    Runs are comparable where `fingerprint` and `split` are equal. The rest of task.json is there where it is known.
    """
    known = (
        *("source", "ontology", "edition", "book", "counts", "candidates", "candidates_rule", "outside_candidates"),
        *("dropped", "changed", *UNKNOWN_CODES, "inputs"),
    )
    record = {
        "name": _called(task.path),
        "kind": task.info["kind"],
        "fingerprint": task.fingerprint,
        "split": split,
        "protocol": task.info["protocol"]["name"],
        "split_protocol": task.info["protocol"],
    } | {key: task.info[key] for key in known if key in task.info}
    rules = task.info.get("options", {}).get("rules")
    if rules is not None:  # new notes are to be read as these were
        record["text_rules"] = rules
    return without_unknown_codes(record)


def _called(path: Path) -> str:
    """The task's folder; where that is called as `mera go` calls it, the one that holds it."""
    return path.name if path.name != PREPARED else path.resolve().parent.name


def without_unknown_codes(record: Mapping[str, object]) -> dict[str, object]:
    """A task record with the number of its unknown codes in place of the codes, which may be anybody's free text."""
    listed, counts = (record.get(key) for key in UNKNOWN_CODES)
    if counts is None and isinstance(listed, dict):  # tasks and runs of before kept the codes alone
        counts = {"distinct": len(listed), "rows": sum(count for count in listed.values() if isinstance(count, int))}
    others = {key: value for key, value in record.items() if key not in UNKNOWN_CODES}
    return others | ({} if counts is None else {UNKNOWN_CODES[1]: counts})


def memorization_record(base: str | Path | None) -> dict[str, object] | None:
    """What stage one measured, where `base` is the checkpoint of one of its runs (`<run>/checkpoint`); else None."""
    if base is None:
        return None
    path = Path(base).parent / RECALL
    if not path.is_file():
        return None
    recall: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    manifest = path.with_name("manifest.json")
    if manifest.is_file():
        run = json.loads(manifest.read_text(encoding="utf-8"))
        recall |= {key: run[key] for key in ("run", "seconds", "command") if key in run}
    return recall
