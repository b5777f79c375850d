"""Numbers printed in papers: beside ours only where task, split protocol and metric are the same, and what ablations
found, of which only the sign can be compared.

The papers' values come without intervals and from other drawings of the split, so no test compares them with ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mera.report.json_form import called
from mera.report.measures.task_record import TaskRecord

PROTOCOL = "chet"
TEST_PATIENTS = 1000
CHET = "Chet (Lu et al., AAAI 2022)"
METRICS = ("weighted_f1_at_label_count", "recall@10", "recall@20")
ROWS = {
    "mimic3": [(CHET, (0.2263, 0.2864, 0.3787))],
    "mimic4": [(CHET, (0.2635, 0.3028, 0.3869))],
}
"""Source -> rows of METRICS, as the papers print them, as fractions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    model: str
    metrics: Mapping[str, float]


def published_rows(task: TaskRecord) -> tuple[PublishedRow, ...]:
    """The published rows that stand on the same protocol as the task; mostly none.

    The protocol is named `chet`, on MIMIC-III or MIMIC-IV, next-visit diagnoses, and 1,000 patients in the test split.
    """
    patients = task.counts["test"].patients if "test" in task.counts else None
    if (task.protocol, task.kind) != (PROTOCOL, "diagnosis") or patients not in (None, TEST_PATIENTS):
        return ()
    return tuple(
        PublishedRow(model=model, metrics=dict(zip(METRICS, values, strict=True)))
        for model, values in ROWS.get(task.source or "", [])
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A key of the configuration in which a run differs from the reference, with both values as texts."""

    key: str
    reference: str
    changed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperFinding:
    metric: str
    finding: str = field(metadata=called("found"))


WEIGHTED_F1 = "weighted_f1_at_label_count"
FINDINGS = {
    ("stage one", "true", "false"): PaperFinding(metric="recall@20", finding="lower recall"),
    ("loss.levels", None, "all"): PaperFinding(metric=WEIGHTED_F1, finding="F1 −7 to −10"),
    ("loss.threshold_weight", None, "0"): PaperFinding(metric=WEIGHTED_F1, finding="F1 −4"),
    ("decoding", None, "autoregressive"): PaperFinding(metric="recall@20", finding="recall@20 −17"),
}
"""(key, reference's value or None for any, changed value) -> what Ma et al. (AAAI 2025) found when they took this away;
always a loss. Their F1 is read as weighted F1 at label count, the F1 of the tables they follow."""


def paper_finding(changes: Sequence[Change]) -> PaperFinding | None:
    """Where a run's changes are one of the paper's ablations."""
    others = [change for change in changes if change.key != "model.base"]
    if len(others) != 1:
        return None
    (change,) = others
    changed = change.changed.removesuffix(".0")
    return FINDINGS.get((change.key, change.reference, changed), FINDINGS.get((change.key, None, changed)))
