"""How much each model makes of how many training patients, and where stage one and the hierarchy pay."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.task import Task
from mera.commands.programs import Step, mera_command, shown
from mera.report.measures.estimates import Estimate
from mera.report.page.drawing.colours import SERIES
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.page.tables import cell as number_cell
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
from rank.studies.comparison import deep_share_tables
from rank.studies.evidence import (
    METRICS,
    Replicates,
    Resampling,
    as_numbers,
    claim_sentence,
    measured_runs,
    outcome,
    seed_values,
)
from rank.studies.page import MARKERS, StudyReport
from rank.studies.plan import StudyModel, StudyPlan, chosen_models, memorize_steps, model_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_SIZES = (125, 250, 500, 1000, 2000, 4000)
DEFAULT_MODELS = ("stage-two", "no-stage-one", "no-hierarchy", "wide", "gbdt", "retain")
LEAST_VALIDATION = 40
"""Patients of validation at least: with fewer nothing can be chosen."""
MAIN = "recall@20"
REFERENCE = "stage-two"
CLAIMS = {
    "no-stage-one": "Stage one",
    "no-hierarchy": "The hierarchy",
    "wide": "The language model beside the wide part",
    "gbdt": "Stage two above LightGBM on pairs",
    "retain": "Stage two above RETAIN",
}


def sizes_of(plan: StudyPlan, task: Task) -> list[int]:
    """Patients of train, the whole number last; sizes that the task does not have are left out."""
    everyone = len(set(task.splits["train"]["patient_id"]))
    wanted = sorted(set(plan.sizes or DEFAULT_SIZES))
    if wanted[0] < 1:
        raise UserError(f"--sizes are patients, 1 or more; got {wanted[0]}")
    return [*(size for size in wanted if size < everyone), everyone]


def learning_curve_steps(plan: StudyPlan, task: Task) -> list[Step]:
    """Stage one, then seed by seed and size by size the sample of patients and all models on it."""
    models, sizes = chosen_models(plan, DEFAULT_MODELS), sizes_of(plan, task)
    steps = memorize_steps(plan, models)
    for seed in range(plan.seeds):
        for size in sizes:
            part = plan.task
            if size != sizes[-1]:
                part = plan.output / "tasks" / f"seed-{seed}" / f"{size}-patients"
                steps.append(_sample_step(plan, task, size, seed, part))
            steps += model_steps(plan, models, part, _runs(plan, seed, size), seed)
    return steps


def _sample_step(plan: StudyPlan, task: Task, size: int, seed: int, part: Path) -> Step:
    everyone = len(set(task.splits["validation"]["patient_id"]))
    number = max(LEAST_VALIDATION, round(plan.validation_share * size)) if plan.validation_share else everyone
    number = min(number, everyone)
    command = mera_command(
        *("sample", plan.task, "--patients", size, "--validation-patients", number, "--seed", seed, "--output", part)
    )
    return Step(name=f"{size} patients, seed {seed}", command=command, results=(part,))


def _runs(plan: StudyPlan, seed: int, size: int) -> Path:
    return plan.output / "runs" / f"seed-{seed}" / f"{size}-patients"


def learning_curve_report(plan: StudyPlan, task: Task) -> StudyReport:
    """The curves, the differences from stage two at each size, and a sentence for each claim."""
    models, sizes = chosen_models(plan, DEFAULT_MODELS), sizes_of(plan, task)
    first = read_predictions(_runs(plan, 0, sizes[0]) / models[0].name)
    resampling = Resampling.of(first.patient_ids, plan.seeds, plan.resamples)
    measured: dict[str, list[Replicates]] = {
        model.name: [
            measured_runs(
                [_runs(plan, seed, size) / model.name for seed in range(plan.seeds)], resampling, first.example_ids
            )
            for size in sizes
        ]
        for model in models
    }
    where = f"{resampling.num_patients:,} test patients, {plan.seeds} seed{'s' * (plan.seeds > 1)}"
    against = [model for model in models if model.name != REFERENCE] if REFERENCE in measured else []
    sentences = [_claim(plan, model, measured, sizes, resampling, where) for model in against]
    curves = {model.name: [resampling.value(of_size[MAIN]) for of_size in measured[model.name]] for model in models}
    return StudyReport(
        name="learning-curve",
        title="Learning curves",
        question="How does each model rank the next diagnoses, learnt from how many patients? Where few are there, "
        "knowledge of the codes (stage one) and of their order (the hierarchy) should pay most.",
        setting=[
            f"Task {plan.task.name}, {len(task.codes):,} candidates, the same test patients and candidates throughout "
            f"({where}). Training patients are drawn anew for each seed and nested within it (`mera sample`); "
            + _validation_words(plan)
            + " Intervals are 95%, over patients and seeds (both drawn with replacement), paired in differences, not "
            "corrected for the number of comparisons. A claim is judged by the mean of the differences over all sizes.",
        ],
        sentences=sentences,
        tables=[
            *(_curve_table(key, label, models, measured, sizes, resampling) for key, label in METRICS.items()),
            *([_difference_table(plan, against, measured, sizes, resampling)] if against else []),
            *deep_share_tables(
                {
                    model.label: [
                        [_runs(plan, seed, size) / model.name for seed in range(plan.seeds)] for size in sizes
                    ]
                    for model in models
                    if not model.is_baseline
                },
                [f"{size:,}" for size in sizes],
            ),
        ],
        draw=lambda axes: _draw(axes, models, curves, sizes),
        caption=f"Recall@20 by the number of training patients, mean over seeds, with 95% intervals ({where}).",
        numbers={
            "sizes": sizes,
            "seeds": plan.seeds,
            "test_patients": resampling.num_patients,
            "least_effect": plan.least_effect,
            "models": {
                model.name: {
                    key: [
                        {**as_numbers(resampling.value(of_size[key])), "by_seed": seed_values(of_size[key])}
                        for of_size in measured[model.name]
                        if key in of_size
                    ]
                    for key in METRICS
                }
                for model in models
            },
            "stage_two_minus": {
                model.name: {
                    key: [as_numbers(value) for value in _differences(model.name, key, measured, resampling)]
                    for key in METRICS
                }
                for model in against
            },
        },
        commands=[shown(step.command) for step in learning_curve_steps(plan, task)],
    )


def _validation_words(plan: StudyPlan) -> str:
    if not plan.validation_share:
        return "validation is whole."
    return (
        f"validation has {plan.validation_share:g} patients for each of train, at least {LEAST_VALIDATION}, since a "
        "hospital of that size has no more to choose on."
    )


def _differences(
    name: str, key: str, measured: Mapping[str, Sequence[Replicates]], resampling: Resampling
) -> list[Estimate]:
    """Stage two minus `name` at each size."""
    pairs = zip(measured[REFERENCE], measured[name], strict=True)
    return [resampling.difference(first[key], second[key]) for first, second in pairs if key in first and key in second]


def _claim(
    plan: StudyPlan,
    model: StudyModel,
    measured: Mapping[str, Sequence[Replicates]],
    sizes: Sequence[int],
    resampling: Resampling,
    where: str,
) -> str:
    claim = CLAIMS.get(model.name, f"Stage two above {model.label}")
    pairs = list(zip(measured[REFERENCE], measured[model.name], strict=True))
    mean = np.mean([first[MAIN] - second[MAIN] for first, second in pairs], axis=0)
    sentence = claim_sentence(
        claim,
        resampling.value(mean, bounds=(-1.0, 1.0)),
        plan.least_effect,
        f"{MAIN} of stage two minus that of the model “{model.label}”, mean over {len(sizes)} training sizes,",
        where,
    )
    by_size = zip(sizes, _differences(model.name, MAIN, measured, resampling), strict=True)
    found = [f"{size:,}" for size, difference in by_size if outcome(difference, plan.least_effect) == "found"]
    places = f"at {', '.join(found)} training patients" if found else "at no size"
    return f"{sentence} By itself the interval lies above 0 {places}."


def _curve_table(
    key: str,
    label: str,
    models: Sequence[StudyModel],
    measured: Mapping[str, Sequence[Replicates]],
    sizes: Sequence[int],
    resampling: Resampling,
) -> Table:
    return Table(
        name=f"curve-{key.replace('@', '-at-')}",
        caption=f"{label[0].upper()}{label[1:]} by training patients, percent, mean over seeds",
        columns=[Column(key=str(size), label=f"{size:,}", format="percent") for size in sizes],
        rows=[
            Row(
                label=model.label,
                cells=[
                    number_cell(resampling.value(of_size[key])) if key in of_size else Cell()
                    for of_size in measured[model.name]
                ],
            )
            for model in models
        ],
    )


def _difference_table(
    plan: StudyPlan,
    against: Sequence[StudyModel],
    measured: Mapping[str, Sequence[Replicates]],
    sizes: Sequence[int],
    resampling: Resampling,
) -> Table:
    rows = []
    for model in against:
        differences = _differences(model.name, MAIN, measured, resampling)
        cells = [
            Cell(
                value=value.value,
                low=value.low,
                high=value.high,
                strong=outcome(value, plan.least_effect) in ("found", "the other way round"),
            )
            for value in differences
        ]
        rows.append(Row(label=model.label, cells=cells))
    return Table(
        name="differences",
        caption="Recall@20 of stage two minus that of the model, points; bold: 0 lies outside the interval",
        columns=[Column(key=str(size), label=f"{size:,}", format="points") for size in sizes],
        rows=rows,
    )


def _draw(
    axes: "Axes", models: Sequence[StudyModel], curves: Mapping[str, Sequence[Estimate]], sizes: Sequence[int]
) -> None:
    for number, model in enumerate(models):
        color, values = SERIES[number % len(SERIES)], curves[model.name]
        heights = [100 * (value.value or 0.0) for value in values]
        axes.plot(sizes, heights, color=color, marker=MARKERS[number % len(MARKERS)], markersize=5, label=model.label)
        shift = 1 + 0.015 * (number - len(models) / 2)
        for size, value in zip(sizes, values, strict=True):
            if value.low is not None and value.high is not None:
                axes.plot([size * shift] * 2, [100 * value.low, 100 * value.high], color=color, linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("training patients")
    axes.set_ylabel("recall@20, %")
