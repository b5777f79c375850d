"""The report with true codes that are no candidates: counted, named, missed in every number, predicted nowhere."""

import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from made_up_runs import NUM_EXAMPLES, change_run, find_run, make_rich_runs, make_runs
from rich.console import Console

from mera.evaluation import bootstrap, metrics
from mera.report import print_comparison, write_report
from mera.report.measures.decisions import precision_recall
from mera.report.measures.hierarchy import coarse_levels, hierarchy
from mera.report.measures.reliability import reliability
from mera.runs.predictions import read_predictions, write_predictions

NUM_OUTSIDE = 4


def with_codes_outside(run, folder, rule="train"):
    """The run with its first codes taken out of the candidates: the same truth, other scores."""
    fields = read_predictions(run)
    order = [*range(NUM_OUTSIDE, fields.codes.height), *range(NUM_OUTSIDE)]
    scores = fields.scores[:, order].copy()
    scores[:, -NUM_OUTSIDE:] = -np.inf
    task = fields.manifest["task"] | {
        "candidates_rule": {"name": rule} | ({"file": "lists/codes & more.txt"} if rule == "file" else {})
    }
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
    assert section["candidates_rule"] == "train"
    assert section["candidates_file"] is None
    assert section["targets"] == run.targets.sum()
    assert section["outside_candidates"] == {
        "targets": outside.sum(),
        "share": pytest.approx(outside.sum() / run.targets.sum()),
        "codes": outside.any(axis=0).sum(),
        "examples": outside.any(axis=1).sum(),
    }
    share = 100 * outside.sum() / run.targets.sum()
    sentence = (
        f"The {60 - NUM_OUTSIDE} candidates are the codes of the training and validation patients (train). "
        f"{outside.sum()} of the {run.targets.sum()} true codes ({share:.1f}%; {outside.any(axis=0).sum()} different "
        "ones) are no candidates: they count as missed in every metric."
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
        expected = {
            "recall@20": metrics.recall_at_k(run.scores, run.targets, 20),
            "map": metrics.mean_average_precision(run.scores, run.targets),
            "weighted_f1_at_label_count": metrics.weighted_f1_at_label_count(run.scores, run.targets),
            "micro_roc_auc": metrics.roc_auc(run.scores, run.targets, "micro"),
            "macro_roc_auc": metrics.roc_auc(run.scores, run.targets, "macro"),
        }
        assert {key: found["metrics"][key]["value"] for key in expected} == pytest.approx(expected, rel=1e-5)
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
        ("all", "all codes that occur in the task, those that only test knows included (all)."),
        ("ontology", "all codes of the ontology that have no finer one (ontology)."),
        ("file", "the codes of codes &amp; more.txt (file)."),
        ("source", "the codes that the source names (source)."),
        ("newer", "chosen by the rule newer (newer)."),
    ],
)
def test_each_rule_is_told_in_words(tmp_path, rule, words):
    run = with_codes_outside(make_runs(tmp_path)[1], tmp_path / "changed", rule)
    page = write_report([run], tmp_path / "report", bootstrap_samples=5).read_text()
    assert words in page


def test_an_old_folder_has_the_rule_all_and_nothing_outside(tmp_path):
    page = write_report([make_runs(tmp_path)[1]], tmp_path / "report", bootstrap_samples=5).read_text()
    assert "those that only test knows included (all). Every true code is one of them." in page
    section = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    assert section["candidates_rule"] == "all"
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
    assert sum(point.pairs for point in found.curve) == NUM_EXAMPLES // 2 * (7 + 20)
    assert all(math.isfinite(number.value) for number in (found.ece, found.ece_first, found.brier))


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
    found = coarse_levels(run, run.targets, codes, weights, run.predicted)["chapter"]
    assert found["map"].value == pytest.approx(metrics.mean_average_precision(grouped, true))
    assert found["recall@20"].value == pytest.approx(metrics.recall_at_k(grouped, true, 20))

    right, predicted = 0, 0
    for row, truth in zip(scores, run.targets, strict=True):
        truths = np.flatnonzero(truth)
        order = [code for code in np.argsort(-row, kind="stable") if row[code] > -np.inf]
        for code in order[: len(truths)]:
            predicted += 1
            right += chapters[code] in {chapters[true] for true in truths}
    distances = hierarchy(metrics.rank_targets(scores, run.targets), codes, weights)
    assert distances.predicted == predicted < run.targets.sum()
    assert distances.accuracy["chapter"].value == pytest.approx(right / predicted)


def test_a_curve_without_any_target_that_is_a_candidate_is_left_out(runs):
    run = read_predictions(runs[1])
    only_outside = np.arange(run.codes.height) >= run.codes.height - NUM_OUTSIDE
    assert precision_recall(run, run.targets & only_outside) is None


def test_scores_outside_the_candidates_are_refused(runs, tmp_path):
    run = read_predictions(runs[1])
    run.scores[0, -1] = 0.5
    with pytest.raises(ValueError, match="a code that is no candidate has a score"):
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
