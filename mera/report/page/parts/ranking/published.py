"""Beside published results, where papers print numbers on the same protocol."""

from collections.abc import Sequence

from mera.report.comparison.published import PublishedRow
from mera.report.comparison.runs import ComparedRun
from mera.report.page.part import Part, run_row
from mera.report.page.parts.ranking.models import METRIC_COLUMNS
from mera.report.page.tables import Cell, Row, Table, cell


def published_parts(published: Sequence[PublishedRow], runs: Sequence[ComparedRun]) -> list[Part]:
    if not published:
        return []
    columns = [column for column in METRIC_COLUMNS if column.key in published[0].metrics]
    rows = [
        Row(
            label=row.model,
            note="published",
            faint=True,
            cells=[Cell(value=row.metrics[column.key]) for column in columns],
        )
        for row in published
    ]
    rows += [run_row(run, [cell(run.metrics[column.key]) for column in columns]) for run in runs]
    caption = (
        "Published rows are copied from the papers: the same protocol and metrics, but another drawing of the "
        "patients, other preparation, and no interval. No test compares them with the models here."
    )
    table = Table(name="published", caption=caption, columns=columns, rows=rows)
    return [Part(key="published", title="Beside published results", tables=[table])]
