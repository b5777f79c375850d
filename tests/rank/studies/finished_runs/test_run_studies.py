"""`mera study eov` and `ontology-distance` on a run of a few patients."""

import json

import numpy as np
import pytest
from ready_python import run_ready
from scipy.stats import spearmanr
from study_recipes import write_recipes
from tiny_task import make_tiny_task

from data.task import load_task
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.predict import Ranker
from rank.studies.finished_runs.eov import _number_claims, eov_signals, most_common_number, partial_correlation
from rank.studies.finished_runs.ontology_distance import training_visits
from rank.studies.finished_runs.severity import severity_indices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A task, both stages on it, and another task."""
    folder = tmp_path_factory.mktemp("run_studies")
    task = make_tiny_task(folder / "task", patients=150)
    make_tiny_task(folder / "other", patients=60, seed=5)
    one, two = write_recipes(folder)
    places = ("--task", task.path, "--output")
    done = run_ready(["memorize/train.py", "--config", one, *places, folder / "one"], cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    base = ("--model.base", folder / "one" / "checkpoint", "--training.min_steps", "60")
    done = run_ready(["rank/train.py", "--config", two, *places, folder / "two", *base], cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def study(folder, name, *more):
    command = ["-m", "mera.cli", "study", name, "--task", folder / "task", "--output", folder / name]
    return run_ready([*command, "--resamples", "60", *more])


def test_eov(folder):
    done = study(folder, "eov", "--run", folder / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = json.loads((folder / "eov" / "study" / "study.json").read_text())
    predictions = read_predictions(folder / "two")
    predicted, true = predictions.predicted.sum(axis=1), predictions.targets.sum(axis=1)
    value = numbers["spearman"]["predicted"]["number of codes"]
    assert value["value"] == pytest.approx(spearmanr(predicted, true).statistic, abs=1e-3)
    assert value["low"] <= value["value"] <= value["high"]
    signals = {"eov", "predicted", "expected", "last_visit", "history_Charlson", "history_Elixhauser"}
    assert set(numbers["spearman"]) == signals
    assert set(numbers["spearman"]["eov"]) == {"number of codes", "Charlson", "Elixhauser"}
    assert numbers["mean"]["number of codes"] == pytest.approx(true.mean())
    assert len(numbers["sentences"]) == 9
    page = (folder / "eov" / "study" / "study.md").read_text()
    assert "> EOV's probability falls as more diagnoses come: " in page
    assert " points" not in numbers["sentences"][0]


def test_signals_equal_a_loop(folder):
    rows = list(load_task(folder / "task").splits["test"])[:5]
    ranker = Ranker.load(folder / "two")
    signals, (scores, eov) = eov_signals(ranker, rows, "icd10cm"), ranker.score(rows)
    for row in range(5):
        outputs = np.exp(np.append(scores[row], eov[row]).astype(float))
        assert signals["eov"][row] == pytest.approx(1 - outputs[-1] / outputs.sum(), abs=1e-4)
        assert signals["last_visit"][row] == len(rows[row]["history"][-1]["codes"])
    assert signals["expected"].shape == (5,)
    of_history = [{code for visit in row["history"] for code in visit["codes"]} for row in rows]
    expected = severity_indices([sorted(codes) for codes in of_history], "icd10cm")["Charlson"]
    np.testing.assert_array_equal(signals["history_Charlson"], expected)


def test_where_nearly_all_visits_have_one_number_there_is_none_to_follow():
    assert most_common_number(np.array([3, 3, 2, 3, 1.0])) == (3, 0.6)
    draw = np.random.default_rng(0)
    replicates = {(signal, "number of codes"): draw.random(5) for signal in ("eov", "predicted", "expected")}
    replicates["last_visit", "number of codes"] = draw.random(5)
    (sentence,) = _number_claims(replicates, np.array([3.0] * 9 + [1.0]), "10 patients")
    beginning = "EOV follows the number of diagnoses: cannot be seen here. 90% of the visits have 3 codes"
    assert sentence.startswith(beginning)
    assert len(_number_claims(replicates, np.arange(10.0), "10 patients")) == 3


def test_partial_correlation_of_numbers_that_depend_on_a_third_alone():
    draw = np.random.default_rng(0)
    z = draw.normal(size=4000)
    x, y = z + draw.normal(size=4000), z + draw.normal(size=4000)
    pairs = [np.array([spearmanr(a, b).statistic]) for a, b in ((x, z), (y, z), (x, y))]
    assert pairs[2][0] > 0.4
    assert partial_correlation(*pairs)[0] == pytest.approx(0, abs=0.05)


def test_ontology_distance(folder):
    checkpoint = folder / "one" / "checkpoint"
    done = study(folder, "ontology-distance", "--run", folder / "two", "--memorize", checkpoint)
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = json.loads((folder / "ontology-distance" / "study" / "study.json").read_text())
    assert numbers["codes"] >= 20
    spaces = numbers["spaces"]
    assert {"stage one, input", "stage two, input", "stage two, output", "co-occurrence in visits"} <= set(spaces)
    assert spaces["words of the definitions"]["tree"]["value"] > 0.03
    assert set(spaces["co-occurrence in visits"]) == {"tree", "groups"}
    assert all(-1 <= of_space["tree"]["value"] <= 1 for of_space in spaces.values())
    page = (folder / "ontology-distance" / "study" / "study.md").read_text()
    assert "> Training on patients moves input rows towards what occurs together: " in page
    assert (folder / "ontology-distance" / "study" / "study.png").stat().st_size > 5000


def test_every_training_visit_counts_once(folder):
    task = load_task(folder / "task")
    visits = training_visits(task)
    assert len(visits) == sum(len(row["history"]) + 1 for row in task.splits["train"])
    column, row = task.column, task.splits["train"][0]
    np.testing.assert_array_equal(np.flatnonzero(visits[0]), sorted(column[c] for c in row["history"][0]["codes"]))


def test_runs_of_another_task_and_missing_ones_are_refused(folder):
    command = ["-m", "mera.cli", "study", "eov", "--task", folder / "other", "--output", folder / "x"]
    other = run_ready([*command, "--run", folder / "two"])
    assert other.returncode == 1
    assert "was trained on another task than" in other.stderr
    missing = run_ready(command)
    assert "give the finished run of stage two as --run" in missing.stderr
    neither = study(folder, "ontology-distance")
    assert "give a finished run of stage two as --run, a checkpoint of stage one as --memorize, or both" in (
        " ".join(neither.stderr.split())
    )
