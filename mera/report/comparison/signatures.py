"""Signatures of failure: what a pattern of numbers usually means, in words.

Each rule is a pure function of one run, or of the task, and answers with a `Signature` or None. The limits are rules of
thumb, written beside each rule; a signature says where to look first, and proves nothing. Oracles have none. Baselines
have only those that their kind does not bring with it: popularity ranks the same codes for every patient by intent.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mera.report.comparison.runs import ComparedRun
from mera.report.comparison.seeds import SeedGroup
from mera.report.measures.task_record import TaskRecord
from mera.report.text import number, percent

HIGH_RECALL = 0.3
"""Recall@20 from which on the ranking is good enough for sets of codes."""
MUCH_BELOW_BEST_F1 = 0.75
"""Micro F1 as a share of the best that another constant on the threshold reaches."""
LARGE_GAP = 0.15
"""Recall@20 minus recall@10."""
FEW_TARGETS = 10.0
"""True codes per example up to which the first 10 have room for all."""
KNOWN_DEFINITIONS = 0.9
"""Exact match after stage one. The paper has 99% and more (Ma et al., AAAI 2025)."""
RECALLED = ("code to definition", "definition to code")
SAME_CODES = 0.9
"""Mean share of an example's first 20 codes that are among the 20 codes most often there."""
MANY_CANDIDATES = 100
"""Below, any two rankings share many of their first 20 codes."""
ALL_POSITIVE = 0.5
"""Share of the candidates that is predicted for an example on average."""
ALL_NEGATIVE = 0.9
"""Share of the examples for which nothing is predicted."""
FAR_FROM_VALIDATION = 0.05
"""Test below validation, where the test interval holds no more than validation either."""
LARGE_SHARE = 0.2
"""Share of the candidates from which on a first k holds so many of them that recall says little."""
FEW_STEPS = 100
"""As in `mera.training.steps`, which loads torch."""
VALIDATION_METRICS = {
    "mean_average_precision": "map",
    "recall_at_20": "recall@20",
    "recall_at_10": "recall@10",
    "micro_f1": "micro_f1",
    "weighted_f1_at_label_count": "weighted_f1_at_label_count",
}
"""Name in a training log -> key of the metric on test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What the rules ask of the task."""

    task: TaskRecord
    examples: int
    """Scored ones."""
    candidates: int
    targets_per_example: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    key: str
    run: str | None
    """None where it is the task's."""
    model: str | None
    """What tables call the run."""
    sign: str
    """In a few words."""
    evidence: str
    """The numbers, in a sentence."""
    advice: str


def failure_signatures(runs: Sequence[ComparedRun], setting: Setting) -> tuple[Signature, ...]:
    """Those of the task first, then run by run in their order."""
    of_task = [rule(setting) for rule in TASK_RULES]
    of_runs = [
        rule(run, setting)
        for run in runs
        if not run.is_oracle
        for rule in (*RUN_RULES, *(() if run.is_baseline else MODEL_RULES))
    ]
    return tuple(signature for signature in (*of_task, *of_runs) if signature is not None)


def over_seeds(signatures: Sequence[Signature], groups: Sequence[SeedGroup]) -> tuple[Signature, ...]:
    """Each signature once for a model that was trained with several seeds, with the numbers of the first seed that has
    it and how many of the seeds do."""
    group_of = {run: group for group in groups for run in group.runs}
    seeds_with = Counter((group_of[sign.run].runs, sign.key) for sign in signatures if sign.run in group_of)
    merged: list[Signature] = []
    for sign in signatures:
        group = None if sign.run is None else group_of.get(sign.run)
        if group is None:
            merged.append(sign)
        elif (count := seeds_with.pop((group.runs, sign.key), None)) is not None:
            merged.append(replace(sign, model=f"{group.model} ({count} of {len(group.runs)} seeds)"))
    return tuple(merged)


def _signature(key: str, run: ComparedRun | None, sign: str, evidence: str, advice: str) -> Signature:
    return Signature(
        key=key,
        run=None if run is None else run.name,
        model=None if run is None else run.label,
        sign=sign,
        evidence=evidence,
        advice=advice,
    )


