"""Numbers printed in papers: beside ours only where task, split protocol and metric are the same, and what ablations
found, of which only the sign can be compared.

The papers' values come without intervals and from other drawings of the split, so no test compares them with ours.
"""

from typing import Any

PROTOCOL = "chet"
TEST_PATIENTS = 1000
CHET = "Chet (Lu et al., AAAI 2022)"
METRICS = ("weighted_f1_at_label_count", "recall@10", "recall@20")
ROWS = {
    "mimic3": [(CHET, (0.2263, 0.2864, 0.3787))],
    "mimic4": [(CHET, (0.2635, 0.3028, 0.3869))],
}
"""Source -> rows of METRICS, as the papers print them, as fractions."""


def published_rows(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The published rows that stand on the same protocol as `task` (a manifest's task record); mostly none.

    The protocol is named `chet`, on MIMIC-III or MIMIC-IV, next-visit diagnoses, and 1,000 patients in the test split.
    """
    patients = task.get("counts", {}).get("test", {}).get("patients", TEST_PATIENTS)
    if (task.get("protocol"), task.get("kind"), patients) != (PROTOCOL, "diagnosis", TEST_PATIENTS):
        return []
    return [
        {"model": model, "metrics": dict(zip(METRICS, values, strict=True))}
        for model, values in ROWS.get(task.get("source", ""), [])
    ]


WEIGHTED_F1 = "weighted_f1_at_label_count"
FINDINGS = {
    ("stage one", "true", "false"): {"metric": "recall@20", "found": "lower recall"},
    ("loss.levels", None, "all"): {"metric": WEIGHTED_F1, "found": "F1 −7 to −10"},
    ("loss.threshold_weight", None, "0"): {"metric": WEIGHTED_F1, "found": "F1 −4"},
    ("decoding", None, "autoregressive"): {"metric": "recall@20", "found": "recall@20 −17"},
}
"""(key, reference's value or None for any, changed value) -> what Ma et al. (AAAI 2025) found when they took this away;
always a loss. Their F1 is read as weighted F1 at label count, the F1 of the tables they follow."""


def paper_finding(changes: list[dict[str, str]]) -> dict[str, str] | None:
    """`metric` and `found` where a run's changes (`key`, `reference`, `changed`) are one of the paper's ablations."""
    keys = [change for change in changes if change["key"] != "model.base"]
    if len(keys) != 1:
        return None
    change, changed = keys[0], keys[0]["changed"].removesuffix(".0")
    return FINDINGS.get((change["key"], change["reference"], changed), FINDINGS.get((change["key"], None, changed)))
