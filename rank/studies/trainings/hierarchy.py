"""The paper's experiment of levels: chapter only, the finest level only, the full hierarchy, none."""

from data.task import Task
from mera.commands.programs import Step, shown
from mera.system.errors import UserError
from rank.ablations.plan import AblationPlan, levels_alone
from rank.studies.comparison import (
    deep_share_tables,
    difference_table,
    draw_dots,
    measure_models,
    model_numbers,
    runs_of,
    value_table,
    where_words,
)
from rank.studies.evidence import METRICS, claim_sentence
from rank.studies.page import StudyReport
from rank.studies.plan import StudyModel, StudyPlan, memorize_steps, model_steps

CLAIMED = ("weighted_f1_at_label_count", "micro_f1", "recall@20")
"""The paper reports 7 to 10 points of weighted F1 for the hierarchy."""
DRAWN = ("recall@20", "weighted_f1_at_label_count")


def _models(plan: StudyPlan) -> list[StudyModel]:
    """Raises UserError where the recipe does not say which levels the full hierarchy has."""
    settings = AblationPlan(task=plan.task, output=plan.output, recipe=plan.recipe, overrides=plan.overrides)
    levels = settings.value("loss.levels")
    if not levels or len(levels) < 3:
        raise UserError(f"{plan.recipe} must say loss.levels, three or more, for the study to leave some out")
    return [
        StudyModel(name="full", label="full hierarchy", keys={"loss.levels": list(levels)}),
        StudyModel(name="none", label="none (all codes)", keys=levels_alone(settings, ["all"])),
        StudyModel(name="chapter-only", label="chapter only", keys=levels_alone(settings, ["chapter"])),
        StudyModel(name="finest-only", label=f"{levels[-1]} only", keys=levels_alone(settings, levels[-1:])),
    ]


def hierarchy_steps(plan: StudyPlan, task: Task) -> list[Step]:
    """Stage one, then every model with every seed."""
    models = _models(plan)
    trainings = [
        step for seed in range(plan.seeds) for step in model_steps(plan, models, plan.task, runs_of(plan, seed), seed)
    ]
    return [*memorize_steps(plan, models), *trainings]


def hierarchy_report(plan: StudyPlan, task: Task) -> StudyReport:
    models = _models(plan)
    measured, resampling = measure_models(plan, models)
    where = where_words(plan, resampling)
    full, none, *_ = models
    sentences = [
        claim_sentence(
            f"The hierarchy ({METRICS[key]})",
            resampling.difference(measured[full.name][key], measured[none.name][key]),
            plan.least_effect,
            f"{METRICS[key]} with the full hierarchy minus without,",
            where,
        )
        for key in CLAIMED
    ]
    values = {METRICS[key]: [resampling.value(measured[model.name][key]) for model in models] for key in DRAWN}
    return StudyReport(
        name="hierarchy",
        title="Levels of the hierarchy",
        question="Stage two compares a true code with wrong codes of the same chapter, block and category apart. Does "
        "that help, and which level does? The paper reports 7 to 10 points of F1 for the whole hierarchy.",
        setting=[
            f"Task {plan.task.name}, {len(task.codes):,} candidates; {where}. Intervals are 95%, over patients and "
            "seeds, paired in differences, not corrected for the number of comparisons."
        ],
        sentences=sentences,
        tables=[
            value_table("levels", "Percent, mean over seeds", models, measured, METRICS, resampling),
            difference_table(
                "Points; bold: 0 lies outside the interval",
                [(full, other) for other in models[1:]],
                measured,
                METRICS,
                resampling,
                plan.least_effect,
            ),
            *deep_share_tables(
                {model.label: [[runs_of(plan, seed) / model.name for seed in range(plan.seeds)]] for model in models},
                ["share"],
            ),
        ],
        draw=lambda axes: draw_dots(axes, [model.label for model in models], values, "%"),
        caption=f"Mean over seeds with 95% intervals ({where}).",
        numbers={
            "seeds": plan.seeds,
            "test_patients": resampling.num_patients,
            "least_effect": plan.least_effect,
            "models": model_numbers(models, measured, METRICS, resampling),
        },
        commands=[shown(step.command) for step in hierarchy_steps(plan, task)],
    )
