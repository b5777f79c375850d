"""The report in words: the verdict in at most five bullets, what else not to conclude, what the candidates are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mera.report.comparison.compare import Comparison
from mera.report.comparison.pairs import LEADING_METRIC, MetricDifference, find_pair, is_supported, is_tested
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.signatures import LARGE_SHARE
from mera.report.comparison.words.answers import answers
from mera.report.comparison.words.ties import MOST_NAMED, joined_labels, level_runs
from mera.report.json_form import INLINE
from mera.report.measures.measure import CODING, METRICS
from mera.report.text import first_capital, interval, number, p_value, percent

OTHER_METRICS = ("map", "micro_f1", "new_recall@20")
"""By which another model than the one that ranks best may be the better one."""
FEWEST_PATIENTS = 20
"""Of a test split, below which only large differences can be seen."""
NOT_TESTED = "no test is possible, which takes two patients and two resamples"
"""Where a difference has no p-value, which is no sign for or against it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReport:
    """What report.json says of one task: the numbers and the words."""

    comparison: Comparison = field(metadata=INLINE)
    summary: tuple[str, ...]
    """The verdict, a sentence or two for each bullet."""
    cautions: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]
    """By question of the page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bullet:
    lead: str
    """What is read first; with `text` it is one sentence or two."""
    text: str

    @property
    def sentence(self) -> str:
        return f"{self.lead} {self.text}"


def task_report(comparison: Comparison) -> TaskReport:
    return TaskReport(
        comparison=comparison,
        summary=tuple(bullet.sentence for bullet in verdict(comparison)),
        cautions=tuple(cautions(comparison)),
        answers=answers(comparison),
    )


def verdict(comparison: Comparison) -> list[Bullet]:
    """At most five bullets: which model ranks best, whether that is certain, by how much it is above the best simple
    model, how many codes it predicts, what not to conclude."""
    runs = competitors(comparison.shown.runs)
    if not runs:
        return [Bullet(lead="There is no model to compare:", text="only oracle runs were given.")]
    if runs[0].metrics[LEADING_METRIC].value is None:
        return [Bullet(lead="Nothing can be measured:", text="no example has a true code.")]
    return [
        _winner(comparison, runs),
        *_certainty(comparison, runs),
        *_margin(comparison, runs),
        _set_size(comparison, runs[0]),
        _limits(comparison),
    ]


def equals_of_best(comparison: Comparison) -> list[ComparedRun]:
    """The models that are not behind the one with the highest recall@20 for certain, which is not among them; none
    where nothing can be measured."""
    best, *others = competitors(comparison.shown.runs)
    if best.metrics[LEADING_METRIC].value is None:
        return []
    return [run for run in others if not is_supported(_pair(comparison, best, run))]


def _winner(comparison: Comparison, runs: Sequence[ComparedRun]) -> Bullet:
    best, whose = runs[0], "a note's" if comparison.task.kind == CODING else "a patient's"
    value = best.metrics[LEADING_METRIC]
    reached = f"{percent(value.value)}% of {whose} true codes stand among its first 20 (recall@20, 95% interval "
    reached += f"{interval(value)})."
    if len(runs) == 1:
        return Bullet(
            lead=f"{first_capital(best.label)} is the only model:",
            text=f"{reached} Without another one beside it the number says little.",
        )
    tied = " by the numbers, but not for certain" if equals_of_best(comparison) else ""
    if comparison.patients < FEWEST_PATIENTS:
        more = "" if comparison.task.protocol == "kfold" else ": test every one (--protocol kfold)"
        reached += f" With {comparison.patients} test patients only large differences can be seen{more}."
    level = level_runs(runs, LEADING_METRIC)
    verb = f"ranks best{tied}" if len(level) == 1 else "have the highest number"
    return Bullet(
        lead=f"{first_capital(joined_labels(level))} {verb}:", text=f"{reached}{_of_few_candidates(comparison, runs)}"
    )


def _of_few_candidates(comparison: Comparison, runs: Sequence[ComparedRun]) -> str:
    share = 20 / comparison.candidates.number
    if share <= LARGE_SHARE:
        return ""
    top = level_runs(runs, "map")
    places = "all" if share >= 1 else f"{percent(share)}% of all"
    verb = "is" if len(top) == 1 else "are"
    first = f"by MAP {joined_labels(top)} {verb} first, with {percent(top[0].metrics['map'].value)}%"
    return f" But 20 places are {places} candidates, so that this is easily reached; {first}."


def _certainty(comparison: Comparison, runs: Sequence[ComparedRun]) -> list[Bullet]:
    if len(runs) < 2:
        return []
    best, equals = runs[0], equals_of_best(comparison)
    elsewhere = _above_elsewhere(comparison, runs)
    if not equals:
        pair = _pair(comparison, runs[1], best)
        behind = f"{runs[1].label} comes nearest, {_points(pair)} points lower {_lower_interval(pair)}"
        others = "" if len(runs) == 2 else f", all {len(runs) - 1} other models are behind"
        return [Bullet(lead="That is certain:", text=f"by the paired test{others}; {behind}.{elsewhere}")]
    alike = [run for run in equals if is_tested(_pair(comparison, best, run))]
    untested = [run for run in equals if run not in alike]
    said = []
    if alike:
        said.append(f"it cannot be told apart from {_named_lower(comparison, best, alike)}")
    if untested:
        said.append(f"{NOT_TESTED}: {_named_lower(comparison, best, untested)}")
    num_behind = len(runs) - 1 - len(equals)
    rest = f" {num_behind} other{' is' if num_behind == 1 else 's are'} behind for certain." if num_behind else ""
    return [Bullet(lead="It may not be the best:", text=f"{'; '.join(said)}.{rest}{elsewhere}")]


def _named_lower(comparison: Comparison, best: ComparedRun, runs: Sequence[ComparedRun]) -> str:
    """`Linear (0.4 lower), Popularity (2.1 lower) and 3 more`."""
    named = ", ".join(f"{run.label} ({_lower(_pair(comparison, best, run))})" for run in runs[:MOST_NAMED])
    return f"{named} and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else named


def _above_elsewhere(comparison: Comparison, runs: Sequence[ComparedRun]) -> str:
    """Which other models are above the best one by another metric, as tested."""
    labels = {metric.key: metric.label for metric in METRICS}
    said = []
    for key in OTHER_METRICS:
        pairs = [(run, find_pair(comparison.shown.pairs, key, run.name, runs[0].name)) for run in runs[1:]]
        above = [(pair, run) for run, pair in pairs if pair and pair.difference > 0 and is_supported(pair)]
        if above:
            pair, run = max(above, key=lambda entry: entry[0].difference)
            said.append(f"by {labels[key]} {run.label} is {_points(pair)} points above it")
    return f" But {'; '.join(said)}, and that is certain too." if said else ""


def _margin(comparison: Comparison, runs: Sequence[ComparedRun]) -> list[Bullet]:
    """Between the best model and the best simple one."""
    best, simple = runs[0], [run for run in runs if run.is_baseline]
    if not simple:
        return [
            Bullet(
                lead="No simple model stands beside it:",
                text="compare with popularity, own history and linear first; copying a history already scores high.",
            )
        ]
    if not best.is_baseline:
        pair = _pair(comparison, best, simple[0])
        supported = is_supported(pair)
        certain = _certain(pair, "not certain, they cannot be told apart")
        corrected = f"; {p_value(pair.p_holm)}" if supported else ""
        return [
            Bullet(
                lead=f"{percent(pair.difference, signed=True)} points over the best simple model, {simple[0].label}:",
                text=f"{certain} ({_interval_in_words(pair)}{corrected}{_before_correction(pair)}).",
            )
        ]
    trained = next((run for run in runs if not run.is_baseline), None)
    if trained is None:
        return []
    pair = _pair(comparison, trained, best)
    certain, tested = _certain(pair, "not certain"), f"; {p_value(pair.p_holm)}" if is_tested(pair) else ""
    return [
        Bullet(
            lead=f"{first_capital(best.label)} is a simple model, and no other is above it:",
            text=f"{trained.label}, the best of the others, is {_points(pair)} points lower, {certain} ("
            f"{_interval_in_words(pair)}{tested}{_before_correction(pair)}).",
        )
    ]


def _certain(pair: MetricDifference, otherwise: str) -> str:
    """Whether a difference is certain; `otherwise`: what is said where the test does not support it."""
    if not is_tested(pair):
        return NOT_TESTED
    return "certain" if is_supported(pair) else otherwise


def _interval_in_words(pair: MetricDifference) -> str:
    if pair.low is None or pair.high is None:
        return "no interval: it is the same for all patients" if is_tested(pair) else "no interval"
    return f"95% interval {interval(pair, signed=True)}"


def _before_correction(pair: MetricDifference) -> str:
    """Why an interval that leaves zero out is no certainty."""
    leaves_out = pair.low is not None and pair.high is not None and pair.low * pair.high > 0
    if not leaves_out or is_supported(pair) or not is_tested(pair):
        return ""
    return "; the test is corrected for all comparisons, the interval is not"


def _set_size(comparison: Comparison, best: ComparedRun) -> Bullet:
    size = best.breakdown.set_size
    if size is None:
        missing, rows = best.breakdown.rows_without_threshold, comparison.examples
        some = f"{missing:,} of {rows:,} examples lack a threshold, so that its sets of codes are not measured."
        text = some if missing < rows else "without a threshold it predicts no set of codes."
        return Bullet(lead="It ranks and does not decide:", text=text)
    if size.micro_precision.value is None:
        return Bullet(lead="It predicts nothing:", text="no code of any example is above its threshold.")
    predicted, true = number(size.mean_predicted.value, 1), number(size.mean_true.value, 1)
    return Bullet(
        lead=f"{best.measured_in_full.capitalize()} predicts {predicted} codes where {true} are true:",
        text=f"{percent(size.micro_precision.value)}% of the predicted codes are right, and "
        f"{percent(size.micro_recall.value)}% of the true ones are among them.{_new_in_sets(best)}",
    )


def _new_in_sets(best: ComparedRun) -> str:
    size = best.breakdown.new_set_size
    if size is None:
        return ""
    mean, true = size.mean_predicted.value, number(size.mean_true.value, 1)
    predicted = number(mean, 3 if mean is not None and mean < 0.05 else 1)
    if mean == 0:
        return f" None of the predicted is new to a patient; of the true ones {true} are."
    return (
        f" {predicted} of the predicted are new to the patient, {percent(size.micro_precision.value)}% of those right; "
        f"of the true ones {true} are new."
    )


def _limits(comparison: Comparison) -> Bullet:
    lead = "Do not conclude that this holds elsewhere:"
    if any(run.is_oracle for run in comparison.shown.runs):
        return Bullet(
            lead=lead,
            text="the patients were generated, as the oracle shows; the numbers say whether the methods work, and "
            "nothing about real patients.",
        )
    flattered = ""
    if comparison.candidates.rule == "all":
        flattered = " All figures are higher than in practice: only codes that occur in the task were candidates."
    return Bullet(
        lead=lead,
        text=f"the intervals cover other patients of this source, not another hospital, split or training seed."
        f"{flattered}",
    )


def _pair(comparison: Comparison, first: ComparedRun, second: ComparedRun) -> MetricDifference:
    pair = find_pair(comparison.shown.pairs, LEADING_METRIC, first.name, second.name)
    assert pair is not None, "where recall@20 has a value for one run, it has one for all"
    return pair


def _lower(pair: MetricDifference) -> str:
    """Of the second model of the pair, which is not above the first."""
    points = _points(pair)
    return "level" if points == percent(0.0) else f"{points} lower"


def _lower_interval(pair: MetricDifference) -> str:
    """By how much the first model of the pair is lower: `(5.4 to 8.6)`."""
    if pair.low is None or pair.high is None:
        return "for all patients alike"
    return f"({percent(-pair.high)} to {percent(-pair.low)})"


def _points(pair: MetricDifference) -> str:
    """How far two models are apart, whichever is above."""
    return percent(abs(pair.difference))


def cautions(comparison: Comparison) -> list[str]:
    """What the numbers do not show."""
    runs = competitors(comparison.shown.runs)
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
            f"p-values are corrected (Holm) for all {len(comparison.shown.pairs)} comparisons of two models "
            "in one measure; the intervals of differences are not corrected."
        )
    if any(run.is_oracle for run in comparison.shown.runs):
        sentences.append(
            "An oracle exists only where the data were generated. Results on synthetic patients show whether the "
            "methods and the code work, and nothing about real patients."
        )
    if not any(run.is_baseline for run in runs):
        sentences.append(
            "No baseline is in this comparison. Codes repeat from visit to visit, so copying a patient's history "
            "already scores high; compare with the popularity, own-history and linear baselines first."
        )
    without_threshold = [run for run in runs if run.breakdown.set_size is None]
    if without_threshold:
        names = ", ".join(_without_threshold(comparison, run) for run in without_threshold)
        sentences.append(
            f"Without a threshold there is no predicted set, so micro and macro F1 are missing for: {names}."
        )
    # A model that scores every patient alike has the same area in every resample, and so no interval either.
    roc_aucs = [roc_auc for run in runs if (roc_auc := run.metrics["macro_roc_auc"]).value is not None]
    if roc_aucs and all(roc_auc.low is None for roc_auc in roc_aucs):
        sentences.append(
            "ROC-AUC has no interval and no test here: with this many targets the bootstrap would take too long."
        )
    return sentences


def _without_threshold(comparison: Comparison, run: ComparedRun) -> str:
    """Its label, and of how many examples it says no threshold where it says some."""
    missing = run.breakdown.rows_without_threshold
    return (
        run.label
        if missing == comparison.examples
        else f"{run.label} ({missing:,} of {comparison.examples:,} examples)"
    )


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
