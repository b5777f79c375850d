"""Codes that the history does not hold: headline columns where a next visit is predicted, nowhere else."""

import io
import json

import numpy as np
import pytest
from made_up_runs import change_run, find_run, make_runs
from rich.console import Console

from mera.evaluation import bootstrap
from mera.report import print_comparison, write_report
from mera.report.measures.measure import NEW_CODE_METRICS, new_code_replicates
from mera.runs.predictions import read_predictions

KEYS = [metric.key for metric in NEW_CODE_METRICS]


def new_codes_by_a_loop(scores, predicted, targets, seen):
    """One row after the other: the codes of the history leave the ranking, the truth and the predicted set."""
    recalls, average_precisions = {10: [], 20: []}, []
    hits = num_predicted = num_true = 0
    for row in range(len(scores)):
        open_codes = [column for column in range(scores.shape[1]) if not seen[row, column]]
        true = {column for column in open_codes if targets[row, column]}
        chosen = {column for column in open_codes if predicted[row, column]}
        hits, num_predicted, num_true = hits + len(true & chosen), num_predicted + len(chosen), num_true + len(true)
        if not true:
            continue
        ranking = sorted(
            (column for column in open_codes if scores[row, column] > -np.inf),
            key=lambda column: (-scores[row, column], column),
        )
        for k, values in recalls.items():
            values.append(len(true & set(ranking[:k])) / len(true))
        precisions = [
            len(true & set(ranking[: place + 1])) / (place + 1)
            for place, column in enumerate(ranking)
            if column in true
        ]
        average_precisions.append(sum(precisions) / len(true))
    return {
        "new_recall@10": np.mean(recalls[10]),
        "new_recall@20": np.mean(recalls[20]),
        "new_map": np.mean(average_precisions),
        "new_micro_f1": 2 * hits / (num_predicted + num_true),
    }


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_a_loop(seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 9, (40, 33)).astype(np.float32)  # with ties
    scores[generator.random(scores.shape) < 0.05] = -np.inf  # no candidates
    targets, seen = generator.random(scores.shape) < 0.1, generator.random(scores.shape) < 0.3
    targets[0], seen[1] = False, True  # a row without a true code, one in which nothing is new
    predicted = scores > 6
    weights = bootstrap.patient_weights([str(row // 2) for row in range(40)], samples=3, seed=0)
    replicates = new_code_replicates(scores, predicted, targets, seen, weights)
    expected = new_codes_by_a_loop(scores, predicted, targets, seen)
    assert {key: values[0] for key, values in replicates.items()} == pytest.approx(expected)
    rows = np.repeat(np.arange(40), weights[2].astype(int))
    resampled = new_codes_by_a_loop(scores[rows], predicted[rows], targets[rows], seen[rows])
    assert {key: values[2] for key, values in replicates.items()} == pytest.approx(resampled)


def test_what_the_history_holds_counts_for_nothing():
    generator = np.random.default_rng(0)
    scores, targets = generator.standard_normal((20, 15)), generator.random((20, 15)) < 0.2
    seen = generator.random((20, 15)) < 0.3
    weights = bootstrap.patient_weights([str(row) for row in range(20)], samples=2, seed=0)
    changed = np.where(seen, generator.standard_normal((20, 15)) * 9, scores)
    for first, second in zip(
        new_code_replicates(scores, scores > 0, targets, seen, weights).values(),
        new_code_replicates(changed, changed > 0, targets ^ (seen & (changed > 1)), seen, weights).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


def test_sets_of_new_codes_equal_a_loop(runs, section):
    """Over all examples with a true code, new or not."""
    run = read_predictions(next(path for path in runs if path.name == "rank-tiny"))
    counted = run.targets.any(axis=1)
    predicted, true = [run.predicted & ~run.seen, run.targets & ~run.seen]
    sizes = [len(np.flatnonzero(row)) for row in predicted[counted]]
    measured = find_run(section, "rank-tiny")["new_set_size"]
    assert measured["mean_predicted"]["value"] == pytest.approx(np.mean(sizes))
    assert measured["mean_true"]["value"] == pytest.approx(true.sum() / counted.sum())
    assert measured["rows_without_prediction"]["value"] == pytest.approx(np.mean([size == 0 for size in sizes]))
    assert measured["micro_precision"]["value"] == pytest.approx((predicted & true).sum() / predicted.sum())


def test_they_have_a_section_of_their_own(runs, report_folder, section):
    run = read_predictions(next(path for path in runs if path.name == "rank-tiny"))
    expected = new_codes_by_a_loop(run.scores, run.predicted, run.targets, run.seen)
    cells = find_run(section, "rank-tiny")["metrics"]
    assert {key: cells[key]["value"] for key in KEYS} == pytest.approx(expected, rel=1e-5)
    assert all(cells[key]["low"] < cells[key]["value"] < cells[key]["high"] for key in KEYS)
    assert {pair["metric"] for pair in section["pairs"]} >= set(KEYS)
    for name, endings in (("new-codes", ("_low", "_high")), ("new-codes-differences", ("_low", "_high", "_note"))):
        header = (report_folder / "tables" / f"{name}.csv").read_text().splitlines()[0].split(",")
        assert [key for key in header if not key.endswith(endings)][2:] == list(KEYS)
    assert "history ranks them by popularity, which is the floor" in (report_folder / "index.html").read_text()
    assert [line.split(" new to a patient ")[0] for line in section["answers"]["new"]] == ["Of the true codes that are"]


def test_a_note_that_is_coded_has_no_new_codes(tmp_path):
    coding = []
    for path in make_runs(tmp_path / "made")[1:3]:
        task = read_predictions(path).manifest["task"] | {"kind": "coding"}
        coding.append(change_run(path, tmp_path / path.name, manifest={"task": task}))
    page = write_report(coding, tmp_path / "report", bootstrap_samples=20)
    (section,) = json.loads((page.parent / "report.json").read_text())["tasks"]
    assert all(section["runs"][0]["metrics"][key]["value"] is None for key in KEYS)
    assert not {pair["metric"] for pair in section["pairs"]} & set(KEYS)
    assert "New codes" not in page.read_text()
    assert not (page.parent / "tables" / "new-codes.csv").exists()
    assert section["answers"]["new"] == []
    assert "new onset" not in printed(coding)


def test_the_terminal_has_a_table_of_them(tmp_path):
    lines = printed(make_runs(tmp_path)[1:3]).splitlines()
    assert any("codes that the history does not hold (new onset)" in line for line in lines)
    assert max(map(len, lines)) <= 100


def printed(paths):
    console = Console(file=io.StringIO(), width=100)
    print_comparison(paths, bootstrap_samples=20, console=console)
    return console.file.getvalue()
