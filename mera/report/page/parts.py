"""A part of the report: a heading, words, figures, tables."""

from dataclasses import dataclass, field
from typing import Any

from mera.report.comparison.pairs import is_real
from mera.report.page.drawing import Figure
from mera.report.page.tables import Cell, Row, Table
from mera.report.text import p_value

KIND_NAMES = {"oracle": "oracle (a bound)", "bi_encoder": "bi-encoder"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    key: str
    """Its anchor on the page; unique in a section."""
    title: str
    text: str = ""
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def run_row(run: dict[str, Any], cells: list[Cell]) -> Row:
    """A table row that is called after a run."""
    kind = run["kind"] or ""
    return Row(label=run["label"], note=KIND_NAMES.get(kind, kind), faint=kind == "oracle", cells=cells)


def pair_cell(pair: dict[str, Any] | None) -> Cell:
    """A paired difference (see mera/report/comparison/pairs.py) with its interval and corrected p-value."""
    if pair is None:
        return Cell()
    return Cell(
        value=pair["difference"],
        low=pair["low"],
        high=pair["high"],
        note=p_value(pair["p_holm"]) if pair["low"] is not None else "",
        strong=is_real(pair),
    )
