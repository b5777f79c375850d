"""What each change of a configuration is worth, and whether the paper found the same sign."""

from collections.abc import Sequence
from dataclasses import replace

from mera.report import text
from mera.report.comparison import ablations
from mera.report.comparison.ablations import Ablation, AblationRun, SeedsDifference
from mera.report.comparison.pairs import MetricDifference
from mera.report.comparison.runs import ComparedRun
from mera.report.measures.measure import METRICS
from mera.report.page.part import Part, pair_cell
from mera.report.page.tables import Cell, Column, Row, Table

SMALLEST_PRINTED = 0.0005
"""The smallest difference that the table does not round to 0.0 points."""


def ablation_parts(families: Sequence[Ablation], runs: Sequence[ComparedRun]) -> list[Part]:
    """One part for each kind of model that has ablations."""
    by_name = {run.name: run for run in runs}
    labels = {metric.key: metric.label for metric in METRICS}
    parts = []
    for family in families:
        reference = by_name[family.reference]
        with_paper = any(run.relative.paper for run in family.runs)
        columns = [
            Column(key="changes", label="What differs"),
            *(Column(key=key, label=labels[key], format="points") for key in ablations.METRICS),
        ]
        if with_paper:
            columns.append(Column(key="paper", label="In the paper, and here"))
        table = Table(
            name=f"ablation-{family.kind}".replace("_", "-"),
            caption=_caption(family, reference.label, with_paper),
            columns=columns,
            rows=[_row(run, by_name[run.relative.name], with_paper, _most_seeds(family)) for run in family.runs],
        )
        parts.append(Part(key=table.name, title=f"Ablations of {reference.label}", tables=[table]))
    return parts


def _caption(family: Ablation, reference: str, with_paper: bool) -> str:
    seeds = _most_seeds(family)
    caption = (
        f"Runs whose configuration differs from {reference} in at most {ablations.MAX_CHANGES} keys: "
        "points above (+) or below (−) it on the same patients, with the 95% interval of the paired difference. "
    )
    if seeds == 1:
        caption += (
            "Holm-adjusted p-value; bold: supported by the test, with 0 outside the interval. One training run each: "
            "another seed would move these numbers too."
        )
    else:
        caption += (
            f"Means over up to {seeds} seeds, with each seed's difference below; where there is one seed, its "
            "Holm-adjusted p-value. Bold, in every row: the interval holds no 0, whatever a test says."
        )
    if with_paper:
        caption += (
            " Ma et al. (AAAI 2025) took the same things away on MIMIC-III and MIMIC-IV with a 7B model: compare "
            "the signs, not the sizes. Not clear: the interval holds 0, or the difference rounds to it."
        )
    return caption


def _most_seeds(family: Ablation) -> int:
    return max(len(run.relative.pairs) for run in family.runs)


def _row(ablation: AblationRun, run: ComparedRun, with_paper: bool, most_seeds: int) -> Row:
    """`most_seeds`: of any row of the table; where it is 1 a difference is bold by its test, else by its interval."""
    changes = "; ".join(f"{change.key}: {change.reference} → {change.changed}" for change in ablation.relative.changes)
    cells = [Cell(value=changes)]
    cells += [_difference_cell(ablation.differences.get(metric), most_seeds) for metric in ablations.METRICS]
    if with_paper:
        cells.append(_paper_cell(ablation))
    seeds = len(ablation.relative.pairs)
    note = f"{seeds} seed{'s' * (seeds > 1)}" if most_seeds > 1 else ""
    return Row(label=run.manifest.model if seeds > 1 else run.label, note=note, cells=cells)


def _difference_cell(difference: MetricDifference | SeedsDifference | None, most_seeds: int) -> Cell:
    if difference is None or (most_seeds == 1 and isinstance(difference, MetricDifference)):
        return pair_cell(difference)
    if isinstance(difference, MetricDifference):
        return replace(pair_cell(difference), strong=_is_clear(difference))
    return Cell(
        value=difference.difference,
        low=difference.low,
        high=difference.high,
        note=", ".join(text.percent(value, signed=True) for value in difference.by_seed),
        strong=_is_clear(difference),
    )


def _paper_cell(ablation: AblationRun) -> Cell:
    """What the paper found, always a loss, and whether the same metric falls here."""
    paper = ablation.relative.paper
    difference = ablation.differences.get(paper.metric) if paper else None
    if paper is None or difference is None or difference.difference is None:
        return Cell()
    sign = "same sign" if difference.difference < 0 else "other sign"
    return Cell(value=paper.finding, note=sign if _is_clear(difference) else f"{sign}, not clear")


def _is_clear(difference: MetricDifference | SeedsDifference) -> bool:
    """The interval leaves 0 out, and the difference shows in the table, which has one decimal of a point."""
    value, low, high = difference.difference, difference.low, difference.high
    if value is None or low is None or high is None or abs(value) < SMALLEST_PRINTED:
        return False
    return low > 0 or high < 0
