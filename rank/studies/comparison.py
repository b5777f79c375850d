"""Models of one task side by side: values, differences from one of them, and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mera.report.measures.estimates import Estimate
from mera.report.page.drawing.colours import SERIES
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.page.tables import cell as number_cell
from mera.runs.predictions import read_predictions
from rank.studies.evidence import Replicates, Resampling, as_numbers, measured_runs, outcome, seed_values
from rank.studies.plan import StudyModel, StudyPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def runs_of(plan: StudyPlan, seed: int) -> Path:
    """Where the runs of one seed lie."""
    return plan.output / "runs" / f"seed-{seed}"


def measure_models(
    plan: StudyPlan, models: Sequence[StudyModel]
) -> tuple[dict[str, dict[str, np.ndarray]], Resampling]:
    """Model -> metric -> (S, B), and the resampling behind it."""
    first = read_predictions(runs_of(plan, 0) / models[0].name)
    resampling = Resampling.of(first.patient_ids, plan.seeds, plan.resamples)
    return {
        model.name: measured_runs(
            [runs_of(plan, seed) / model.name for seed in range(plan.seeds)], resampling, first.example_ids
        )
        for model in models
    }, resampling


def where_words(plan: StudyPlan, resampling: Resampling) -> str:
    """`2,140 test patients, 3 seeds`."""
    return f"{resampling.num_patients:,} test patients, {plan.seeds} seed{'s' * (plan.seeds > 1)}"


def value_table(
    name: str,
    caption: str,
    models: Sequence[StudyModel],
    measured: Mapping[str, Replicates],
    metrics: Mapping[str, str],
    resampling: Resampling,
    chance: Mapping[str, float] | None = None,
) -> Table:
    """A row for each model, a column for each metric; `chance`: a last row of a random order."""
    rows = [
        Row(
            label=model.label,
            cells=[
                number_cell(resampling.value(measured[model.name][key])) if key in measured[model.name] else Cell()
                for key in metrics
            ],
        )
        for model in models
    ]
    if chance is not None:
        rows.append(Row(label="chance", cells=[Cell(value=chance.get(key)) for key in metrics], faint=True))
    columns = [Column(key=key, label=label, format="percent") for key, label in metrics.items()]
    return Table(name=name, caption=caption, columns=columns, rows=rows)


def difference_table(
    caption: str,
    pairs: Sequence[tuple[StudyModel, StudyModel]],
    measured: Mapping[str, Replicates],
    metrics: Mapping[str, str],
    resampling: Resampling,
    least_effect: float,
) -> Table:
    """A row for each pair, first minus second."""
    rows = []
    for first, second in pairs:
        cells = []
        for key in metrics:
            if key not in measured[first.name] or key not in measured[second.name]:
                cells.append(Cell())
                continue
            value = resampling.difference(measured[first.name][key], measured[second.name][key])
            strong = outcome(value, least_effect) in ("found", "the other way round")
            cells.append(Cell(value=value.value, low=value.low, high=value.high, strong=strong))
        rows.append(Row(label=f"{first.label} − {second.label}", cells=cells))
    columns = [Column(key=key, label=label, format="points") for key, label in metrics.items()]
    return Table(name="differences", caption=caption, columns=columns, rows=rows, corner="Difference")


def deep_share_tables(runs: Mapping[str, Sequence[Sequence[Path]]], columns: Sequence[str]) -> list[Table]:
    """How much of what training changed validation let in (`deep_share` of the manifests), a row for each model of
    stage two, a column for each task, the mean over its seeds; nothing where no run has a full wide part.

    At 0 a run ranks as the wide part alone, whatever its language model knows.
    """
    shares = {
        label: [[read_predictions(path).manifest.get("deep_share") for path in of_column] for of_column in of_model]
        for label, of_model in runs.items()
    }
    if all(share is None for of_model in shares.values() for of_column in of_model for share in of_column):
        return []

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return [
        Table(
            name="deep-share",
            caption="Share of what training changed that validation let in, percent, mean over seeds: at 0 a run ranks "
            "as the wide part alone, whatever its language model knows",
            columns=[Column(key=f"share-{column}", label=column, format="percent") for column in columns],
            rows=[
                Row(label=label, cells=[Cell(value=mean(of_column)) for of_column in of_model])
                for label, of_model in shares.items()
            ],
        )
    ]


def model_numbers(
    models: Sequence[StudyModel], measured: Mapping[str, Replicates], metrics: Mapping[str, str], resampling: Resampling
) -> dict[str, dict[str, dict[str, object]]]:
    """For study.json."""
    return {
        model.name: {
            key: {
                **as_numbers(resampling.value(measured[model.name][key])),
                "by_seed": seed_values(measured[model.name][key]),
            }
            for key in metrics
            if key in measured[model.name]
        }
        for model in models
    }


def draw_dots(
    axes: "Axes",
    labels: Sequence[str],
    series: Mapping[str, Sequence[Estimate]],
    axis: str,
    scale: float = 100.0,
    reference: float | None = None,
) -> None:
    """A row for each label, a dot with its interval for each series; `reference`: a line to compare with."""
    for number, (name, values) in enumerate(series.items()):
        color = SERIES[number % len(SERIES)]
        shift = 0.5 * ((number + 0.5) / len(series) - 0.5)
        for place, value in enumerate(values):
            if value.value is None:
                continue
            height = place + shift
            if value.low is not None and value.high is not None:
                axes.plot([scale * value.low, scale * value.high], [height] * 2, color=color, linewidth=1.4)
            label = name if place == 0 and len(series) > 1 else None
            axes.plot(scale * value.value, height, linestyle="none", marker="o", markersize=5, color=color, label=label)
    if reference is not None:
        axes.axvline(scale * reference, color="#5c6670", linewidth=1.0, linestyle=(0, (4, 2)))
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(axis)
