"""A part of the report: a heading, words, figures, tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from mera.report.comparison.pairs import MetricDifference, is_supported, is_tested
from mera.report.comparison.runs import ComparedRun
from mera.report.page.drawing.figure import Figure
from mera.report.page.tables import Cell, Row, Table
from mera.report.text import p_value

KIND_NAMES = {"oracle": "oracle (a bound)", "bi_encoder": "bi-encoder"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    key: str
    """Its anchor on the page; unique in a section."""
    title: str
    text: str = ""
    figures: Sequence[Figure] = ()
    """The first one stands beside the first table, the second beside the second."""
    tables: Sequence[Table] = ()


def run_row(run: ComparedRun, cells: Sequence[Cell]) -> Row:
    """A table row that is called after a run."""
    kind = run.kind or ""
    return Row(label=run.label, note=KIND_NAMES.get(kind, kind), faint=run.is_oracle, cells=cells, run=run.name)


def pair_cell(pair: MetricDifference | None) -> Cell:
    """A paired difference with its interval and corrected p-value."""
    if pair is None:
        return Cell()
    return Cell(
        value=pair.difference,
        low=pair.low,
        high=pair.high,
        note=p_value(pair.p_holm) if is_tested(pair) else "",
        strong=is_supported(pair),
    )
