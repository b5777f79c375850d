"""What the report says: each sentence from a comparison whose numbers are set by hand."""

from dataclasses import replace

import pytest
from made_up_comparison import compared, stratum, with_pairs, with_recall

from mera.report.comparison.pairs import is_supported
from mera.report.comparison.words.answers import answers
from mera.report.comparison.words.groups import compare_groups, group_statements
from mera.report.comparison.words.summary import cautions, verdict
from mera.report.measures.estimates import Estimate
from mera.report.page.first_screen import facts
from mera.report.text import percent

TRAINED, ENCODER, POPULARITY, HISTORY = "MERA tiny", "Bi-encoder <laa & mrl>", "Popularity", "Own history"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def clear(comparison):
    """One model above all others, each difference supported."""
    values = {"rank-tiny": (0.65, 0.64, 0.66), "history": (0.6, 0.59, 0.61), "popularity": (0.5, 0.49, 0.51)}
    pairs = {
        ("rank-tiny", "history"): ((0.05, 0.041, 0.062), 0.0004),
        ("popularity", "rank-tiny"): ((-0.15, -0.17, -0.13), 0.0001),
        ("history", "popularity"): ((0.1, 0.09, 0.11), 0.0001),
    }
    return with_pairs(with_recall(comparison, values), pairs)


@pytest.fixture(scope="module")
def tied(clear):
    return with_pairs(
        clear,
        {
            ("history", "rank-tiny"): ((-0.004, -0.012, 0.003), 0.31),
            ("rank-tiny", "popularity"): ((0.15, 0.13, 0.17), 0.0001),
        },
    )


def sentences(comparison):
    return [bullet.sentence for bullet in verdict(comparison)]


def test_a_clear_winner(clear):
    said = sentences(clear)
    assert said[0] == (
        "MERA tiny ranks best: 65.0% of a patient's true codes stand among its first 20 (recall@20, 95% interval 64.0 "
        "to 66.0). But 20 places are 33.3% of all candidates, so that this is easily reached; by MAP Own history is "
        "first, with 51.9%."
    )
    assert said[1] == (
        "That is certain: by the paired test, all 2 other models are behind; Own history comes nearest, 5.0 points "
        "lower (4.1 to 6.2)."
    )
    assert said[2] == (
        "+5.0 points over the best simple model, Own history: certain (95% interval +4.1 to +6.2; p < 0.001)."
    )
    assert len(said) == 5


def test_another_metric_may_say_otherwise(clear):
    """Of those above by a metric the one furthest above is named; what no test supports is not."""
    pairs = [
        *with_pairs(clear, {("rank-tiny", "popularity"): ((0.1, 0.0, 0.2), 0.2)}, "new_recall@20").pairs,
        *with_pairs(clear, {("rank-tiny", "history"): ((-0.02, -0.03, -0.01), 0.01)}, "map").pairs,
        *with_pairs(clear, {("popularity", "rank-tiny"): ((0.04, 0.03, 0.05), 0.01)}, "map").pairs,
        *with_pairs(clear, {("history", "rank-tiny"): ((0.015, 0.003, 0.03), 0.2)}, "micro_f1").pairs,
    ]
    said = sentences(replace(clear, pairs=(*clear.pairs, *pairs)))
    assert said[1].endswith(" But by MAP Popularity is 4.0 points above it, and that is certain too.")
    assert len(said) == 5


def test_of_many_candidates_twenty_are_few(clear):
    many = replace(clear, candidates=replace(clear.candidates, number=100))
    assert sentences(many)[0].endswith("64.0 to 66.0).")


def test_an_interval_without_zero_may_still_be_no_certainty(tied):
    pairs = {("rank-tiny", "history"): ((0.004, 0.001, 0.012), 0.07), ("rank-tiny", "popularity"): ((0.15,) * 3, 0.0)}
    assert sentences(with_pairs(tied, pairs))[2] == (
        "+0.4 points over the best simple model, Own history: not certain, they cannot be told apart (95% interval "
        "+0.1 to +1.2; the test is corrected for all comparisons, the interval is not)."
    )


