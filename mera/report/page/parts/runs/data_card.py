"""The data card: what the prepared task holds, split by split."""

from collections.abc import Mapping

from mera.report.comparison.compare import Comparison
from mera.report.measures.task_record import SplitCounts
from mera.report.page.part import Part
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.text import percent


def data_card_part(comparison: Comparison) -> Part:
    table = Table(
        name="data",
        corner="Split",
        caption="The prepared task. No patient is in two splits; where a prediction folder names the patients its "
        "model was trained on, the report checks it again. Input files and their sha256 are in the task record below.",
        columns=[
            Column(key="examples", label="Examples", format="whole"),
            Column(key="patients", label="Patients", format="whole"),
            Column(key="targets", label="True codes", format="whole"),
            Column(key="outside", label="Outside the candidates", format="whole"),
            Column(key="outside_share", label="Share of the true codes, %", format="percent"),
        ],
        rows=[Row(label=name, cells=_cells(split)) for name, split in _splits(comparison).items()],
    )
    return Part(key="data", title="Data card", text=". ".join(_facts(comparison)) + ".", tables=[table])


def _facts(comparison: Comparison) -> list[str]:
    task, candidates, outside = comparison.task, comparison.candidates, comparison.candidates.outside
    described = {"Source": task.source, "Codes": task.edition, "Task": task.kind, "Split": task.protocol}
    facts = [f"{label}: {value}" for label, value in described.items() if value]
    facts.append(f"Candidates: {candidates.number:,} codes ({candidates.rule_in_words})")
    if outside.targets:
        facts.append(
            f"True codes outside the candidates, counted as missed: {outside.targets:,} of {comparison.targets:,} "
            f"({percent(outside.share)}%)"
        )
    for label, counts in (("Dropped rows", task.dropped), ("Read otherwise than written", task.changed)):
        if counts:
            facts.append(f"{label}: {'; '.join(f'{count:,} x {reason}' for reason, count in counts.items())}")
    unknown = task.unknown_codes
    if unknown.get("distinct"):
        facts.append(
            f"Codes that the ontology does not know: {unknown['distinct']:,} in {unknown.get('rows', 0):,} rows"
        )
    return facts


def _splits(comparison: Comparison) -> Mapping[str, SplitCounts]:
    """What the task says of its splits; the split that was scored, counted here, where it says nothing. How many true
    codes of the scored split are outside the candidates is always counted here."""
    scored, outside = comparison.task.split, comparison.candidates.outside.targets
    counts = comparison.task.counts or {
        scored: SplitCounts(
            examples=comparison.examples, patients=comparison.patients, targets=comparison.targets, outside=outside
        )
    }
    return {
        name: SplitCounts(
            examples=split.examples,
            patients=split.patients,
            targets=split.targets,
            outside=outside if name == scored else split.outside,
        )
        for name, split in counts.items()
    }


def _cells(split: SplitCounts) -> list[Cell]:
    """In the order of the columns."""
    share = split.outside / split.targets if split.targets and split.outside is not None else None
    return [
        Cell(value=split.examples),
        Cell(value=split.patients),
        Cell(value=split.targets),
        Cell(value=split.outside),
        Cell(value=share),
    ]
