"""The report in words: which model is best, by how much, whether that is real, and what not to conclude."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mera.report.comparison.compare import Comparison
from mera.report.comparison.pairs import LEADING_METRIC, find_pair, is_supported
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.strata import StratifiedRecall, best_in_group
from mera.report.json_form import INLINE
from mera.report.measures.measure import METRICS
from mera.report.text import interval, number, p_value, percent

NEW_LEADING_METRIC = "new_recall@20"
RARE_GROUPS = ("unseen", "1-10")
"""Frequency groups that the summary says a word about: the paper's open question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReport:
    """What report.json says of one task: the numbers and the words."""

    comparison: Comparison = field(metadata=INLINE)
    summary: tuple[str, ...]
    cautions: tuple[str, ...]


def task_report(comparison: Comparison) -> TaskReport:
    return TaskReport(comparison=comparison, summary=tuple(summarise(comparison)), cautions=tuple(cautions(comparison)))


def summarise(comparison: Comparison) -> list[str]:
    """The sentences of the summary paragraph."""
    runs = competitors(comparison.runs)
    sentences = [
        f"{comparison.examples:,} examples of {comparison.patients:,} patients, {comparison.candidates.number:,} "
        f"candidate codes, {comparison.targets_per_example:.1f} true codes per example."
    ]
    if not runs:
        return [*sentences, "Only oracle runs were given, so there is no model to compare."]
    best = runs[0]
    leading = best.metrics[LEADING_METRIC]
    if leading.value is None:
        return [*sentences, "No example has a true code, so nothing can be measured."]
    sentences.append(
        f"{best.label} has the highest recall@20: {percent(leading.value)}% of a patient's true codes stand "
        f"among its first 20 (95% interval {interval(leading)})."
    )
    if len(runs) == 1:
        sentences.append("It is the only model given; without a baseline beside it, the number says little.")
    else:
        sentences.append(_versus(comparison, best, runs[1]))
        sentences += _versus_baselines(comparison, runs)
        sentences += _best_elsewhere(runs)
    sentences += _on_new_codes(comparison, runs)
    sentences += _on_rare_codes(comparison.strata, runs)
    sentences += _at_threshold(best)
    oracle_share = comparison.oracle_share
    if oracle_share is not None and oracle_share.share.value is not None:
        sentences.append(
            f"{best.label} reaches {percent(oracle_share.share.value)}% of the oracle's recall@20 (95% interval "
            f"{interval(oracle_share.share)}); the oracle ranks by the probabilities that generated the data."
        )
    return sentences


def cautions(comparison: Comparison) -> list[str]:
    """What the numbers do not show."""
    runs = competitors(comparison.runs)
    sentences = [
        "Weighted F1 at label count is told how many codes each patient truly has. It compares rankings; it does not "
        "show how well a model would decide on a set of codes.",
        "The intervals come from resampling the patients of this split. They do not cover another training seed, "
        "another split or another hospital.",
    ]
    if comparison.candidates.rule == "all":
        sentences.append(
            "The candidates are all codes that occur in the task, those that only its test patients have included: no "
            "ranking had to doubt a code of test, which flatters every model (`mera prepare --candidates train` does "
            "not)."
        )
    if len(runs) > 2:
        sentences.append(
            f"p-values are corrected (Holm) for all {len(comparison.pairs)} comparisons of this section; the intervals "
            "of differences are not corrected."
        )
    if any(run.is_oracle for run in comparison.runs):
        sentences.append(
            "An oracle exists only where the data were generated. Results on synthetic patients show whether the "
            "methods and the code work, and nothing about real patients."
        )
    if not any(run.is_baseline for run in runs):
        sentences.append(
            "No baseline is in this comparison. Codes repeat from visit to visit, so copying a patient's history "
            "already scores high; compare with the popularity, own-history and linear baselines first."
        )
    without_threshold = [run.label for run in runs if run.breakdown.set_size is None]
    if without_threshold:
        names = ", ".join(without_threshold)
        sentences.append(
            f"Without a threshold there is no predicted set, so micro and macro F1 are missing for: {names}."
        )
    roc_aucs = [run.metrics["macro_roc_auc"] for run in runs]
    if any(roc_auc.value is not None and roc_auc.low is None for roc_auc in roc_aucs):
        sentences.append(
            "ROC-AUC has no interval and no test here: with this many targets the bootstrap would take too long."
        )
    return sentences


