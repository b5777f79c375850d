"""What stage one memorized: exact match on questions about codes, before and after."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Table


def stage_one_parts(runs: Sequence[ComparedRun]) -> list[Part]:
    """Nothing where no run started from a stage one that was measured."""
    rows = [
        run_row(run, [Cell(value=recall.kind), Cell(value=recall.before), Cell(value=recall.after)])
        for run in runs
        for recall in run.breakdown.memorization
    ]
    if not rows:
        return []
    table = Table(
        name="memorization",
        caption="Exact match of the model that stage two started from, before and after stage one, in percent of the "
        "questions. Held-out synonyms were never trained on.",
        columns=[
            Column(key="question", label="Question"),
            Column(key="before", label="Before", format="percent"),
            Column(key="after", label="After", format="percent"),
        ],
        rows=rows,
    )
    return [Part(key="memorization", title="What stage one memorized", tables=[table])]
