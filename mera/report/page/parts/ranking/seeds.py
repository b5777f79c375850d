"""What another seed changes: mean and spread of runs of one recipe."""

from collections.abc import Sequence

from mera.report.comparison.ablations import METRICS
from mera.report.comparison.seeds import SeedGroup
from mera.report.measures.measure import METRICS as ALL_METRICS
from mera.report.page.part import Part
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.text import percent

LABELS = {metric.key: metric.label for metric in ALL_METRICS}


def seed_parts(groups: Sequence[SeedGroup]) -> list[Part]:
    """Nothing where no recipe was trained with two seeds."""
    if not groups:
        return []
    table = Table(
        name="seeds",
        caption="Mean over the seeds, with its 95% interval over patients; below it the standard deviation over the "
        "seeds and the values of each, in percent.",
        columns=[
            Column(key="seeds", label="Seeds"),
            *(Column(key=metric, label=LABELS[metric], format="percent") for metric in METRICS),
        ],
        rows=[
            Row(
                label=group.model,
                note=", ".join(group.runs),
                cells=[Cell(value=", ".join(group.seeds)), *_cells(group)],
            )
            for group in groups
        ],
    )
    text = (
        "Runs that differ in nothing but their seed. The interval over patients says how far another sample of "
        "patients may move the mean; the deviation, how far another seed may move one run."
    )
    return [Part(key="seeds", title="What another seed changes", text=text, tables=[table])]


def _cells(group: SeedGroup) -> list[Cell]:
    cells = []
    for metric in METRICS:
        value = group.metrics[metric]
        each = ", ".join(percent(one) for one in value.by_seed)
        note = "" if value.deviation is None else f"± {percent(value.deviation)} ({each})"
        cells.append(Cell(value=value.mean, low=value.low, high=value.high, note=note))
    return cells
