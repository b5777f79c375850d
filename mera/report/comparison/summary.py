"""The report in words: which model is best, by how much, whether that is real, and what not to conclude."""

from typing import Any

from mera.report.comparison.pairs import LEADING_METRIC, best_in_group, competitors, find_pair, is_real
from mera.report.measures.measure import METRICS
from mera.report.text import interval, number, p_value, percent

RARE_GROUPS = ("unseen", "1-10")
"""Frequency groups that the summary says a word about: the paper's open question."""


def summarise(section: dict[str, Any]) -> list[str]:
    """The sentences of the summary paragraph."""
    runs = competitors(section)
    sentences = [
        f"{section['examples']:,} examples of {section['patients']:,} patients, {section['candidates']:,} candidate "
        f"codes, {section['targets_per_example']:.1f} true codes per example."
    ]
    if not runs:
        return [*sentences, "Only oracle runs were given, so there is no model to compare."]
    best = runs[0]
    estimate = best["metrics"][LEADING_METRIC]
    if estimate["value"] is None:
        return [*sentences, "No example has a true code, so nothing can be measured."]
    sentences.append(
        f"{best['label']} has the highest recall@20: {percent(estimate['value'])}% of a patient's true codes stand "
        f"among its first 20 (95% interval {interval(estimate)})."
    )
    if len(runs) == 1:
        sentences.append("It is the only model given; without a baseline beside it, the number says little.")
    else:
        sentences.append(_versus(section, best, runs[1]))
        sentences += _versus_baselines(section, runs)
        sentences += _best_elsewhere(section, runs)
    sentences += _on_rare_codes(section, runs)
    sentences += _at_threshold(section, best)
    share = section["oracle_share"]
    if share is not None and share["value"] is not None:
        sentences.append(
            f"{best['label']} reaches {percent(share['value'])}% of the oracle's recall@20 (95% interval "
            f"{interval(share)}); the oracle ranks by the probabilities that generated the data."
        )
    return sentences


def cautions(section: dict[str, Any]) -> list[str]:
    """What the numbers do not show."""
    runs = competitors(section)
    found = [
        "Weighted F1 at label count is told how many codes each patient truly has. It compares rankings; it does not "
        "show how well a model would decide on a set of codes.",
        "The intervals come from resampling the patients of this split. They do not cover another training seed, "
        "another split or another hospital.",
    ]
    if section["candidates_rule"] == "all":
        found.append(
            "The candidates are all codes that occur in the task, those that only its test patients have included: no "
            "ranking had to doubt a code of test, which flatters every model (`mera prepare --candidates train` does "
            "not)."
        )
    if len(runs) > 2:
        found.append(
            f"p-values are corrected (Holm) for all {len(section['pairs'])} comparisons of this section; the intervals "
            "of differences are not corrected."
        )
    if any(run["kind"] == "oracle" for run in section["runs"]):
        found.append(
            "An oracle exists only where the data were generated. Results on synthetic patients show whether the "
            "methods and the code work, and nothing about real patients."
        )
    if not any(run["kind"] == "baseline" for run in runs):
        found.append(
            "No baseline is in this comparison. Codes repeat from visit to visit, so copying a patient's history "
            "already scores high; compare with the popularity, own-history and linear baselines first."
        )
    if any(run["set_size"] is None for run in runs):
        names = ", ".join(run["label"] for run in runs if run["set_size"] is None)
        found.append(f"Without a threshold there is no predicted set, so micro and macro F1 are missing for: {names}.")
    if any(
        run["metrics"]["macro_roc_auc"]["value"] is not None and run["metrics"]["macro_roc_auc"]["low"] is None
        for run in runs
    ):
        found.append(
            "ROC-AUC has no interval and no test here: with this many targets the bootstrap would take too long."
        )
    return found


def _versus(section: dict[str, Any], best: dict[str, Any], other: dict[str, Any]) -> str:
    pair = find_pair(section, LEADING_METRIC, best["run"], other["run"])
    points = (
        f"It is {percent(pair['difference'])} points above {other['label']} (95% interval of the paired difference "
        f"{interval(pair, signed=True)})"
    )
    if is_real(pair):
        return f"{points}, and the paired test supports the difference (Holm-adjusted {p_value(pair['p_holm'])})."
    return (
        f"{points}; the paired test does not support a difference (Holm-adjusted {p_value(pair['p_holm'])}), so do "
        "not call one of the two better."
    )


def _versus_baselines(section: dict[str, Any], runs: list[dict[str, Any]]) -> list[str]:
    best, baselines = runs[0], [run for run in runs if run["kind"] == "baseline"]
    if best["kind"] == "baseline" and len(baselines) < len(runs):
        return ["No trained model is above the best baseline."]
    if best["kind"] == "baseline" or not baselines or baselines[0] is runs[1]:
        return []
    return [_versus(section, best, baselines[0]).replace("It is", "Over the best baseline: it is", 1)]


def _best_elsewhere(section: dict[str, Any], runs: list[dict[str, Any]]) -> list[str]:
    """Which model the tests put above all others on which metric."""
    if len(runs) < 3:
        return []
    won = {run["label"]: [metric.label for metric in METRICS if run["metrics"][metric.key]["best"]] for run in runs}
    named = [f"{label} is best on {', '.join(labels)}" for label, labels in won.items() if labels]
    if not named:
        return ["On no metric is one model above all others with a difference that the tests support."]
    num_won = sum(map(len, won.values()))
    rest = "" if num_won == len(METRICS) else "; on the other metrics no model is above all others for certain"
    return [f"Over all metrics: {'; '.join(named)}{rest}."]


def _on_rare_codes(section: dict[str, Any], runs: list[dict[str, Any]]) -> list[str]:
    part = next(part for part in section["strata"] if part["key"] == "frequency")
    found = []
    for place, group in enumerate(part["groups"]):
        valued = [run for run in runs if part["values"][run["run"]][place]["value"] is not None]
        if group["label"] not in RARE_GROUPS or not valued:
            continue
        top = max(valued, key=lambda run: part["values"][run["run"]][place]["value"])
        estimate = part["values"][top["run"]][place]
        codes = "codes never seen in training" if group["label"] == "unseen" else "codes with 1-10 training examples"
        if not estimate["value"]:
            found.append(f"Of the {group['targets']:,} true {codes}, no model finds any among its first 20.")
        else:
            tested = "more than every other model" if best_in_group(part, place) == top["run"] else "not for certain"
            found.append(
                f"Of the {group['targets']:,} true {codes}, {top['label']} finds most among its first 20: "
                f"{percent(estimate['value'])}% ({interval(estimate)}; by the paired test, {tested})."
            )
    return found


def _at_threshold(section: dict[str, Any], best: dict[str, Any]) -> list[str]:
    size = best["set_size"]
    if size is None or size["micro_precision"]["value"] is None:
        return []
    return [
        f"With its own threshold {best['label']} predicts {number(size['mean_predicted']['value'], 1)} codes per "
        f"example where {number(size['mean_true']['value'], 1)} are true: {percent(size['micro_precision']['value'])}% "
        f"of the predicted codes are right, and {percent(size['micro_recall']['value'])}% of the true ones are found."
    ]
