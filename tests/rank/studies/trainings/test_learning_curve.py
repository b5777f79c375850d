"""`mera study learning-curve` from end to end on a few patients, and its commands."""

import json
import shlex

import numpy as np
import pytest
from ready_python import run_ready
from study_recipes import write_recipes
from tiny_task import make_tiny_task

from mera.evaluation.metrics import recall_at_k
from mera.runs.predictions import read_predictions

MODELS = ("stage-two", "no-stage-one", "popularity")


def study(folder, *more):
    recipes = ("--memorize-config", folder / "one.yaml", "--config", folder / "two.yaml")
    command = ["-m", "mera.cli", "study", "learning-curve", "--task", folder / "task", "--output", folder / "study"]
    return run_ready([*command, *recipes, "--sizes", "12", "--resamples", "50", *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning_curve")
    make_tiny_task(folder / "task", patients=60)
    write_recipes(folder)
    return folder


@pytest.fixture(scope="module")
def done(folder):
    done = study(folder, "--seeds", "2", "--models", *MODELS)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_the_page_holds_what_the_runs_have(folder, done):
    written = folder / "study" / "study"
    assert sorted(path.name for path in written.iterdir()) == [
        *("curve-micro_f1.csv", "curve-new_recall-at-20.csv", "curve-recall-at-10.csv"),
        *("curve-weighted_f1_at_label_count.csv", "deep-share.csv", "differences.csv"),
        *("study.csv", "study.json", "study.md", "study.png"),
    ]
    numbers = json.loads((written / "study.json").read_text())
    assert numbers["sizes"] == [12, 42]
    for name in MODELS:
        for place, size in enumerate(numbers["sizes"]):
            runs = [
                read_predictions(folder / "study" / "runs" / f"seed-{seed}" / f"{size}-patients" / name)
                for seed in (0, 1)
            ]
            recalls = [recall_at_k(run.scores, run.targets, 20) for run in runs]
            value = numbers["models"][name]["recall@20"][place]
            assert value["by_seed"] == pytest.approx(recalls)
            assert value["value"] == pytest.approx(np.mean(recalls))
            difference = numbers["models"]["stage-two"]["recall@20"][place]["value"] - np.mean(recalls)
            if name != "stage-two":
                measured = numbers["stage_two_minus"][name]["recall@20"][place]
                assert measured["value"] == pytest.approx(difference)
                if measured["low"] is None:
                    assert measured["value"] == 0, "they rank alike"
                else:
                    assert measured["low"] <= measured["value"] <= measured["high"]
    page = (written / "study.md").read_text()
    assert "> Stage one: " in page
    assert "mera study learning-curve" in page
    assert "| stage two |" in page
    assert len(numbers["sentences"]) == 2


def test_samples_are_nested_and_validation_shrinks(folder, done):
    tasks = folder / "study" / "tasks"
    for seed in (0, 1):
        counts = json.loads((tasks / f"seed-{seed}" / "12-patients" / "task.json").read_text())["counts"]
        assert counts["train"]["patients"] == 12
        assert counts["validation"]["patients"] == 9  # 40 are more than there are


def test_a_second_start_keeps_what_has_finished(folder, done):
    again = study(folder, "--seeds", "2", "--models", *MODELS, "own-history")
    assert again.returncode == 0, again.stderr[-3000:]
    steps = again.stdout.count("finished before")
    ran = [line for line in again.stdout.splitlines() if line.startswith(("mera ", "accelerate "))]
    assert steps == 1 + 2 + 8 + 4  # stage one, samples, trainings of stage two, popularity
    assert len(ran) == 4
    assert all(shlex.split(line)[:2] == ["mera", "baselines"] for line in ran)
    assert "own history" in (folder / "study" / "study" / "study.md").read_text()


def test_other_settings_are_refused(folder, done):
    other = study(folder, "--seeds", "2", "--wide", "none")
    assert other.returncode == 1
    assert "holds a study with another further arguments" in " ".join(other.stderr.split())


def test_a_dry_run_prints_the_commands_of_every_seed_and_size(folder, done):
    shown = study(folder, "--seeds", "1", "--dry-run", "--training.epochs", "2").stdout.splitlines()
    assert shown[0].startswith("mera memorize")
    assert sum(line.startswith("mera sample") for line in shown) == 1
    trainings = [shlex.split(line) for line in shown if "rank/train.py" in line]
    assert len(trainings) == 6
    assert all(words[words.index("--training.epochs") + 1] == "2" for words in trainings)
    without = next(words for words in trainings if words[words.index("--name") + 1] == "without stage one")
    assert without[without.index("--model.base") + 1] == "null"
    flat = next(words for words in trainings if words[words.index("--name") + 1] == "without hierarchy")
    assert flat[flat.index("--loss.levels") + 1] == '["all"]'
    baselines = [shlex.split(line) for line in shown if line.startswith("mera baselines")]
    assert [words[words.index("--only") + 1 :] for words in baselines] == [["wide", "gbdt", "retain"]] * 2