def test_new_diagnoses_of_the_predicted_sets(clear):
    run = clear.runs[1] if clear.runs[0].is_oracle else clear.runs[0]
    size = run.breakdown.new_set_size
    assert size is not None
    assert sentences(clear)[3].endswith(
        f" {size.mean_predicted.value:.1f} of the predicted are new to the patient, "
        f"{100 * size.micro_precision.value:.1f}% of those right; of the true ones {size.mean_true.value:.1f} are new."
    )


def test_a_model_that_lacks_some_thresholds_says_of_how_many_examples(clear):
    def lacking(run):
        return replace(run, breakdown=replace(run.breakdown, set_size=None, rows_without_threshold=1))

    runs = tuple(lacking(run) if run.name == "rank-tiny" else run for run in clear.runs)
    some = replace(clear, runs=runs)
    assert sentences(some)[3] == (
        "It ranks and does not decide: 1 of 120 examples lack a threshold, so that its sets of codes are not measured."
    )
    caution = next(said for said in cautions(some) if "Without a threshold" in said)
    assert caution.endswith("missing for: MERA tiny (1 of 120 examples), Own history.")


def test_a_model_whose_threshold_nothing_passes_predicts_nothing(clear):
    def empty(run):
        size = replace(run.breakdown.set_size, micro_precision=Estimate(value=None, low=None, high=None))
        return replace(run, breakdown=replace(run.breakdown, set_size=size))

    runs = tuple(empty(run) if run.name == "rank-tiny" else run for run in clear.runs)
    said = sentences(replace(clear, runs=runs))
    assert said[3] == "It predicts nothing: no code of any example is above its threshold."


def test_models_of_one_number_share_the_first_place(comparison):
    values = {"rank-tiny": (1.0, 1.0, 1.0), "history": (1.0, 1.0, 1.0), "popularity": (0.5, 0.49, 0.51)}
    pairs = {("rank-tiny", "history"): ((0.0, 0.0, 0.0), 1.0), ("rank-tiny", "popularity"): ((0.5, 0.49, 0.51), 0.0001)}
    said = sentences(with_pairs(with_recall(comparison, values), pairs))
    assert said[0].startswith(
        ("MERA tiny and Own history have the highest number: 100.0%", "Own history and MERA tiny")
    )


def test_roc_auc_without_an_interval_is_explained_only_where_no_model_has_one(comparison):
    """Popularity orders all patients alike: its area is the same in every resample."""
    sentence = "ROC-AUC has no interval and no test here: with this many targets the bootstrap would take too long."

    def without_interval(runs, names):
        return replace(runs, runs=tuple(_without_roc_interval(run) if run.name in names else run for run in runs.runs))

    every = {run.name for run in comparison.runs}
    assert sentence not in cautions(without_interval(comparison, {"popularity"}))
    assert sentence in cautions(without_interval(comparison, every))


def _without_roc_interval(run):
    area = replace(run.metrics["macro_roc_auc"], value=0.5, low=None, high=None)
    return replace(run, metrics={**run.metrics, "macro_roc_auc": area})


def test_models_that_cannot_be_told_apart(tied):
    said = sentences(tied)
    assert said[0].startswith("MERA tiny ranks best by the numbers, but not for certain: 65.0%")
    assert said[1] == (
        "It may not be the best: it cannot be told apart from Own history (0.4 lower). 1 other is behind for certain."
    )
    assert said[2] == (
        "+0.4 points over the best simple model, Own history: not certain, they cannot be told apart (95% interval "
        "−0.3 to +1.2)."
    )


def test_a_simple_model_that_nothing_beats(comparison):
    values = {"history": (0.6, 0.59, 0.61), "rank-tiny": (0.58, 0.57, 0.59)}
    pairs = {("rank-tiny", "history"): ((-0.02, -0.03, -0.01), 0.002)}
    said = sentences(with_pairs(with_recall(comparison, values), pairs))
    assert said[0].startswith("Own history ranks best: 60.0%")
    assert said[2] == (
        "Own history is a simple model, and no other is above it: MERA tiny, the best of the others, is 2.0 points "
        "lower, certain (95% interval −3.0 to −1.0; p = 0.002)."
    )
    assert said[3] == "It ranks and does not decide: without a threshold it predicts no set of codes."


