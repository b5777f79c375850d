"""What a prediction folder holds besides scores, brought into one form: training log, memorisation, widths."""

from typing import Any

WIDTH_METRICS = {"recall_at_20": "Recall@20", "mean_average_precision": "MAP"}
RECALL_KINDS = {
    "code_to_definition": "code to definition",
    "definition_to_code": "definition to code",
    "held_out_synonym_to_code": "held-out synonym to code",
}


def training_curve(log: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """`loss` and `validation` (by metric) as [epoch, value], from the Hugging Face trainer's log; None without one."""
    if not log:
        return None
    loss = [[entry["epoch"], entry["loss"]] for entry in log if "loss" in entry and "epoch" in entry]
    validation: dict[str, list[list[float]]] = {}
    for entry in log:
        for key, value in entry.items():
            if key.startswith("eval_") and isinstance(value, float) and "epoch" in entry and not _is_timing(key):
                validation.setdefault(key.removeprefix("eval_"), []).append([entry["epoch"], value])
    return {"loss": loss, "validation": validation} if loss or validation else None


def memorization_rows(record: dict[str, Any] | None) -> list[dict[str, Any]]:
    """One row for each kind of question: its name, exact match before and after stage one (None: not asked)."""
    if not record:
        return []
    before, after = record.get("before") or {}, record.get("after") or {}
    return [
        {"kind": RECALL_KINDS.get(kind, kind.replace("_", " ")), "before": before.get(kind), "after": after.get(kind)}
        for kind in dict.fromkeys([*before, *after])
    ]


def width_rows(record: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Quality and speed at each width, narrowest first: width, metrics, queries_per_second, bytes_per_code."""
    return sorted(record or [], key=lambda row: row["width"])


def _is_timing(key: str) -> bool:
    return key.endswith(("_runtime", "_per_second"))
