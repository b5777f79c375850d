"""Runs of one recipe with several seeds: mean, spread and interval in the report."""

import json

import numpy as np
import pytest
from made_up_runs import change_run, make_runs

from mera.evaluation import bootstrap
from mera.evaluation.metrics import rank_targets, row_recall
from mera.report import write_report
from mera.runs.predictions import read_predictions

SAMPLES = 60


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Three seeds of one recipe, another recipe, and two baselines that differ in a seed."""
    folder = tmp_path_factory.mktemp("seeds")
    _, base, other, popularity, _ = make_runs(folder)
    paths = [other, popularity]
    for seed in (0, 1, 2):
        noise = np.random.default_rng(seed).standard_normal(read_predictions(base).scores.shape).astype(np.float32)
        config = {"training": {"epochs": 3, "seed": seed}, "output": f"runs/seed-{seed}"}
        scores = read_predictions(base).scores + noise
        paths.append(change_run(base, folder / f"seed-{seed}", scores=scores, manifest={"config": config}))
    write_report(paths, folder / "report", bootstrap_samples=SAMPLES)
    return folder / "report", paths[2:]


def test_mean_deviation_and_interval_are_those_of_a_loop(report):
    folder, paths = report
    (group,) = json.loads((folder / "report.json").read_text())["tasks"][0]["seeds"]
    assert (group["runs"], group["seeds"]) == (["seed-0", "seed-1", "seed-2"], ["0", "1", "2"])
    runs = [read_predictions(path) for path in paths]
    recalls = [row_recall(rank_targets(run.scores, run.targets, 20), 20) for run in runs]
    values = [float(np.nanmean(rows)) for rows in recalls]
    recall = group["metrics"]["recall@20"]
    assert recall["by_seed"] == pytest.approx(values)
    assert recall["mean"] == pytest.approx(sum(values) / 3)
    assert recall["deviation"] == pytest.approx((sum((v - sum(values) / 3) ** 2 for v in values) / 2) ** 0.5)
    weights = bootstrap.patient_weights(runs[0].patient_ids, SAMPLES, 0)
    of_mean = bootstrap.row_mean(weights, np.mean(recalls, axis=0))
    assert (recall["low"], recall["high"]) == pytest.approx(bootstrap.interval(of_mean))


def test_the_page_shows_them(report):
    folder, _ = report
    page = (folder / "index.html").read_text()
    assert "What another seed changes" in page
    table = (folder / "tables" / "seeds.csv").read_text().splitlines()
    assert len(table) == 2
    assert "seed-0, seed-1, seed-2" in table[1]


def test_one_seed_is_no_group(tmp_path):
    page = write_report(make_runs(tmp_path), tmp_path / "report", bootstrap_samples=20)
    assert json.loads((page.parent / "report.json").read_text())["tasks"][0]["seeds"] == []
    assert "What another seed changes" not in page.read_text()
