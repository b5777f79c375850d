"""The page's questions, each answered in a sentence or two where the numbers have an answer."""

from collections.abc import Sequence

from mera.evaluation.frequency_groups import TRAIN_AND_VALIDATION
from mera.report.comparison.compare import Comparison
from mera.report.comparison.pairs import find_pair, is_supported, is_tested
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.strata import best_in_group
from mera.report.comparison.words.groups import group_statements
from mera.report.measures.hierarchy import LEVEL_NAMES, ROOT
from mera.report.measures.measure import METRICS
from mera.report.text import first_capital, interval, number, percent

NEW_LEADING_METRIC = "new_recall@20"
RARE_GROUPS = ("unseen", "1-10")
"""Frequency groups of rare codes."""


def answers(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """Question of the page -> its sentences; without a competitor there is nothing to answer."""
    runs = competitors(comparison.shown.runs)
    if not runs:
        return {}
    return {
        "best": (*_best_elsewhere(runs), *_of_the_oracle(comparison)),
        "new": tuple(_on_new_codes(comparison, runs)),
        "rare": tuple(_on_rare_codes(comparison, runs)),
        "whom": tuple(group_statements(comparison)),
        "sets": tuple(_set_sizes(runs)),
        "errors": tuple(_how_far(runs[0])),
    }


def _of_the_oracle(comparison: Comparison) -> list[str]:
    best, share = competitors(comparison.shown.runs)[0], comparison.oracle_share
    if share is None or share.share.value is None:
        return []
    return [
        f"{first_capital(best.label)} reaches {percent(share.share.value)}% of the oracle's recall@20 (95% interval "
        f"{interval(share.share)}); the oracle ranks by the probabilities that generated the data."
    ]


def _best_elsewhere(runs: Sequence[ComparedRun]) -> list[str]:
    """Which model the tests put above all others on which metric."""
    if len(runs) < 3:
        return []
    won = {run.label: [metric.label for metric in METRICS if run.metrics[metric.key].best] for run in runs}
    named = [f"{label} is best on {', '.join(labels)}" for label, labels in won.items() if labels]
    if not named:
        return ["On no metric is one model above all others with a difference that the tests support."]
    num_won = sum(map(len, won.values()))
    num_measured = sum(any(run.metrics[metric.key].value is not None for run in runs) for metric in METRICS)
    rest = "" if num_won == num_measured else "; on the other metrics no model is above all others for certain"
    return [f"Over all metrics: {'; '.join(named)}{rest}."]


def _on_new_codes(comparison: Comparison, runs: Sequence[ComparedRun]) -> list[str]:
    """Which model ranks the codes best that the history does not hold."""
    valued = [(run.metrics[NEW_LEADING_METRIC].value, run) for run in runs]
    ranked = sorted(((value, run) for value, run in valued if value is not None), key=lambda entry: -entry[0])
    if len(ranked) < 2:
        return []
    (value, top), (_, second) = ranked[:2]
    pair = find_pair(comparison.shown.pairs, NEW_LEADING_METRIC, top.name, second.name)
    tested = "untested against"
    if pair is not None and is_tested(pair):
        tested = "by the paired test more than" if is_supported(pair) else "not for certain more than"
    return [
        f"Of the true codes that are new to a patient {top.label} has {percent(value)}% among the first 20 that the "
        f"history does not hold ({interval(top.metrics[NEW_LEADING_METRIC])}), {tested} {second.label}."
    ]


def _on_rare_codes(comparison: Comparison, runs: Sequence[ComparedRun]) -> list[str]:
    frequency = next(stratum for stratum in comparison.shown.strata if stratum.key == "frequency")
    # Codes outside the candidates are in the first group, whatever training holds of them.
    only_unseen = not comparison.candidates.outside.targets or comparison.candidates.rule == TRAIN_AND_VALIDATION
    unseen = f"codes never seen in training{'' if only_unseen else ' or no candidates'}"
    sentences = []
    for place, group in enumerate(frequency.groups):
        recalls = [(run, frequency.values[run.name][place]) for run in runs]
        valued = [(recall.value, run, recall) for run, recall in recalls if recall.value is not None]
        if group.label not in RARE_GROUPS or not valued:
            continue
        value, top, recall = max(valued, key=lambda entry: entry[0])
        codes = unseen if group.label == "unseen" else "codes with 1-10 training examples"
        if not value:
            sentences.append(f"Of the {group.targets:,} true {codes}, no model finds any among its first 20.")
        else:
            is_best = best_in_group(frequency.pairs, place) == top.name
            tested = "; by the paired test, more than every other model" if is_best else "; not for certain"
            if not any(is_tested(pair) for pair in frequency.pairs if pair.group == place):
                tested = "; too few patients for a test"
            sentences.append(
                f"Of the {group.targets:,} true {codes}, {top.label} finds {'most' if len(valued) > 1 else 'these'} "
                f"among its first 20: {percent(value)}% ({interval(recall)}{tested if len(valued) > 1 else ''})."
            )
    return sentences


def _set_sizes(runs: Sequence[ComparedRun]) -> list[str]:
    """How far the best model's sets are from the true ones, and which model sets come nearest in micro F1."""
    valued = [(value, run) for run in runs if (value := run.metrics["micro_f1"].value) is not None]
    if not valued:
        return ["No model sets a threshold for every example, so none predicts sets of codes that can be measured."]
    value, top = max(valued, key=lambda entry: entry[0])
    size = top.breakdown.set_size
    if size is None:
        return []
    return [
        f"{first_capital(top.label)} has the highest micro F1, {percent(value)}% "
        f"({interval(top.metrics['micro_f1'])}): {top.measured_in_full} predicts "
        f"{number(size.mean_predicted.value, 1)} codes per example where "
        f"{number(size.mean_true.value, 1)} are true, off by {number(size.mean_absolute_error.value, 1)} on average."
    ]


def _how_far(best: ComparedRun) -> list[str]:
    """Of the best model's wrong codes, how many lie near a true one."""
    hierarchy = best.breakdown.hierarchy
    far = None if hierarchy is None else hierarchy.wrong[ROOT].value
    if hierarchy is None or not hierarchy.wrong_predictions or far is None:
        return []
    coarsest = LEVEL_NAMES[hierarchy.levels[1]]
    first = "" if best.manifest.seeds == 1 else f" ({best.measured_in_full})"
    return [
        f"Of {hierarchy.wrong_predictions:,} wrong codes of {best.label}{first}, each example predicting as many as it "
        f"truly has, {percent(1 - far)}% at least share the {coarsest} with a true code of the example; of "
        f"{percent(far)}% not even the {coarsest} is right."
    ]