def test_without_a_simple_model_and_on_notes(comparison):
    values = {"rank-tiny": (0.65, 0.64, 0.66), "bi-encoder": (0.6, 0.59, 0.61)}
    pairs = {("rank-tiny", "bi-encoder"): ((0.05, 0.04, 0.06), 0.001)}
    coding = replace(comparison, task=replace(comparison.task, kind="coding"))
    said = sentences(with_pairs(with_recall(coding, values), pairs))
    assert "of a note's true codes" in said[0]
    assert said[1].startswith("That is certain: by the paired test; ")
    assert said[2].startswith("No simple model stands beside it: compare with popularity")


def test_what_no_test_has_looked_at_is_neither_certain_nor_a_tie(clear):
    pairs = {
        ("rank-tiny", "history"): ((0.05, None, None), None),
        ("popularity", "rank-tiny"): ((-0.15, -0.17, -0.13), 0.0001),
    }
    said = sentences(with_pairs(clear, pairs))
    no_test = "no test is possible, which takes two patients and two resamples"
    assert said[1] == (f"It may not be the best: {no_test}: Own history (5.0 lower). 1 other is behind for certain.")
    assert said[2] == f"+5.0 points over the best simple model, Own history: {no_test} (no interval)."


def test_a_difference_that_is_the_same_for_all_patients_is_certain(clear):
    pairs = {
        ("rank-tiny", "history"): ((1.0, None, None), 2.0**-9),
        ("popularity", "rank-tiny"): ((-1.0, None, None), 2.0**-9),
    }
    said = sentences(with_pairs(clear, pairs))
    assert said[1] == (
        "That is certain: by the paired test, all 2 other models are behind; Own history comes nearest, 100.0 points "
        "lower for all patients alike."
    )
    assert said[2] == (
        "+100.0 points over the best simple model, Own history: certain (no interval: it is the same for all patients; "
        "p = 0.002)."
    )


def test_an_interval_that_holds_zero_is_no_certainty_whatever_the_test_says(clear):
    pairs = {
        ("history", "rank-tiny"): ((-0.043, -0.07, 0.005), 0.03),
        ("popularity", "rank-tiny"): ((-0.15, -0.17, -0.13), 0.0001),
    }
    unsure = with_pairs(clear, pairs)
    assert not is_supported(unsure.pairs[0])
    assert is_supported(unsure.pairs[1])
    said = sentences(unsure)
    assert said[1] == (
        "It may not be the best: it cannot be told apart from Own history (4.3 lower). 1 other is behind for certain."
    )
    assert said[2].endswith("not certain, they cannot be told apart (95% interval −0.5 to +7.0).")


def test_what_not_to_conclude(clear, comparison):
    elsewhere = "Do not conclude that this holds elsewhere: "
    assert sentences(clear)[4] == (
        f"{elsewhere}the intervals cover other patients of this source, not another hospital, split or training seed. "
        "All figures are higher than in practice: only codes that occur in the task were candidates."
    )
    train = replace(clear, candidates=replace(clear.candidates, rule="train"))
    assert sentences(train)[4].endswith("training seed.")
    assert sentences(comparison)[4].startswith(f"{elsewhere}the patients were generated, as the oracle shows")


def test_many_equals_are_counted(comparison):
    runs = {run.name: run for run in comparison.runs}
    many = [replace(runs["rank-tiny"], name=f"run-{number}", label=f"Model {number}") for number in range(6)]
    pairs = {("run-0", f"run-{number}"): ((0.001 * number, -0.01, 0.02), 0.9) for number in range(1, 6)}
    said = sentences(with_pairs(replace(comparison, runs=tuple(many)), pairs))
    assert said[1] == (
        "It may not be the best: it cannot be told apart from Model 1 (0.1 lower), Model 2 (0.2 lower), Model 3 (0.3 "
        "lower) and 2 more."
    )


def test_the_facts(clear):
    said = {fact.name: fact.words for fact in facts(clear)}
    assert said["Task"] == "made-up: the diagnoses of the next visit"
    assert said["Split"] == "test, protocol random"
    assert said["Patients"].startswith("60 (120 examples of ")
    assert said["Candidates"] == "60 codes"
    assert said["Random order"] == "33.3% recall@20"


