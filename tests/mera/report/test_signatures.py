"""Each signature of failure on numbers that show it and on numbers that do not; and what they are measured from."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_up_runs import NUM_EXAMPLES, change_run, make_rich_runs

from mera import metrics
from mera.report import write_report
from mera.report.comparison import signatures
from mera.report.comparison.compare import compare
from mera.report.comparison.seeds import SeedGroup
from mera.report.comparison.signatures import Setting, failure_signatures, over_seeds
from mera.report.measures.decisions import PrecisionRecall
from mera.report.measures.load import group_runs
from mera.report.measures.records import StageOneRecall, TrainingCurve, training_curve
from mera.report.measures.sets.variety import Variety, variety
from mera.report.measures.task_record import SplitCounts
from mera.report.page.parts.runs.signatures import signature_parts
from mera.runs.predictions import read_predictions
from mera.training.steps import FEW_STEPS

SHARP = TrainingCurve(loss=(), validation={}, steps=2000)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    (group,) = group_runs(make_rich_runs(tmp_path_factory.mktemp("runs")))
    return compare(group, 20, 0)


@pytest.fixture
def setting(comparison):
    """A task of 900 candidates, all of whose 120 examples were scored."""
    counts = {"test": SplitCounts(examples=NUM_EXAMPLES, patients=60, targets=500, outside=0)}
    task = replace(comparison.task, split="test", counts=counts)
    return Setting(task=task, examples=NUM_EXAMPLES, candidates=900, targets_per_example=4.2)


@pytest.fixture
def healthy(comparison):
    """A trained model without a sign of failure."""
    run = next(run for run in comparison.runs if run.name == "rank-tiny")
    run = with_values(run, **{"recall@10": 0.5, "recall@20": 0.6, "micro_f1": 0.4, "map": 0.5})
    curve = PrecisionRecall(recall=(0.2, 0.4, 0.9), precision=(0.5, 0.4, 0.1))
    known = (StageOneRecall(kind="code to definition", before=0.1, after=0.99),)
    spread = Variety(common_share=0.5, distinct_first=300)
    size = run.breakdown.set_size
    size = replace(
        size,
        mean_predicted=replace(size.mean_predicted, value=5.0),
        rows_without_prediction=replace(size.rows_without_prediction, value=0.02),
    )
    run = replace(run, manifest=replace(run.manifest, threshold=None))
    return with_parts(run, precision_recall=curve, memorization=known, variety=spread, training=SHARP, set_size=size)


def with_values(run, **values):
    changed = {
        key: replace(run.metrics[key], value=value, low=value - 0.02, high=value + 0.02)
        for key, value in values.items()
    }
    return replace(run, metrics={**run.metrics, **changed})


def with_parts(run, **parts):
    return replace(run, breakdown=replace(run.breakdown, **parts))


def test_a_healthy_model_has_none(healthy, setting):
    assert failure_signatures([healthy], setting) == ()


def only(signs):
    (sign,) = signs
    return sign


def test_a_bad_threshold_under_a_good_ranking(healthy, setting):
    """On the curve the best F1 is 2 * .4 * .4 / .8 = 40%; three quarters of it are 30%."""
    sign = only(failure_signatures([with_values(healthy, micro_f1=0.29)], setting))
    assert (sign.key, sign.run, sign.model) == ("threshold", "rank-tiny", "MERA tiny")
    assert sign.evidence == (
        "Recall@20 is 60.0% and micro F1 29.0%; another constant on its threshold would reach 40.0%."
    )
    assert not failure_signatures([with_values(healthy, micro_f1=0.31)], setting)
    bad_ranking = with_values(healthy, **{"micro_f1": 0.1, "recall@20": 0.25, "recall@10": 0.2})
    assert not failure_signatures([bad_ranking], setting)
    assert failure_signatures([replace(with_values(healthy, micro_f1=0.29), kind="baseline")], setting)
    assert not failure_signatures([replace(with_values(healthy, micro_f1=0.29), kind="oracle")], setting)


def test_a_gap_between_10_and_20(healthy, setting):
    run = with_values(healthy, **{"recall@10": 0.44})
    sign = only(failure_signatures([run], setting))
    assert sign.key == "ranking"
    assert "Recall@10 is 44.0% and recall@20 60.0%: 16.0 points of the true codes stand in places 11" in sign.evidence
    assert not failure_signatures([with_values(healthy, **{"recall@10": 0.46})], setting)
    assert not failure_signatures([run], replace(setting, targets_per_example=14.0)), "10 have no room for 14"


def test_stage_one_too_short(healthy, setting):
    known = tuple(
        StageOneRecall(kind=kind, before=None, after=after)
        for kind, after in (("code to definition", 0.95), ("definition to code", 0.62), ("held-out index term", 0.1))
    )
    sign = only(failure_signatures([with_parts(healthy, memorization=known)], setting))
    assert (sign.key, sign.evidence) == (
        "stage_one",
        "After it 62.0% of definition to code are right; the paper has 99% and more.",
    )
    assert not failure_signatures([with_parts(healthy, memorization=known[::2])], setting)
    assert not failure_signatures([with_parts(healthy, memorization=())], setting)


def test_the_same_codes_for_every_patient(healthy, setting):
    run = with_parts(healthy, variety=Variety(common_share=0.93, distinct_first=31))
    sign = only(failure_signatures([run], setting))
    assert sign.key == "repeated"
    assert sign.evidence == (
        "93.0% of an example's first 20 codes are the same 20; over all examples 31 of 900 candidates come first 20."
    )
    assert not failure_signatures([replace(run, kind="baseline")], setting), "popularity is to do that"
    few = replace(setting, candidates=99)
    assert "repeated" not in [sign.key for sign in failure_signatures([run], few)]


def test_collapsed_sets(healthy, setting):
    size = healthy.breakdown.set_size
    empty = replace(size, rows_without_prediction=replace(size.rows_without_prediction, value=0.97))
    sign = only(failure_signatures([with_parts(healthy, set_size=empty)], setting))
    assert (sign.key, sign.sign) == ("collapsed", "sets collapsed: all negative")
    assert sign.evidence == "Nothing is predicted for 97.0% of the examples, where 4.2 codes are true."
    full = replace(size, mean_predicted=replace(size.mean_predicted, value=460.0))
    sign = only(failure_signatures([with_parts(healthy, set_size=full)], setting))
    assert sign.sign == "sets collapsed: all positive"
    assert "460.0 of 900 candidates are predicted on average" in sign.evidence
    assert not failure_signatures([with_parts(healthy, set_size=None)], setting)
    large = replace(size, mean_predicted=replace(size.mean_predicted, value=440.0))
    assert not failure_signatures([with_parts(healthy, set_size=large)], setting)


def test_validation_far_from_test(healthy, setting):
    curve = replace(SHARP, validation={"recall_at_20": ((1.0, 0.5), (2.0, 0.71), (3.0, None))})
    sign = only(failure_signatures([with_parts(healthy, training=curve)], setting))
    assert (sign.key, sign.evidence) == ("validation", "recall@20 is 71.0% on validation and 60.0% on test.")
    near = replace(SHARP, validation={"recall_at_20": ((1.0, 0.64),), "unknown_metric": ((1.0, 0.99),)})
    assert not failure_signatures([with_parts(healthy, training=near)], setting)
    uncertain = replace(healthy.metrics["recall@20"], high=0.75)
    unsure = replace(healthy, metrics={**healthy.metrics, "recall@20": uncertain})
    assert not failure_signatures([with_parts(unsure, training=curve)], setting), "the interval holds 71%"


def test_validation_far_from_test_by_the_fitted_threshold(comparison, healthy, setting):
    threshold = next(run for run in comparison.runs if run.name == "rank-tiny").manifest.threshold
    threshold = replace(threshold, validation_micro_f1=0.55)
    run = replace(healthy, manifest=replace(healthy.manifest, threshold=threshold))
    assert only(failure_signatures([run], setting)).evidence == "micro_f1 is 55.0% on validation and 40.0% on test."


def test_k_is_a_large_share_of_the_candidates(healthy, setting):
    sign = only(failure_signatures([], replace(setting, candidates=80)))
    assert (sign.key, sign.run) == ("large_share", None)
    assert sign.evidence == "Of 80 candidates the first 20 are 25%, and a ranking by chance finds as much."
    assert not failure_signatures([], replace(setting, candidates=100))


def test_too_few_steps(healthy, setting):
    assert signatures.FEW_STEPS == FEW_STEPS
    sign = only(failure_signatures([with_parts(healthy, training=replace(SHARP, steps=39))], setting))
    assert (sign.key, sign.evidence) == ("steps", "39 steps; fewer than 100 are too few to learn from.")
    for steps in (None, 100):
        assert not failure_signatures([with_parts(healthy, training=replace(SHARP, steps=steps))], setting)


@pytest.mark.parametrize(
    ("scored", "words"),
    [
        (60, "as if one of 2 processes had handed in nothing"),
        (90, "as if one of 4 processes had handed in nothing"),
        (119, "Look for a part that was not gathered; score the split again."),
        (124, "Look for rows that several processes scored"),
    ],
)
def test_examples_that_are_not_those_of_the_split(setting, scored, words):
    sign = only(failure_signatures([], replace(setting, examples=scored)))
    assert sign.key == "missing_examples"
    assert f"{scored}" in sign.evidence
    assert words in sign.advice
    without_counts = replace(setting, examples=scored, task=replace(setting.task, counts={}))
    assert not failure_signatures([], without_counts)


def test_variety_equals_a_loop(tmp_path):
    run = read_predictions(make_rich_runs(tmp_path)[1])
    scores = run.scores.copy()
    scores[3, 5:] = -np.inf
    firsts = [[code for code in np.argsort(-row, kind="stable") if row[code] > -np.inf][:20] for row in scores]
    times = np.bincount(np.concatenate(firsts), minlength=scores.shape[1])
    common = sorted(range(len(times)), key=lambda code: (-times[code], code))[:20]
    measured = variety(metrics.rank_targets(scores, run.targets), scores.shape[1])
    assert measured.common_share == pytest.approx(np.mean([np.isin(first, common).mean() for first in firsts]))
    assert measured.distinct_first == (times > 0).sum()
    assert variety(metrics.rank_targets(np.full_like(scores, -np.inf), run.targets), scores.shape[1]) is None


def test_steps_are_those_of_the_log():
    log = [{"epoch": 1.0, "loss": 3.0, "step": 20}, {"epoch": 2.0, "train_runtime": 3.0, "step": 37}]
    assert training_curve(log).steps == 37
    assert training_curve([{"epoch": 1.0, "loss": 3.0}]).steps is None


def test_a_run_that_shows_it_has_it_in_every_form(tmp_path):
    runs = make_rich_runs(tmp_path / "runs")
    path = change_run(runs[1], tmp_path / "empty", thresholds=np.full(NUM_EXAMPLES, 99, dtype=np.float32))
    page = write_report([path, runs[3]], tmp_path / "report", bootstrap_samples=5)
    assert "sets collapsed: all negative" in page.read_text(encoding="utf-8")
    assert "sets collapsed: all negative" in (page.parent / "report.md").read_text(encoding="utf-8")
    section = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["tasks"][0]
    by_run = {(sign["run"], sign["key"]) for sign in section["signatures"]}
    assert ("empty", "collapsed") in by_run
    assert ("empty", "threshold") in by_run
    assert (None, "large_share") in by_run, "20 of 60 candidates"


def test_the_part(healthy, setting):
    assert signature_parts(()) == []
    signs = failure_signatures([with_values(healthy, micro_f1=0.1)], replace(setting, examples=60))
    (part,) = signature_parts(signs)
    assert [row.label for row in part.tables[0].rows] == ["All models", "MERA tiny"]
    assert part.tables[0].rows[1].cells[0].value == "the threshold is at fault, not the ranking"


def test_seeds_of_one_model_have_a_signature_once(healthy, setting):
    bad = with_values(healthy, micro_f1=0.1)
    runs = [replace(bad, name=name, label=f"tiny ({name})") for name in ("a", "b", "alone")]
    runs.insert(1, replace(healthy, name="c", label="tiny (c)"))
    group = SeedGroup(model="tiny", runs=("a", "b", "c"), seeds=("0", "1", "2"), metrics={})
    signs = over_seeds(failure_signatures(runs, replace(setting, examples=60)), [group])
    assert [(sign.key, sign.run, sign.model) for sign in signs] == [
        ("missing_examples", None, None),
        ("threshold", "a", "tiny (2 of 3 seeds)"),
        ("threshold", "alone", "tiny (alone)"),
    ]