def large_share_of_candidates(setting: Setting) -> Signature | None:
    """The first 20 are more than LARGE_SHARE of the candidates."""
    share = min(20, setting.candidates) / max(1, setting.candidates)
    if share <= LARGE_SHARE:
        return None
    return _signature(
        "large_share",
        None,
        "k is a large share of the candidates",
        f"Of {setting.candidates} candidates the first 20 are {share:.0%}, and a ranking by chance finds as much.",
        "Read MAP and Precision@5, and compare recall with the baselines' only.",
    )


def missing_examples(setting: Setting) -> Signature | None:
    """Fewer or more examples were scored than the task's record counts in the split."""
    counts = setting.task.counts.get(setting.task.split)
    if counts is None or counts.examples is None or counts.examples == setting.examples:
        return None
    if setting.examples > counts.examples:
        evidence = f"{setting.examples:,} examples were scored, and the split has {counts.examples:,}."
        advice = "Look for rows that several processes scored: an uneven last batch is filled up with repeated ones."
    else:
        evidence = f"{setting.examples:,} of the split's {counts.examples:,} examples were scored."
        share = 1 - setting.examples / counts.examples
        parts = next((n for n in range(2, 17) if abs(share - 1 / n) < 0.5 / n**2), None)
        of = f", as if one of {parts} processes had handed in nothing" if parts else ""
        advice = f"Look for a part that was not gathered{of}; score the split again."
    return _signature("missing_examples", None, "not the examples of the split", evidence, advice)


def threshold_at_fault(run: ComparedRun, setting: Setting) -> Signature | None:
    """Recall@20 at least HIGH_RECALL, and micro F1 below MUCH_BELOW_BEST_F1 of the best on its own curve."""
    recall, f1, curve = run.metrics["recall@20"].value, run.metrics["micro_f1"].value, run.breakdown.precision_recall
    if recall is None or f1 is None or curve is None or recall < HIGH_RECALL:
        return None
    points = [
        2 * precision * recalled / (precision + recalled)
        for precision, recalled in zip(curve.precision, curve.recall, strict=True)
        if precision + recalled > 0
    ]
    best = max(points, default=0.0)
    if f1 >= MUCH_BELOW_BEST_F1 * best:
        return None
    return _signature(
        "threshold",
        run,
        "the threshold is at fault, not the ranking",
        f"Recall@20 is {percent(recall)}% and micro F1 {percent(f1)}%; another constant on its threshold would reach "
        f"{percent(best)}%.",
        "Fit the threshold on validation again (eov_offset: fitted), and see whether validation is like test.",
    )


def ranking_not_sharp(run: ComparedRun, setting: Setting) -> Signature | None:
    """A gap of LARGE_GAP between recall@10 and @20, where examples have at most FEW_TARGETS true codes and 20 are no
    large share of the candidates."""
    first, second = run.metrics["recall@10"].value, run.metrics["recall@20"].value
    if first is None or second is None or second - first < LARGE_GAP:
        return None
    if setting.targets_per_example > FEW_TARGETS or LARGE_SHARE * setting.candidates < 20:
        return None
    return _signature(
        "ranking",
        run,
        "true codes are near the top, not at it",
        f"Recall@10 is {percent(first)}% and recall@20 {percent(second)}%: {percent(second - first)} points of the "
        "true codes stand in places 11 to 20.",
        "The order within the first 20 is what is missing: train longer, with harder negatives, or verify the first.",
    )


def stage_one_too_short(run: ComparedRun, setting: Setting) -> Signature | None:
    """Less than KNOWN_DEFINITIONS of one of RECALLED after stage one."""
    known = [recall for recall in run.breakdown.memorization if recall.kind in RECALLED and recall.after is not None]
    worst = min(known, key=lambda recall: recall.after or 0.0, default=None)
    if worst is None or worst.after is None or worst.after >= KNOWN_DEFINITIONS:
        return None
    return _signature(
        "stage_one",
        run,
        "stage one was too short",
        f"After it {percent(worst.after)}% of {worst.kind} are right; the paper has 99% and more.",
        "More epochs of stage one, or a lower learning rate: look at exact match, not at the loss.",
    )


