"""The report's table of hidden codes: there where a task hides some, nowhere else."""

import json

import numpy as np
import polars as pl
import pytest
from made_up_runs import NUM_CODES, change_run, find_run, make_runs

from mera.report import write_report
from mera.runs.predictions import read_predictions


def test_the_table_holds_where_hidden_codes_stand(tmp_path):
    hidden = np.arange(NUM_CODES) % 6 == 0
    runs = []
    for path in make_runs(tmp_path / "plain"):
        codes = read_predictions(path).codes.with_columns(pl.Series("hidden", hidden))
        runs.append(change_run(path, tmp_path / path.name, codes=codes))
    write_report(runs, tmp_path / "report", bootstrap_samples=50)
    (section,) = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"]
    run = read_predictions(runs[1])
    order = np.argsort(-run.scores, axis=1, kind="stable")
    places = [1 + list(order[row]).index(code) for row, code in zip(*np.nonzero(run.targets & hidden), strict=True)]
    measured = find_run(section, "rank-tiny")["hidden_codes"]
    assert measured["mrr"]["value"] == pytest.approx(np.mean(1 / np.array(places)))
    assert measured["recall@20"]["value"] == pytest.approx(np.mean(np.array(places) <= 20))
    assert measured["mrr"]["low"] < measured["mrr"]["value"] < measured["mrr"]["high"]
    assert "Hidden codes" in (tmp_path / "report" / "index.html").read_text()


def test_a_task_that_hides_nothing_has_no_table(tmp_path):
    write_report(make_runs(tmp_path / "runs"), tmp_path / "report", bootstrap_samples=20)
    assert "Hidden codes" not in (tmp_path / "report" / "index.html").read_text()
