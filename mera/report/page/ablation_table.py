"""The table of ablations: what each change is worth, and whether the paper found the same sign."""

from typing import Any

from mera.report import text
from mera.report.comparison import ablation
from mera.report.measures.measure import METRICS
from mera.report.page.parts import Part, pair_cell
from mera.report.page.tables import Cell, Column, Row, Table

SHOWN = 0.0005
"""The smallest difference that the table does not round to 0.0 points."""


def ablation_parts(section: dict[str, Any]) -> list[Part]:
    """One part for each kind of model that has ablations."""
    runs = {run["run"]: run for run in section["runs"]}
    labels = {metric.key: metric.label for metric in METRICS}
    parts = []
    for found in section["ablations"]:
        reference = runs[found["reference"]]
        seeds = max(len(run["pairs"]) for run in found["runs"])
        with_paper = any(run["paper"] for run in found["runs"])
        columns = [
            Column(key="changes", label="What differs"),
            *(Column(key=key, label=labels[key], format="points") for key in ablation.METRICS),
        ]
        if with_paper:
            columns.append(Column(key="paper", label="In the paper, and here"))
        caption = (
            f"Runs whose configuration differs from {reference['label']} in at most {ablation.MAX_CHANGES} keys: "
            "points above (+) or below (−) it on the same patients, with the 95% interval of the paired difference. "
        )
        if seeds == 1:
            caption += "Holm-adjusted p-value. One training run each: another seed would move these numbers too."
        else:
            caption += f"Means over up to {seeds} seeds, each seed's difference below; bold: the interval holds no 0."
        if with_paper:
            caption += (
                " Ma et al. (AAAI 2025) took the same things away on MIMIC-III and MIMIC-IV with a 7B model: compare "
                "the signs, not the sizes. Not clear: the interval holds 0, or the difference rounds to it."
            )
        table = Table(
            name=f"ablation-{found['kind']}".replace("_", "-"),
            caption=caption,
            columns=columns,
            rows=[_ablation_row(run, runs[run["run"]], with_paper) for run in found["runs"]],
        )
        title = f"Ablations of {reference['label']}"
        parts.append(Part(key=table.name, title=title, tables=[table]))
    return parts


def _ablation_row(found: dict[str, Any], run: dict[str, Any], with_paper: bool) -> Row:
    changes = "; ".join(f"{change['key']}: {change['reference']} → {change['changed']}" for change in found["changes"])
    cells = [Cell(value=changes)]
    for metric in ablation.METRICS:
        difference = found["differences"].get(metric)
        if difference is None or "by_seed" not in difference:
            cells.append(pair_cell(difference))
            continue
        cells.append(
            Cell(
                value=difference["difference"],
                low=difference["low"],
                high=difference["high"],
                note=", ".join(text.percent(value, signed=True) for value in difference["by_seed"]),
                strong=_is_clear(difference),
            )
        )
    if with_paper:
        cells.append(_paper_cell(found))
    several = len(found["pairs"]) > 1
    return Row(label=str(run["manifest"].get("model", run["run"])) if several else run["label"], cells=cells)


def _paper_cell(found: dict[str, Any]) -> Cell:
    """What the paper found, always a loss, and whether the same metric falls here."""
    paper = found["paper"]
    difference = found["differences"].get(paper["metric"]) if paper else None
    if difference is None:
        return Cell()
    sign = "same sign" if difference["difference"] < 0 else "other sign"
    return Cell(value=paper["found"], note=sign if _is_clear(difference) else f"{sign}, not clear")


def _is_clear(difference: dict[str, Any]) -> bool:
    """The interval leaves 0 out, and the difference shows in the table, which has one decimal of a point."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None or abs(difference["difference"]) < SHOWN:
        return False
    return low > 0 or high < 0