def repeated_codes(run: ComparedRun, setting: Setting) -> Signature | None:
    """SAME_CODES of the first 20 are the same for all, of at least MANY_CANDIDATES candidates."""
    variety = run.breakdown.variety
    if variety is None or variety.common_share < SAME_CODES or setting.candidates < MANY_CANDIDATES:
        return None
    return _signature(
        "repeated",
        run,
        "the same codes for every patient",
        f"{percent(variety.common_share)}% of an example's first 20 codes are the same 20; over all examples "
        f"{variety.distinct_first:,} of {setting.candidates:,} candidates come first 20.",
        "The model does not read its input: see whether prompts are cut off, and whether it is above popularity.",
    )


def collapsed_sets(run: ComparedRun, setting: Setting) -> Signature | None:
    """More than ALL_POSITIVE of the candidates are predicted on average, or nothing for ALL_NEGATIVE of the examples.
    Both need more candidates than an example has true codes, by MANY_CANDIDATES or so."""
    size = run.breakdown.set_size
    if size is None or size.mean_predicted.value is None or size.rows_without_prediction.value is None:
        return None
    if size.rows_without_prediction.value >= ALL_NEGATIVE:
        evidence = f"Nothing is predicted for {percent(size.rows_without_prediction.value)}% of the examples"
        sign = "sets collapsed: all negative"
    elif (
        size.mean_predicted.value >= ALL_POSITIVE * setting.candidates
        and setting.targets_per_example < ALL_POSITIVE / 2 * setting.candidates
    ):
        evidence = (
            f"{number(size.mean_predicted.value, 1)} of {setting.candidates:,} candidates are predicted on average"
        )
        sign = "sets collapsed: all positive"
    else:
        return None
    return _signature(
        "collapsed",
        run,
        sign,
        f"{evidence}, where {number(setting.targets_per_example, 1)} codes are true.",
        "Fit the threshold on validation again; micro and macro F1 say nothing of the ranking here.",
    )


def far_from_validation(run: ComparedRun, setting: Setting) -> Signature | None:
    """Test more than FAR_FROM_VALIDATION below the best of the training log, which the test interval leaves out."""
    gaps = []
    for name, key in VALIDATION_METRICS.items():
        validation, test = _on_validation(run, name), run.metrics[key]
        if validation is None or test.value is None or test.high is None:
            continue
        if validation - test.value > FAR_FROM_VALIDATION and test.high < validation:
            gaps.append((validation - test.value, key, validation, test.value))
    if not gaps:
        return None
    _, key, validation, value = max(gaps)
    return _signature(
        "validation",
        run,
        "validation is far from test",
        f"{key} is {percent(validation)}% on validation and {percent(value)}% on test.",
        "Epochs or settings chosen too closely on validation, a small validation split, or splits that differ "
        "(by time, by site, in their candidates).",
    )


def _on_validation(run: ComparedRun, name: str) -> float | None:
    """The best value of the training log; for micro F1 that of the fitted threshold, where the log has none."""
    training = run.breakdown.training
    points = training.validation.get(name, ()) if training is not None else ()
    values = [value for _, value in points if value is not None]
    if name == "micro_f1" and not values and run.manifest.threshold is not None:
        return run.manifest.threshold.validation_micro_f1
    return max(values, default=None)


def too_few_steps(run: ComparedRun, setting: Setting) -> Signature | None:
    """Fewer than FEW_STEPS optimiser steps in the training log."""
    training = run.breakdown.training
    if training is None or training.steps is None or training.steps >= FEW_STEPS:
        return None
    return _signature(
        "steps",
        run,
        "too few optimiser steps",
        f"{training.steps} steps; fewer than {FEW_STEPS} are too few to learn from.",
        "Raise training.min_steps or training.epochs, or make training.batch_size smaller.",
    )


TaskRule = Callable[[Setting], Signature | None]
RunRule = Callable[[ComparedRun, Setting], Signature | None]
TASK_RULES: tuple[TaskRule, ...] = (large_share_of_candidates, missing_examples)
RUN_RULES: tuple[RunRule, ...] = (threshold_at_fault, collapsed_sets)
MODEL_RULES: tuple[RunRule, ...] = (
    ranking_not_sharp,
    stage_one_too_short,
    repeated_codes,
    far_from_validation,
    too_few_steps,
)
"""Of trained models only."""
