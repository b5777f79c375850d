"""What `inspect` says of a task: counted by hand on a small one, and plotted the same way twice."""

import numpy as np
import pytest
from prepare_case import EVEN, run, write_csv
from ready_python import run_ready

from data.inspection.task_figures import figures_of, plot_figures
from mera.root import ROOT


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    rows = [["pid", "vid", "day", "dx"]]
    for patient in range(8):
        for visit in range(3):
            codes = ["I10", "E11.9"] if visit < 2 else ["I10", f"M54.{patient % 2 + 2}"]
            rows += [[f"p{patient}", visit, f"2020-0{visit + 1}-01", code] for code in [*codes, "Q99.ZZ"]]
    columns = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")
    source = write_csv(folder / "t.csv", rows)
    return run("table", "--input", source, *columns, "--every-visit", *EVEN, "--output", folder / "task")[0]


def test_figures_are_those_counted_by_hand(task):
    figures = figures_of(task, top=2)
    train, test = figures.splits["train"], figures.splits["test"]
    assert (train.patients, train.examples, test.examples) == (4, 8, 2)
    assert sorted(train.visits_per_history) == [1] * 4 + [2] * 4
    assert set(train.targets_per_example) == {2}
    assert train.new_share == 4 / 16
    assert test.new_share == 0.5
    in_train = {code for row in task.splits["train"] for code in row["targets"]}
    unseen = sum(code not in in_train for row in task.splits["test"] for code in row["targets"])
    assert test.unseen_share == unseen / 4
    assert figures.top_codes[0] == ("I10", "Essential (primary) hypertension", 8)
    assert figures.train_counts[0] == 8
    assert sum(figures.codes_by_frequency.values()) == len(task.codes)
    assert figures.codes_by_frequency["never in train"] == int(np.sum(task.train_counts == 0))
    assert figures.chapters[0] == ("Diseases of the circulatory system", 8)
    assert len(train.words_per_note) == 0


def test_the_command_prints_and_plots(task, tmp_path):
    plots = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for plot in plots:
        result = run_ready(["-m", "data.inspection.inspect_task", task.path, "--plot", plot, "--top", 3], cwd=ROOT)
        assert result.returncode == 0, result.stderr
    assert "Q99.ZZ (24)" in result.stdout
    assert "targets new to the patient" in result.stdout
    assert "words in the note" not in result.stdout
    assert plots[0].read_bytes() == plots[1].read_bytes()
    assert b"<svg" in plots[0].read_bytes()


def test_what_cannot_be_inspected(task, tmp_path):
    with pytest.raises(ValueError, match=r"--plot must name a file with the suffix .svg, .png or .pdf"):
        plot_figures(figures_of(task), "t", tmp_path / "a.gif")
    result = run_ready(["-m", "data.inspection.inspect_task", tmp_path], cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith("error: no prepared task in")
    assert len(result.stderr.splitlines()) == 1
