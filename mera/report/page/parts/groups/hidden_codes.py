"""Where each model ranks the codes that train and validation did not know."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Column, Table, cell

LABELS = {
    "recall@20": "Recall@20",
    "recall@100": "Recall@100",
    "mrr": "MRR",
    "mrr_among_hidden": "MRR among hidden codes",
}


def hidden_code_parts(runs: Sequence[ComparedRun]) -> list[Part]:
    """Nothing where the task hides no code."""
    measured = [run for run in runs if run.breakdown.hidden_codes]
    if not measured:
        return []
    task = measured[0].manifest.record.get("task") or {}
    partly = task.get("hidden_in_some_folds")
    left_out = f" {partly:,} codes that only some of the folds hid are not among them." if partly else ""
    columns = [
        (f"{prefix}{key}", f"{words}{label}")
        for prefix, words in (("", ""), ("new_", "New: "))
        for key, label in LABELS.items()
    ]
    table = Table(
        name="hidden-codes",
        caption="True codes of test that train and validation did not know (`mera prepare --hide-codes`), in percent, "
        "over all such codes. MRR: mean of 1 / place among all candidates, or among the hidden ones alone: which of "
        "the unknown codes it is, however low all of them stand. New: not in the patient's history either."
        f"{left_out}",
        columns=[Column(key=key, label=label, format="percent") for key, label in columns],
        rows=[run_row(run, [cell(run.breakdown.hidden_codes.get(key)) for key, _ in columns]) for run in measured],
    )
    return [Part(key="hidden-codes", title="Hidden codes", tables=[table])]
