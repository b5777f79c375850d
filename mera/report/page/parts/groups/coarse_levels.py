"""At coarser levels of the ontology: the metrics when codes are counted by their group."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.hierarchy import LEVEL_METRICS, LEVEL_NAMES
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Column, Table, cell


def coarse_level_parts(runs: Sequence[ComparedRun]) -> list[Part]:
    """Finest level first."""
    levels = list(dict.fromkeys(level for run in runs for level in run.breakdown.coarse_levels))[::-1]
    if not levels:
        return []
    columns = [(level, metric) for level in levels for metric in LEVEL_METRICS]
    table = Table(
        name="coarse-levels",
        caption="The same predictions with codes counted by their group. A group's score is that of its best code; it "
        "is true, or predicted, where one of its codes is. Of few groups, as chapters are, 20 are nearly all.",
        columns=[
            Column(key=f"{level}-{metric}", label=f"{LEVEL_NAMES[level]}: {LEVEL_METRICS[metric]}", format="percent")
            for level, metric in columns
        ],
        rows=[
            run_row(run, [cell(run.breakdown.coarse_levels.get(level, {}).get(metric)) for level, metric in columns])
            for run in runs
        ],
    )
    return [Part(key="coarse-levels", title="At coarser levels of the ontology", tables=[table])]