def test_for_whom(clear):
    sex = stratum(
        "sex",
        [("female", 300), ("male", 250), ("unknown", 12)],
        {"rank-tiny": [0.7, 0.6, 0.5], "history": [0.65, 0.61, 0.3], "popularity": [0.1, 0.1, 0.1]},
        [
            (0, "history", "rank-tiny", (-0.05, -0.07, -0.03), 0.001),
            (1, "rank-tiny", "history", (-0.01, -0.02, 0.01), 0.4),
        ],
    )
    age = stratum(
        "age",
        [("below 18", 40), ("18-39", 60)],
        {"rank-tiny": [0.5, 0.55], "history": [0.45, 0.7], "popularity": [0.1, 0.1]},
        [
            (0, "rank-tiny", "history", (0.05, -0.1, 0.2), 0.7),
            (1, "rank-tiny", "history", (-0.15, -0.23, -0.08), 0.01),
        ],
    )
    grouped = replace(clear, strata=(sex, age, stratum("chapter", [("I", 9)], {}, [])))
    groups = {group.label: group for group in compare_groups(grouped)}
    assert {label: group.statement for label, group in groups.items()} == {
        "sex female": "ahead for certain",
        "sex male": "not told apart",
        "sex unknown": "too few patients",
        "age below 18": "interval too wide",
        "age 18-39": "behind for certain",
    }
    female = groups["sex female"]
    assert (female.difference, female.low, female.high) == pytest.approx((0.05, 0.03, 0.07)), "turned round"
    assert group_statements(grouped) == [
        "MERA tiny is ahead of Own history for certain in 1 of 5 groups of patients.",
        "It is behind for certain in: age 18-39 (60 patients).",
        "It is lower, but not for certain, in: sex male (250 patients).",
        "Nothing can be said, for too few patients or an interval wider than 10 points, of: sex unknown (12 patients), "
        "age below 18 (40 patients).",
    ]
    frequency = stratum("frequency", [("unseen", 3)], {"rank-tiny": [0.0], "history": [0.0], "popularity": [0.0]})
    assert answers(replace(grouped, strata=(frequency, sex, age)))["whom"] == tuple(group_statements(grouped))


def test_on_new_and_on_rare_codes(clear):
    valued = with_recall(clear, {"rank-tiny": (0.4, 0.38, 0.42), "history": (0.3, 0.28, 0.32)}, "new_recall@20")
    both = replace(
        valued,
        strata=(
            stratum(
                "frequency",
                [("unseen", 3), ("1-10", 9)],
                {
                    "rank-tiny": [0.0, 0.25],
                    "history": [0.0, 0.125],
                },
            ),
        ),
    )
    said = answers(with_pairs(both, {("rank-tiny", "history"): ((0.1, 0.08, 0.12), 0.001)}, "new_recall@20"))
    assert said["new"] == (
        "Of the true codes that are new to a patient MERA tiny has 40.0% among the first 20 that the history does not "
        "hold (38.0 to 42.0), by the paired test more than Own history.",
    )
    alone = replace(both, runs=tuple(run for run in both.runs if run.name == "rank-tiny"))
    assert answers(alone)["rare"][1] == (
        "Of the 18 true codes with 1-10 training examples, MERA tiny finds these among its first 20: 25.0% (24.0 to "
        "26.0)."
    )
    assert said["rare"] == (
        "Of the 6 true codes never seen in training, no model finds any among its first 20.",
        "Of the 18 true codes with 1-10 training examples, MERA tiny finds most among its first 20: 25.0% (24.0 to "
        "26.0; too few patients for a test).",
    )


def test_of_a_handful_of_patients_nothing_is_concluded(clear):
    assert "only large differences" not in sentences(clear)[0]
    few = sentences(replace(clear, patients=3))[0]
    assert " With 3 test patients only large differences can be seen: test every one (--protocol kfold)." in few


def test_what_arithmetic_leaves_of_a_zero_has_no_sign():
    assert [percent(-0.0), percent(-1e-17), percent(-1e-17, signed=True)] == ["0.0", "0.0", "+0.0"]
    assert [percent(-0.0004, signed=True), percent(0.0125), percent(None)] == ["−0.0", "1.2", "—"]
