"""Codes that no example before the test held: where does each model rank them, with stage one and without?"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data.task import Task
from mera.commands.programs import Step, shown
from mera.evaluation.hidden_codes import chance_replicate
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
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
from rank.studies.evidence import (
    BY_CODE,
    HIDDEN_METRICS,
    METRICS,
    NewHiddenCases,
    Replicates,
    Resampling,
    claim_sentence,
)
from rank.studies.page import StudyReport
from rank.studies.plan import StudyModel, StudyPlan, chosen_models, memorize_steps, model_steps

DEFAULT_MODELS = (
    *("stage-two", "no-stage-one", "library-init", "open", "open-no-stage-one", "open-library-init"),
    *("wide", "gbdt", "linear", "own-history", "popularity"),
)
PRACTICE = "hidden_new_recall@100"
PAIRS = (
    ("Stage one on codes never seen", "stage-two", "no-stage-one"),
    ("Stage one on codes never seen, against the library's init", "stage-two", "library-init"),
    ("Stage one on codes never seen, no negatives", "open", "open-no-stage-one"),
    ("Stage one on codes never seen, no negatives, against the library's init", "open", "open-library-init"),
    ("The definition's tokens as a start, no negatives", "open-no-stage-one", "open-library-init"),
)
ABOVE_CHANCE = ("stage-two", "open", "open-no-stage-one")


def unseen_codes_steps(plan: StudyPlan, task: Task) -> list[Step]:
    """Stage one, then every model with every seed. Raises UserError where the task hides no code."""
    if not task.hidden.any():
        raise UserError(f"{plan.task} hides no code; prepare it with `mera prepare SOURCE --hide-codes 0.1`")
    models = chosen_models(plan, DEFAULT_MODELS)
    trainings = [
        step for seed in range(plan.seeds) for step in model_steps(plan, models, plan.task, runs_of(plan, seed), seed)
    ]
    return [*memorize_steps(plan, models), *trainings]


def unseen_codes_report(plan: StudyPlan, task: Task) -> StudyReport:
    models = chosen_models(plan, DEFAULT_MODELS)
    measured, resampling = measure_models(plan, models)
    counts = task.info["hidden_codes"]
    where = where_words(plan, resampling)
    cases = NewHiddenCases.of(read_predictions(runs_of(plan, 0) / models[0].name))
    over_codes = f"over {_counted(cases.codes, 'hidden code')} with a case in test that is new to the patient, "
    over_codes += _counted(plan.seeds, "seed")
    over_patients = f"{_counted(cases.patients, 'patient')} with such a code among {where}"
    by_chance = chance_replicate(len(task.codes), counts["codes"])
    chance = {f"hidden_{prefix}{key}": value for key, value in by_chance.items() for prefix in ("", "new_")}
    chance[BY_CODE] = by_chance["mrr_among_hidden"]
    by_name = {model.name: model for model in models}
    pairs = [(claim, by_name[a], by_name[b]) for claim, a, b in PAIRS if a in by_name and b in by_name]
    drawn = {
        "all of test": [resampling.value(measured[model.name]["hidden_mrr_among_hidden"]) for model in models],
        "new to the patient, mean over codes": [resampling.value(measured[model.name][BY_CODE]) for model in models],
    }
    return StudyReport(
        name="unseen-codes",
        title="Codes that no example showed",
        question="A tenth of the codes is taken out of the targets and histories of train and validation and stays "
        "among the candidates. Where does each model rank them in test, and does it help to have memorized their "
        "definitions (stage one), or to start their tokens from the definition's?",
        setting=[
            f"Task {plan.task.name}: {counts['codes']:,} of {counts['of']:,} codes hidden (share {counts['share']:g}, "
            f"seed {counts['seed']}), {len(task.codes):,} candidates, {counts['test_targets']:,} hidden true codes in "
            f"test, {counts['test_targets_new']:,} of them new to the patient; {where}.",
            "MRR among hidden codes: mean of 1 / place among the hidden codes alone, which says whether a model knows "
            "which unknown disease comes, however low it puts all that it never saw. Its mean over codes has intervals "
            "over codes and seeds: a frequent code does not answer for all that were never seen.",
            "“Open”: codes that are no training target are left out of the loss instead of being negatives "
            "(`--loss.untrained ignore`), and there is no wide part, whose prior counts training targets. “Library's "
            "init”: code tokens start as transformers makes them, without the definition. The other intervals are over "
            "patients and seeds; all are 95%, paired in differences, and not corrected for the number of comparisons.",
        ],
        sentences=[
            *_claims(plan, pairs, measured, resampling, {BY_CODE: over_codes, PRACTICE: over_patients}),
            *_chance_claims(plan, models, measured, resampling, chance, over_codes),
        ],
        tables=[
            value_table(
                "hidden", "Hidden codes, percent, mean over seeds", models, measured, HIDDEN_METRICS, resampling, chance
            ),
            value_table("all", "All codes, percent, mean over seeds", models, measured, METRICS, resampling),
            *(
                [
                    difference_table(
                        "Points; bold: 0 lies outside the interval",
                        [pair[1:] for pair in pairs],
                        measured,
                        HIDDEN_METRICS,
                        resampling,
                        plan.least_effect,
                    )
                ]
                if pairs
                else []
            ),
            *deep_share_tables(
                {
                    model.label: [[runs_of(plan, seed) / model.name for seed in range(plan.seeds)]]
                    for model in models
                    if not model.is_baseline
                },
                ["share"],
            ),
        ],
        draw=lambda axes: draw_dots(
            axes,
            [model.label for model in models],
            drawn,
            "MRR among hidden codes, %",
            reference=by_chance["mrr_among_hidden"],
        ),
        caption=f"Mean reciprocal rank among the hidden codes, mean over seeds with 95% intervals ({where}); dashed: a "
        "random order.",
        numbers={
            "seeds": plan.seeds,
            "test_patients": resampling.num_patients,
            "least_effect": plan.least_effect,
            "hidden_codes": counts,
            "new_hidden_cases": dataclasses.asdict(cases),
            "chance": chance,
            "models": model_numbers(models, measured, HIDDEN_METRICS | METRICS, resampling),
        },
        commands=[shown(step.command) for step in unseen_codes_steps(plan, task)],
    )


def _counted(number: int, noun: str) -> str:
    """`1 hidden code`, `7 hidden codes`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _claims(
    plan: StudyPlan,
    pairs: Sequence[tuple[str, StudyModel, StudyModel]],
    measured: Mapping[str, Replicates],
    resampling: Resampling,
    where: Mapping[str, str],
) -> list[str]:
    return [
        claim_sentence(
            claim,
            resampling.difference(measured[first.name][key], measured[second.name][key]),
            plan.least_effect,
            f"{HIDDEN_METRICS[key]} of the model “{first.label}” minus “{second.label}”",
            where[key],
        )
        for claim, first, second in pairs
        for key in (BY_CODE, PRACTICE)
    ]


def _chance_claims(
    plan: StudyPlan,
    models: Sequence[StudyModel],
    measured: Mapping[str, Replicates],
    resampling: Resampling,
    chance: Mapping[str, float],
    where: str,
) -> list[str]:
    sentences = []
    for model in models:
        if model.name in ABOVE_CHANCE:
            values = measured[model.name][BY_CODE]
            sentences.append(
                claim_sentence(
                    f"Knowledge of codes never seen, “{model.label}”",
                    resampling.difference(values, np.full_like(values, chance[BY_CODE])),
                    plan.least_effect,
                    f"{HIDDEN_METRICS[BY_CODE]} minus that of a random order",
                    where,
                )
            )
    return sentences
