"""What the report contains, in order: parts with their figures and tables, the same for every form of the report."""

from dataclasses import dataclass, field
from typing import Any

from mera.report.comparison.pairs import MIN_TESTED_PATIENTS, best_in_group, competitors, find_pair
from mera.report.measures.candidates import describe_candidates
from mera.report.measures.coarse_levels import LEVEL_METRICS
from mera.report.measures.hierarchy import LEVEL_NAMES
from mera.report.measures.measure import METRICS
from mera.report.page.ablation_table import ablation_parts
from mera.report.page.contents_of_runs import run_parts
from mera.report.page.drawing import Figure
from mera.report.page.parts import Part, pair_cell, run_row
from mera.report.page.tables import Cell, Column, Row, Table, cell

METRIC_COLUMNS = [Column(key=metric.key, label=metric.label, format="percent") for metric in METRICS]
BOLD_IN_GROUP = (
    "Bold: above every other model in that group by the paired test, Holm-corrected over this table; groups of fewer "
    f"than {MIN_TESTED_PATIENTS} patients are not tested."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Figures:
    """The section's figures, taken out by the end of their names."""

    all: list[Figure] = field(default_factory=list)

    def named(self, *endings: str) -> list[Figure]:
        return [figure for ending in endings for figure in self.all if figure.name.endswith(ending)]


def section_parts(section: dict[str, Any], figures: list[Figure]) -> list[Part]:
    """Every part of a task's section that has something to show."""
    drawn = _Figures(all=figures)
    parts = [
        Part(
            key="models",
            title="All models, all metrics",
            text=describe_candidates(section),
            tables=[_main_table(section)],
            figures=drawn.named("recall-curves"),
        ),
        *_published(section),
        *_differences(section, drawn),
        *ablation_parts(section),
        *(_stratum(section, part, drawn) for part in section["strata"]),
        *_coarse_levels(section),
        *_hierarchy(section, drawn),
        *run_parts(section, drawn.named),
    ]
    return parts


LARGE_SHARE = 0.2
"""Share of the candidates from which on a first k holds so many of them that recall says little."""


def shallow_rankings(candidates: int) -> str:
    """A sentence, after a space, where the first 10 or 20 codes are a large share of the candidates; else nothing."""
    large = dict.fromkeys(min(k, candidates) for k in (10, 20) if k > LARGE_SHARE * candidates)
    if not large:
        return ""
    named = " and ".join(f"{k} are {k / candidates:.0%}" for k in large)
    return (
        f" Of {candidates} candidates the first {named}: a ranking by chance finds as large a share of the true codes, "
        f"so compare recall with the baselines', and look at MAP and Precision@5."
    )


def _main_table(section: dict[str, Any]) -> Table:
    return Table(
        name="models",
        caption="Highest recall@20 first. Bold: above every other model, each difference supported by the paired test "
        f"after Holm's correction. Definitions are at the end of the page.{shallow_rankings(section['candidates'])}",
        columns=METRIC_COLUMNS,
        rows=[
            run_row(run, [cell(run["metrics"][metric.key], run["metrics"][metric.key]["best"]) for metric in METRICS])
            for run in section["runs"]
        ],
    )


def _published(section: dict[str, Any]) -> list[Part]:
    if not section["published"]:
        return []
    keys = list(section["published"][0]["metrics"])
    columns = [column for column in METRIC_COLUMNS if column.key in keys]
    rows = [
        Row(
            label=row["model"],
            note="published",
            faint=True,
            cells=[Cell(value=row["metrics"][column.key]) for column in columns],
        )
        for row in section["published"]
    ]
    rows += [run_row(run, [cell(run["metrics"][column.key]) for column in columns]) for run in section["runs"]]
    caption = (
        "Published rows are copied from the papers: the same protocol and metrics, but another drawing of the "
        "patients, other preparation, and no interval. No test compares them with the models here."
    )
    table = Table(name="published", caption=caption, columns=columns, rows=rows)
    return [Part(key="published", title="Beside published results", tables=[table])]


def _differences(section: dict[str, Any], drawn: _Figures) -> list[Part]:
    models = competitors(section)
    if len(models) < 2:
        return []
    best = models[0]
    table = Table(
        name="differences",
        caption=f"Points above (+) or below (−) {best['label']} on the same patients, with the 95% interval of the "
        "paired difference and the Holm-adjusted p-value. Bold: supported by the test.",
        columns=[Column(key=column.key, label=column.label, format="points") for column in METRIC_COLUMNS],
        rows=[
            run_row(run, [difference_cell(section, metric.key, run["run"], best["run"]) for metric in METRICS])
            for run in models[1:]
        ],
    )
    title = f"Differences from {best['label']}"
    return [Part(key="differences", title=title, tables=[table], figures=drawn.named("differences"))]


def difference_cell(section: dict[str, Any], metric: str, first: str, second: str) -> Cell:
    """The paired difference first minus second, with its corrected p-value."""
    return pair_cell(find_pair(section, metric, first, second))


def _stratum(section: dict[str, Any], part: dict[str, Any], drawn: _Figures) -> Part:
    explained = part["key"] == "chapter"
    best = [best_in_group(part, place) for place in range(len(part["groups"]))]
    counts = [("targets", "True codes"), ("codes", "Candidates"), ("examples", "Examples")]
    shown = [(key, label) for key, label in counts if part["groups"][0][key] is not None]
    table = Table(
        name=f"strata-{part['key']}",
        corner="Group",
        caption=f"Recall@20 by group. {part['definition']} Of all true codes in a group, the share among the first 20 "
        f"of the full ranking. {BOLD_IN_GROUP}"
        if explained
        else f"Recall@20; the numbers of the figure. {BOLD_IN_GROUP}",
        columns=[Column(key=key, label=label, format="whole") for key, label in shown]
        + [Column(key=run["run"], label=run["label"], format="percent") for run in section["runs"]],
        rows=[
            Row(
                label=group["label"],
                cells=[Cell(value=group[key]) for key, _ in shown]
                + [cell(part["values"][run["run"]][place], run["run"] == best[place]) for run in section["runs"]],
            )
            for place, group in enumerate(part["groups"])
        ],
    )
    figures = drawn.named(f"strata-{part['key']}")
    return Part(key=table.name, title=part["title"], tables=[table], figures=figures)


def _coarse_levels(section: dict[str, Any]) -> list[Part]:
    levels = list(dict.fromkeys(level for run in section["runs"] for level in run["coarse_levels"]))[::-1]
    if not levels:
        return []
    columns = [(level, metric) for level in levels for metric in LEVEL_METRICS]
    table = Table(
        name="coarse-levels",
        caption="The same predictions with codes counted by their group. A group's score is that of its best code; it "
        "is true, or predicted, where one of its codes is.",
        columns=[
            Column(key=f"{level}-{metric}", label=f"{LEVEL_NAMES[level]}: {LEVEL_METRICS[metric]}", format="percent")
            for level, metric in columns
        ],
        rows=[
            run_row(run, [cell(run["coarse_levels"].get(level, {}).get(metric)) for level, metric in columns])
            for run in section["runs"]
        ],
    )
    return [Part(key="coarse-levels", title="At coarser levels of the ontology", tables=[table])]


def _hierarchy(section: dict[str, Any], drawn: _Figures) -> list[Part]:
    runs = [run for run in section["runs"] if run["hierarchy"]]
    if not runs:
        return []
    levels = runs[0]["hierarchy"]["levels"]
    accuracy = Table(
        name="accuracy-by-level",
        caption="Share of predicted codes that are right at each level, in percent; each example predicts as many "
        "codes as it truly has.",
        columns=[Column(key=level, label=LEVEL_NAMES[level], format="percent") for level in levels[1:]],
        rows=[run_row(run, [cell(run["hierarchy"]["accuracy"][level]) for level in levels[1:]]) for run in runs],
    )
    names = {level: "nothing" if level == "all" else LEVEL_NAMES[level] for level in levels}
    wrong = Table(
        name="wrong-predictions",
        caption="Of the wrong predictions, the share whose lowest common ancestor with a true code of the example is "
        f"at this level, in percent: how near they come. “{names['all']} shared”:  not even the chapter is right.",
        columns=[
            Column(key="wrong_predictions", label="Wrong predictions", format="whole"),
            *(Column(key=level, label=f"{names[level]} shared", format="percent") for level in levels[:-1]),
        ],
        rows=[
            run_row(
                run,
                [
                    Cell(value=run["hierarchy"]["wrong_predictions"]),
                    *(cell(run["hierarchy"]["wrong"][level]) for level in levels[:-1]),
                ],
            )
            for run in runs
        ],
    )
    title = "How far wrong predictions are from the truth"
    return [Part(key="hierarchy", title=title, tables=[accuracy, wrong], figures=drawn.named("levels"))]
