"""Runs whose configuration differs from a reference run in a few keys: what each change is worth."""

from typing import Any

from mera.report.pairs import competitors

MAX_CHANGES = 3
"""Runs that differ in more keys are different models, not ablations of one."""
IGNORED_KEYS = frozenset(
    {"output", "name", "task", "evaluation_batch_size", "training.tracking", "selection.batch_size", "model.dtype"}
)
"""Where a run was written, what it is called, and how it was computed, not what was trained."""
MISSING = "not set"


def find_ablations(section: dict[str, Any], reference: str | None = None) -> list[dict[str, Any]]:
    """For each kind of model with near relatives: the reference and the runs that differ from it in 1-3 keys.

    The reference is `reference` where it is of that kind, else the run with the most such relatives; of equals, the
    one that differs least from them. Each change is named with both values.
    """
    found = []
    trained = [run for run in competitors(section) if run["kind"] != "baseline"]
    for kind in dict.fromkeys(run["kind"] for run in trained):
        group = [run for run in trained if run["kind"] == kind]
        changes = {run["run"]: _relatives(run, group) for run in group}
        chosen = reference if reference in changes else max(changes, key=lambda name: _centrality(changes[name]))
        if changes[chosen]:
            found.append({"kind": kind, "reference": chosen, "runs": changes[chosen]})
    return found


def flattened(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"loss": {"known": "negative"}}` -> `{"loss.known": "negative"}`, without the keys that change no model."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flattened(value, f"{name}.")
        elif name not in IGNORED_KEYS:
            found[name] = value
    return found


def _centrality(relatives: list[dict[str, Any]]) -> tuple[int, int]:
    return len(relatives), -sum(len(run["changes"]) for run in relatives)


def _relatives(reference: dict[str, Any], group: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = flattened(reference["manifest"].get("config") or {})
    found = []
    for run in group:
        other = flattened(run["manifest"].get("config") or {})
        changes = [
            {"key": key, "reference": _shown(own, key), "changed": _shown(other, key)}
            for key in sorted(own.keys() | other.keys())
            if own.get(key, MISSING) != other.get(key, MISSING)
        ]
        if 0 < len(changes) <= MAX_CHANGES and own and other:
            found.append({"run": run["run"], "changes": changes})
    return found


def _shown(config: dict[str, Any], key: str) -> str:
    if key not in config:
        return MISSING
    value = config[key]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return str(value)
