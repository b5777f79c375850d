"""The figures that a training prints last, and the command it names."""

import json

import numpy as np
import pytest
from made_up_runs import find_run, make_runs
from tiny_task import make_tiny_task

from mera import metrics
from mera.report import write_report
from mera.runs.figures import PART_OF, figure_intervals, main_figures, print_end
from mera.runs.other_splits.validation_scores import read_validation, write_validation
from mera.runs.predictions import predictions_for_task, read_predictions, write_predictions
from mera.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny")


def finished_run(task, output, fingerprint="a"):
    run, generator = RunDirectory(output), np.random.default_rng(len(output.name))
    record = {"run": output.name, "task": {"name": "tiny", "split": "test", "fingerprint": fingerprint}}
    for_test = predictions_for_task(task, "test", generator.standard_normal(task.targets("test").shape), 0.5, record)
    write_predictions(run.path("predictions"), for_test)
    write_validation(run, task, generator.standard_normal(task.targets("validation").shape), 0.5, record)
    return run.finish()


def test_they_are_the_metrics_of_the_predictions(tmp_path):
    run = read_predictions(make_runs(tmp_path)[1])
    figures = main_figures(run)
    assert list(figures) == ["recall@10", "recall@20", "MAP", "micro F1"]
    assert figures["recall@10"] == pytest.approx(float(metrics.recall_at_k(run.scores, run.targets, 10)))
    assert figures["micro F1"] == pytest.approx(float(metrics.f1(run.predicted, run.targets, "micro")))


def test_their_intervals_are_those_of_a_report(tmp_path):
    runs = make_runs(tmp_path / "made")[1:3]
    page = write_report(runs, tmp_path / "report", bootstrap_samples=50, seed=2)
    (section,) = json.loads((page.parent / "report.json").read_text())["tasks"]
    name = runs[0].name
    reported = find_run(section, name)["metrics"]
    intervals = figure_intervals(read_predictions(runs[0]), samples=50, seed=2)
    for figure, (low, high) in intervals.items():
        expected = reported[figure.lower().replace(" ", "_")]
        assert (low, high) == pytest.approx((expected["low"], expected["high"]))
    assert {"recall@10", "recall@20", "MAP"} <= set(intervals)


def test_alone_a_run_names_the_baselines_and_beside_others_of_its_task_the_report(task, tmp_path, capsys):
    first = finished_run(task, tmp_path / "first")
    print_end(first, "prepared/tiny", ("mera", "baselines"))
    lines = capsys.readouterr().out.splitlines()
    recall = 100 * main_figures(read_validation(first))["recall@20"]
    assert f", recall@20 {recall:.1f}, MAP " in lines[0]
    assert lines[0].startswith("validation: recall@10 ")
    assert lines[1:] == [
        f"next: mera baselines --task prepared/tiny --output {tmp_path}",
        f"checkpoint and predictions: {first}",
    ]
    finished_run(task, tmp_path / "of-another-task", "b")
    (tmp_path / "notes.txt").touch()
    second = finished_run(task, tmp_path / "second")
    print_end(second, "prepared/tiny", ("mera", "baselines"))
    said = capsys.readouterr().out.splitlines()[1]
    assert said == f"next: mera report {second} {first} --output {tmp_path / 'report'}"


def test_part_of_another_command_it_says_no_next_one(task, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(PART_OF, "1")
    print_end(finished_run(task, tmp_path / "run"), "prepared/tiny", ("mera", "baselines"))
    assert "next:" not in capsys.readouterr().out
