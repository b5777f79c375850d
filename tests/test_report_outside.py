"""True codes that are no candidates: missed in every metric, and named by the report. Score -inf: no candidate."""

import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from made_up_runs import NUM_EXAMPLES, change_run, find_run, make_rich_runs, make_runs
from rich.console import Console

from mera import bootstrap, metrics
from mera.predictions import read_predictions, write_predictions
from mera.report import print_comparison, write_report
from mera.report.coarse_levels import coarse_levels
from mera.report.decisions import precision_recall
from mera.report.hierarchy import hierarchy
from mera.report.reliability import reliability

NUM_OUTSIDE = 4


def make_case(seed, num_rows=19, num_candidates=13, ties=False, pooled=False):
    """Scores (N, C) whose last columns are -inf, and targets; with `pooled` further ones of single rows are.

    Row 0 has no target, row 1 only targets outside, row 2 every code, row 3 more targets than candidates.
    """
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((num_rows, num_candidates + NUM_OUTSIDE)).astype(np.float32)
    if ties:
        scores = scores.round()
    scores[:, num_candidates:] = -np.inf
    targets = generator.random(scores.shape) < 0.3
    targets[0] = False
    targets[1] = np.arange(scores.shape[1]) >= num_candidates
    targets[2] = True
    if pooled:
        scores[num_rows // 2 :, :5] = -np.inf
        scores[3, 1:] = -np.inf
    return scores, targets


def loop_order(row):
    """The columns that can be retrieved, best first."""
    return [
        column for column in sorted(range(len(row)), key=lambda column: (-row[column], column)) if row[column] > -np.inf
    ]


def loop_rows(scores, targets):
    return [(loop_order(s), set(np.flatnonzero(t).tolist())) for s, t in zip(scores.tolist(), targets, strict=True)]


def mean(values):
    return sum(values) / len(values)


def loop_recall(scores, targets, k, smaller=False):
    rows = [row for row in loop_rows(scores, targets) if row[1]]
    return mean([len(true & set(order[:k])) / (min(k, len(true)) if smaller else len(true)) for order, true in rows])


def loop_precision(scores, targets, k):
    return mean([len(true & set(order[:k])) / k for order, true in loop_rows(scores, targets) if true])


def loop_ndcg(scores, targets, k):
    def gain(places):
        return sum(1 / math.log2(place + 2) for place in places)

    return mean(
        [
            gain([place for place, code in enumerate(order[:k]) if code in true]) / gain(range(min(k, len(true))))
            for order, true in loop_rows(scores, targets)
            if true
        ]
    )


def loop_average_precision(scores, targets):
    values = []
    for order, true in loop_rows(scores, targets):
        precisions = [len(true & set(order[: place + 1])) / (place + 1) for place, code in enumerate(order)]
        found = [precision for precision, code in zip(precisions, order, strict=True) if code in true]
        if true:
            values.append(sum(found) / len(true))
    return mean(values)


def loop_weighted_f1(scores, targets):
    rows = [(set(order[: len(true)]), true) for order, true in loop_rows(scores, targets)]
    total = 0.0
    for code in range(scores.shape[1]):
        support = sum(code in true for _, true in rows)
        if support:
            hits = sum(code in true and code in predicted for predicted, true in rows)
            total += support * 2 * hits / (support + sum(code in predicted for predicted, _ in rows))
    return total / targets.sum()


def loop_auc(values, truth):
    negatives = [value for value, true in zip(values, truth, strict=True) if not true and value > -np.inf]
    positives = [value for value, true in zip(values, truth, strict=True) if true]
    if not negatives or not positives:
        return math.nan
    return mean([(a > b) + (a == b) / 2 for a in positives for b in negatives])


def loop_macro_auc(scores, targets):
    found = [loop_auc(s, t) for s, t in zip(scores.T.tolist(), targets.T.tolist(), strict=True)]
    return mean([value for value in found if not math.isnan(value)])


METRICS = {
    "recall@5": (lambda s, t: metrics.recall_at_k(s, t, 5), lambda s, t: loop_recall(s, t, 5)),
    "recall@5 of min": (lambda s, t: metrics.recall_at_k(s, t, 5, "min"), lambda s, t: loop_recall(s, t, 5, True)),
    "recall beyond the candidates": (lambda s, t: metrics.recall_at_k(s, t, 16), lambda s, t: loop_recall(s, t, 16)),
    "recall at more than all": (lambda s, t: metrics.recall_at_k(s, t, 99), lambda s, t: loop_recall(s, t, 99)),
    "precision@16": (lambda s, t: metrics.precision_at_k(s, t, 16), lambda s, t: loop_precision(s, t, 16)),
    "ndcg@4": (lambda s, t: metrics.ndcg_at_k(s, t, 4), lambda s, t: loop_ndcg(s, t, 4)),
    "ndcg@16": (lambda s, t: metrics.ndcg_at_k(s, t, 16), lambda s, t: loop_ndcg(s, t, 16)),
    "map": (metrics.mean_average_precision, loop_average_precision),
    "weighted f1 at label count": (metrics.weighted_f1_at_label_count, loop_weighted_f1),
    "micro auc": (
        lambda s, t: metrics.roc_auc(s, t, "micro"),
        lambda s, t: loop_auc(s.ravel().tolist(), t.ravel().tolist()),
    ),
    "macro auc": (lambda s, t: metrics.roc_auc(s, t, "macro"), loop_macro_auc),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_metric_equals_a_loop(name, pooled, ties):
    fast, loop = METRICS[name]
    for seed in range(3):
        case = make_case(seed, ties=ties, pooled=pooled)
        assert fast(*case) == pytest.approx(loop(*case), rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_a_code_outside_that_is_true_nowhere_changes_nothing(name):
    scores, targets = make_case(7)
    candidates = scores.shape[1] - NUM_OUTSIDE
    targets[:, candidates:] = False
    found = METRICS[name][0](scores, targets)
    assert found == METRICS[name][0](scores[:, :candidates], targets[:, :candidates]), "bit for bit"


@pytest.mark.parametrize("name", [name for name in METRICS if name != "macro auc"])
def test_a_true_code_outside_the_candidates_never_helps(name):
    scores, targets = make_case(8)
    candidates = scores.shape[1] - NUM_OUTSIDE
    rows = targets[:, :candidates].any(axis=1)
    without = targets & (np.arange(scores.shape[1]) < candidates)
    assert METRICS[name][0](scores[rows], targets[rows]) <= METRICS[name][0](scores[rows], without[rows])


def test_hand_computed_values():
    """One row: candidates a, b, c ranked in this order; true are b, c and x, which is no candidate."""
    scores, targets = np.array([[3.0, 2.0, 1.0, -np.inf]]), np.array([[False, True, True, True]])
    assert metrics.mean_average_precision(scores, targets) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert metrics.recall_at_k(scores, targets, 2) == pytest.approx(1 / 3)
    assert metrics.recall_at_k(scores, targets, 4) == pytest.approx(2 / 3)
    assert metrics.recall_at_k(scores, targets, 10**6) == pytest.approx(2 / 3)
    assert metrics.precision_at_k(scores, targets, 4) == pytest.approx(2 / 4)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.ndcg_at_k(scores, targets, 4) == pytest.approx((1 / math.log2(3) + 1 / 2) / ideal)
    # Three are true, so a, b and c are predicted: F1 1, 1 and 0 of the codes b, c and x.
    assert metrics.weighted_f1_at_label_count(scores, targets) == pytest.approx(2 / 3)
    # Of the pairs of a target with the only negative, a: none is won.
    assert metrics.roc_auc(scores, targets, "micro") == 0.0
    # x is missed by 2 of 2 negatives, b and c win 1 of 2 and 0 of 2.
    more = np.array([[3.0, 2.0, 1.0, 1.5, -np.inf]]), np.array([[False, True, False, False, True]])
    assert metrics.roc_auc(*more, "micro") == pytest.approx((2 / 3 + 0) / 2)


def test_only_codes_outside_score_zero_and_nothing_is_predicted_of_them():
    scores, targets = np.array([[1.0, -np.inf, -np.inf]]), np.array([[False, True, True]])
    ranking = metrics.rank_targets(scores, targets)
    assert metrics.predict_label_count(ranking).sum() == 1, "two are true, but there is one candidate"
    assert metrics.mean_average_precision(scores, targets) == 0.0
    assert metrics.f1(scores > -5.0, targets, "micro") == 0.0
    assert math.isnan(metrics.roc_auc(scores, targets, "macro"))


@pytest.mark.parametrize("pooled", [False, True])
def test_every_resample_equals_the_metric_of_the_repeated_rows(pooled):
    scores, targets = make_case(2, pooled=pooled)
    weights = bootstrap.patient_weights([str(row // 2) for row in range(len(scores))], 8, seed=1)
    ranking = metrics.rank_targets(scores, targets)
    predicted = np.zeros_like(targets)
    np.put_along_axis(predicted, ranking.top, metrics.predict_label_count(ranking), axis=1)
    sparse = scipy.sparse.csr_array(predicted), scipy.sparse.csr_array(targets)
    found = {
        "map": bootstrap.row_mean(weights, metrics.row_average_precision(ranking)),
        "weighted f1 at label count": bootstrap.code_f1(weights, *sparse)["weighted"],
        "macro auc": bootstrap.macro_roc_auc(weights, scores, targets),
        "micro auc": bootstrap.micro_roc_auc(weights, scores, targets),
    }
    for number, drawn in enumerate(weights):
        rows = np.repeat(np.arange(len(scores)), drawn.astype(int))
        for name, values in found.items():
            assert values[number] == pytest.approx(METRICS[name][0](scores[rows], targets[rows]), rel=1e-5), name


def with_codes_outside(run, folder, rule="train"):
    """The run with its first codes taken out of the candidates: the same truth, other scores."""
    fields = read_predictions(run)
    order = [*range(NUM_OUTSIDE, fields.codes.height), *range(NUM_OUTSIDE)]
    scores = fields.scores[:, order].copy()
    scores[:, -NUM_OUTSIDE:] = -np.inf
    task = fields.manifest["task"] | {"candidates_rule": {"name": rule, "file": "codes & more.txt"}}
    return change_run(
        run,
        folder / run.name,
        scores=scores,
        targets=fields.targets[:, order],
        seen=fields.seen[:, order],
        codes=fields.codes[order],
        num_outside=NUM_OUTSIDE,
        manifest={"run": run.name, "task": task},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    return [with_codes_outside(run, folder / "outside") for run in make_rich_runs(folder / "rich")]


@pytest.fixture(scope="module")
def report_folder(runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("report") / "report"
    write_report(runs, output, bootstrap_samples=50, with_examples=3)
    return output


@pytest.fixture(scope="module")
def section(report_folder):
    return json.loads((report_folder / "report.json").read_text())["tasks"][0]


def test_the_folder_holds_scores_of_candidates_only(runs):
    folder = runs[1] / "predictions"
    scores = np.load(folder / "scores.npy")
    assert scores.shape == (NUM_EXAMPLES, 60 - NUM_OUTSIDE)
    assert np.isfinite(scores).all()
    assert pl.read_parquet(folder / "other_codes.parquet").height == NUM_OUTSIDE
    assert pl.read_parquet(folder / "codes.parquet").height == 60 - NUM_OUTSIDE
    run = read_predictions(runs[1])
    assert run.num_outside == NUM_OUTSIDE
    assert run.targets[:, -NUM_OUTSIDE:].any(), "the true codes outside are kept"
    assert not run.predicted[:, -NUM_OUTSIDE:].any()
    written = pl.read_parquet(folder / "examples.parquet")["targets"].list.len().sum()
    assert written == run.targets.sum()


def test_the_report_counts_them_and_names_the_rule(runs, section, report_folder):
    run = read_predictions(runs[1])
    outside = run.targets[:, -NUM_OUTSIDE:]
    assert section["candidates"] == 60 - NUM_OUTSIDE
    assert section["candidates_rule"]["name"] == "train"
    assert section["targets"] == run.targets.sum()
    assert section["outside_candidates"] == {
        "targets": outside.sum(),
        "share": pytest.approx(outside.sum() / run.targets.sum()),
        "codes": outside.any(axis=0).sum(),
        "examples": outside.any(axis=1).sum(),
    }
    share = 100 * outside.sum() / run.targets.sum()
    sentence = (
        f"The {60 - NUM_OUTSIDE} candidates are the codes of train and validation (rule: train). {outside.sum()} of "
        f"the {run.targets.sum()} true codes ({share:.1f}%) are outside them and count as missed in every metric."
    )
    assert (report_folder / "index.html").read_text().count(sentence) == 1
    assert sentence in (report_folder / "report.md").read_text()
    card = pl.read_csv(report_folder / "tables" / "data.csv")
    row = card.filter(pl.col(card.columns[0]) == "test").row(0, named=True)
    assert row["outside"] == outside.sum()
    out = io.StringIO()
    print_comparison(runs, bootstrap_samples=20, console=Console(file=out, width=400))
    assert sentence in " ".join(out.getvalue().split())


def test_all_numbers_of_the_report_count_them_as_missed(runs, section):
    for path in runs:
        run = read_predictions(path)
        found = find_run(section, run.name)
        for key, (metric, _) in {
            "recall@20": (lambda s, t: metrics.recall_at_k(s, t, 20), None),
            "map": METRICS["map"],
            "weighted_f1_at_label_count": METRICS["weighted f1 at label count"],
            "micro_roc_auc": METRICS["micro auc"],
            "macro_roc_auc": METRICS["macro auc"],
        }.items():
            assert found["metrics"][key]["value"] == pytest.approx(metric(run.scores, run.targets), rel=1e-5)
        assert found["recall_curve"][-1] == pytest.approx(metrics.recall_at_k(run.scores, run.targets, 100))
        assert found["recall_curve"][-1] < 1, "100 is more than there are candidates"
        assert max(found["precision_recall"]["recall"]) == pytest.approx(np.isfinite(run.scores[run.targets]).mean()), (
            "the curve ends where every candidate is predicted"
        )


def test_they_are_among_the_unseen_and_no_candidates_of_a_group(runs, section):
    run = read_predictions(runs[1])
    parts = {part["key"]: part for part in section["strata"]}
    unseen = parts["frequency"]["groups"][0]
    train_count = run.codes["train_count"].to_numpy().copy()
    assert (train_count[-NUM_OUTSIDE:] > 0).all(), "they occur in train, but none could be learnt"
    train_count[-NUM_OUTSIDE:] = 0
    assert unseen["targets"] == run.targets[:, train_count == 0].sum()
    for key in ("frequency", "chapter"):
        assert sum(group["codes"] for group in parts[key]["groups"]) == 60 - NUM_OUTSIDE
        assert sum(group["targets"] for group in parts[key]["groups"]) == run.targets.sum()


def test_example_pages_rank_candidates_only(runs, report_folder):
    run = read_predictions(runs[1])
    codes = run.codes["code"].to_list()
    for row in range(3):
        page = (report_folder / "examples" / f"{row + 1}.html").read_text()
        truths, rankings = page.split("<h2>Rankings</h2>")
        missed = [code for code in np.array(codes)[-NUM_OUTSIDE:][run.targets[row, -NUM_OUTSIDE:]]]
        assert truths.count("<td>no candidate</td>") == len(missed) * len(runs)
        for code in codes[-NUM_OUTSIDE:]:
            assert not re.search(rf">(✓ )?{re.escape(code)}<small>", rankings)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            "all",
            r"every code that occurs anywhere in the task, test included \(rule: all\). They include codes that only",
        ),
        ("ontology", "every code of the ontology that has no finer one"),
        ("file", "the codes of codes &amp; more.txt"),
    ],
)
def test_each_rule_is_told_in_words(tmp_path, rule, words):
    run = with_codes_outside(make_runs(tmp_path)[1], tmp_path / "changed", rule)
    page = write_report([run], tmp_path / "report", bootstrap_samples=5).read_text()
    assert re.search(words, page)


def test_an_old_folder_has_the_rule_all_and_nothing_outside(tmp_path):
    page = write_report([make_runs(tmp_path)[1]], tmp_path / "report", bootstrap_samples=5).read_text()
    assert "They include codes that only test knows" in page
    assert "No true code is outside them." in page
    section = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    assert section["candidates_rule"] == {"name": "all"}
    assert section["outside_candidates"] == {"targets": 0, "share": 0.0, "codes": 0, "examples": 0}


def test_runs_of_different_rules_are_refused_by_name(tmp_path):
    first = make_runs(tmp_path / "a")[1]
    second = with_codes_outside(make_runs(tmp_path / "b", fingerprint="e" * 64)[2], tmp_path / "changed")
    with pytest.raises(ValueError, match=r"different tasks: .*candidates all\) and .*candidates train\); report them"):
        write_report([first, second], tmp_path / "report")


def test_calibration_leaves_out_pairs_without_a_score(runs):
    for run in map(read_predictions, runs[:3]):
        candidates = run.codes.height - NUM_OUTSIDE
        parts = {name: getattr(run, name)[:, :candidates] for name in ("scores", "targets", "seen")}
        alone = replace(run, **parts, codes=run.codes.head(candidates), num_outside=0)
        weights = bootstrap.patient_weights(run.patient_ids, 5, seed=0)
        found, expected = (
            reliability(version, metrics.rank_targets(version.scores, version.targets), weights)
            for version in (run, alone)
        )
        assert found == expected


def test_calibration_of_rows_with_few_candidates_counts_those_only(runs):
    run = read_predictions(runs[1])
    scores = run.scores.copy()
    scores[::2, 7:] = -np.inf
    found = reliability(
        replace(run, scores=scores), metrics.rank_targets(scores, run.targets), np.ones((2, NUM_EXAMPLES), np.float32)
    )
    assert sum(point["pairs"] for point in found["curve"]) == NUM_EXAMPLES // 2 * (7 + 20)
    assert all(math.isfinite(found[key]["value"]) for key in ("ece", "ece_first", "brier"))


def test_coarser_levels_and_distances_equal_a_loop(runs):
    run = read_predictions(runs[1])
    scores = run.scores.copy()
    scores[3, 2:] = -np.inf
    chapters = [f"{number % 7}" for number in range(run.codes.height - NUM_OUTSIDE)] + ["0", "1", "none", "none"]
    codes = run.codes.select("code", pl.lit("all").alias("all"), pl.Series("chapter", chapters))
    run = replace(run, scores=scores, codes=codes)
    names = sorted(set(chapters))
    grouped = np.stack([scores[:, np.array(chapters) == name].max(axis=1) for name in names], axis=1)
    true = np.stack([run.targets[:, np.array(chapters) == name].any(axis=1) for name in names], axis=1)
    weights = np.ones((2, NUM_EXAMPLES), np.float32)
    found = coarse_levels(run, run.targets, codes, weights)["chapter"]
    assert found["map"]["value"] == pytest.approx(loop_average_precision(grouped, true))
    assert found["recall@20"]["value"] == pytest.approx(loop_recall(grouped, true, 20))

    right, predicted = 0, 0
    for order, truths in loop_rows(scores, run.targets):
        for code in order[: len(truths)]:
            predicted += 1
            right += chapters[code] in {chapters[true] for true in truths}
    distances = hierarchy(metrics.rank_targets(scores, run.targets), codes, weights)
    assert distances["predicted"] == predicted < run.targets.sum()
    assert distances["accuracy"]["chapter"]["value"] == pytest.approx(right / predicted)


def test_a_curve_without_any_target_that_is_a_candidate_is_left_out(runs):
    run = read_predictions(runs[1])
    only_outside = np.arange(run.codes.height) >= run.codes.height - NUM_OUTSIDE
    assert precision_recall(run, run.targets & only_outside) is None


def test_scores_outside_the_candidates_are_refused(runs, tmp_path):
    run = read_predictions(runs[1])
    run.scores[0, -1] = 0.5
    with pytest.raises(ValueError, match="a code outside the candidates has a score"):
        write_predictions(tmp_path / "predictions", run)
    run.scores[0, -1] = -np.inf
    run.scores[0, 0] = -np.inf
    with pytest.raises(ValueError, match="NaN or infinity; the model diverged"):
        write_predictions(tmp_path / "predictions", run)


def test_a_code_in_both_tables_is_damage(runs, tmp_path):
    folder = write_predictions(tmp_path / "predictions", read_predictions(runs[1]))
    pl.read_parquet(folder / "codes.parquet").head(2).write_parquet(folder / "other_codes.parquet")
    with pytest.raises(ValueError, match="is damaged: a code stands twice"):
        read_predictions(tmp_path)