def describe_candidates(comparison: Comparison) -> str:
    """What a reader has to know of the candidates beside the first numbers."""
    candidates, outside = comparison.candidates, comparison.candidates.outside
    sentence = f"The {candidates.number:,} candidates are {candidates.rule_in_words} ({candidates.rule})."
    if not outside.targets:
        return f"{sentence} Every true code is one of them."
    return (
        f"{sentence} {outside.targets:,} of the {comparison.targets:,} true codes ({percent(outside.share)}%; "
        f"{outside.codes:,} different ones) are no candidates: they count as missed in every metric."
    )


def _versus(comparison: Comparison, best: ComparedRun, other: ComparedRun) -> str:
    pair = find_pair(comparison.pairs, LEADING_METRIC, best.name, other.name)
    assert pair is not None, "where recall@20 has a value for one run, it has one for all"
    points = (
        f"It is {percent(pair.difference)} points above {other.label} (95% interval of the paired difference "
        f"{interval(pair, signed=True)})"
    )
    if is_supported(pair.p_holm):
        return f"{points}, and the paired test supports the difference (Holm-adjusted {p_value(pair.p_holm)})."
    return (
        f"{points}; the paired test does not support a difference (Holm-adjusted {p_value(pair.p_holm)}), so do "
        "not call one of the two better."
    )


def _versus_baselines(comparison: Comparison, runs: Sequence[ComparedRun]) -> list[str]:
    best, baselines = runs[0], [run for run in runs if run.is_baseline]
    if best.is_baseline and len(baselines) < len(runs):
        return ["No trained model is above the best baseline."]
    if best.is_baseline or not baselines or baselines[0] is runs[1]:
        return []
    return [_versus(comparison, best, baselines[0]).replace("It is", "Over the best baseline: it is", 1)]


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
    pair = find_pair(comparison.pairs, NEW_LEADING_METRIC, top.name, second.name)
    tested = "by the paired test more than" if pair and is_supported(pair.p_holm) else "not for certain more than"
    return [
        f"Of the true codes that are new to a patient {top.label} has {percent(value)}% among the first 20 that the "
        f"history does not hold ({interval(top.metrics[NEW_LEADING_METRIC])}), {tested} {second.label}."
    ]


def _on_rare_codes(strata: Sequence[StratifiedRecall], runs: Sequence[ComparedRun]) -> list[str]:
    frequency = next(stratum for stratum in strata if stratum.key == "frequency")
    sentences = []
    for place, group in enumerate(frequency.groups):
        recalls = [(run, frequency.values[run.name][place]) for run in runs]
        valued = [(recall.value, run, recall) for run, recall in recalls if recall.value is not None]
        if group.label not in RARE_GROUPS or not valued:
            continue
        value, top, recall = max(valued, key=lambda entry: entry[0])
        codes = "codes never seen in training" if group.label == "unseen" else "codes with 1-10 training examples"
        if not value:
            sentences.append(f"Of the {group.targets:,} true {codes}, no model finds any among its first 20.")
        else:
            is_best = best_in_group(frequency.pairs, place) == top.name
            tested = "more than every other model" if is_best else "not for certain"
            sentences.append(
                f"Of the {group.targets:,} true {codes}, {top.label} finds most among its first 20: "
                f"{percent(value)}% ({interval(recall)}; by the paired test, {tested})."
            )
    return sentences


def _at_threshold(best: ComparedRun) -> list[str]:
    size = best.breakdown.set_size
    if size is None or size.micro_precision.value is None:
        return []
    return [
        f"With its own threshold {best.label} predicts {number(size.mean_predicted.value, 1)} codes per "
        f"example where {number(size.mean_true.value, 1)} are true: {percent(size.micro_precision.value)}% "
        f"of the predicted codes are right, and {percent(size.micro_recall.value)}% of the true ones are found."
    ]
