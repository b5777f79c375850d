"""Numbers printed in papers, shown beside ours only where task, split protocol and metric are the same.

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
