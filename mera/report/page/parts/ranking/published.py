"""Beside published results, where papers print numbers on the same protocol."""

from collections.abc import Sequence

from mera.report.comparison.published import PublishedRow
from mera.report.comparison.runs import ComparedRun
from mera.report.page.part import Part, run_row
from mera.report.page.parts.ranking.models import METRIC_COLUMNS
from mera.report.page.tables import Cell, Column, Row, Table, cell


def published_parts(published: Sequence[PublishedRow], runs: Sequence[ComparedRun]) -> list[Part]:
    if not published:
        return []
    keys = {key for row in published for key in row.metrics}
    columns = [column for column in METRIC_COLUMNS if column.key in keys]
    rows = [
        Row(
            label=row.model,
            note="published",
            faint=True,
            cells=[
                *(Cell(value=row.metrics.get(column.key)) for column in columns),
                Cell(value="; ".join(row.differs) or "nothing"),
                Cell(value=row.protocol, note=row.source),
            ],
        )
        for row in published
    ]
    rows += [run_row(run, [*(cell(run.metrics[column.key]) for column in columns), Cell(), Cell()]) for run in runs]
    caption = "Published rows are copied from the papers: the same metrics, but another drawing of the patients, other "
    caption += "preparation, and no interval. No test compares them with the models here."
    if any(row.differs for row in published):
        caption += " A row that differs in split or language is an orientation, no comparison."
    columns = [
        *columns,
        Column(key="differs", label="Differs in"),
        Column(key="protocol", label="Protocol and source"),
    ]
    table = Table(name="published", caption=caption, columns=columns, rows=rows)
    return [Part(key="published", title="Beside published results", tables=[table])]
