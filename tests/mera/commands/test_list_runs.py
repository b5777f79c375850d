"""`mera runs`: what lies in a folder, finished or not, and its main figures."""

import json

import numpy as np
import pytest
from made_up_runs import make_runs
from rich.console import Console

from mera import metrics
from mera.commands.list_runs import list_runs, print_runs
from mera.runs.predictions import read_predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    make_runs(root / "made-up")
    (root / "stage-one").mkdir()
    (root / "stage-one" / "manifest.json").write_text(json.dumps({"kind": "memorize", "task": {"name": "codes"}}))
    (root / "made-up" / ".going-on.partial").mkdir()
    (root / "made-up" / ".going-on.partial" / "run.json").write_text("{}")
    (root / "broken" / "predictions").mkdir(parents=True)
    return root


def test_every_run_is_listed_with_its_figures(folder):
    listed = {str(run.path): run for run in list_runs(folder)}
    assert set(listed) == {
        *("broken", "stage-one", "made-up/going-on"),
        *(f"made-up/{name}" for name in ("oracle", "rank-tiny", "bi-encoder", "popularity", "history")),
    }
    assert listed["broken"].state == "damaged"
    assert listed["made-up/going-on"].state == "unfinished"
    assert (listed["stage-one"].state, listed["stage-one"].task) == ("finished", "codes")
    run = read_predictions(folder / "made-up" / "oracle")
    assert listed["made-up/oracle"].figures == pytest.approx(
        (
            metrics.recall_at_k(run.scores, run.targets, 10),
            metrics.recall_at_k(run.scores, run.targets, 20),
            metrics.mean_average_precision(run.scores, run.targets),
            metrics.f1(run.predicted, run.targets, "micro"),
        )
    )
    assert listed["made-up/history"].figures[3] is None
    assert np.isfinite(listed["made-up/history"].figures[0])


def test_the_table_names_what_is_not_finished(folder, tmp_path):
    console = Console(width=120, record=True)
    print_runs(folder, console)
    text = console.export_text()
    assert "made-up/going-on (unfinished)" in text
    assert "broken (damaged)" in text
    empty = tmp_path / "empty"
    empty.mkdir()
    print_runs(empty, console)
    assert f"no runs in {empty}" in console.export_text().replace("\n", "")
    with pytest.raises(FileNotFoundError, match="no folder"):
        list_runs(tmp_path / "none")
