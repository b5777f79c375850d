"""`mera study unseen-codes` and `hierarchy` from end to end on a few patients."""

import json
import random

import numpy as np
import pytest
from prepare_case import EVEN, run, write_csv
from ready_python import run_ready
from study_recipes import write_recipes
from tiny_task import CODE_LINES

from data.task import load_task
from mera.runs.predictions import read_predictions

CODES = [line.split("|")[0] for line in CODE_LINES.splitlines()]
COLUMNS = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")


def study(name, folder, output, *more):
    recipes = ("--memorize-config", folder / "one.yaml", "--config", folder / "two.yaml")
    command = ["-m", "mera.cli", "study", name, "--output", folder / output, *recipes, "--resamples", "40"]
    return run_ready([*command, *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cohort of 80 patients, as a task with a fifth of the codes hidden and as a whole one."""
    folder = tmp_path_factory.mktemp("model_studies")
    rng, rows = random.Random(0), [["pid", "vid", "day", "dx"]]
    for patient in range(80):
        chronic = rng.sample(CODES, k=3)
        for visit in range(rng.randint(2, 4)):
            codes = {*chronic, *rng.sample(CODES, k=2)}
            rows += [[f"p{patient:02d}", f"{patient}-{visit}", 10 * visit, code] for code in sorted(codes)]
    source = write_csv(folder / "t.csv", rows)
    run("table", "--input", source, *COLUMNS, *EVEN, "--hide-codes", 0.2, "--output", folder / "hidden")
    run("table", "--input", source, *COLUMNS, *EVEN, "--output", folder / "whole")
    write_recipes(folder)
    return folder


def test_unseen_codes(folder):
    models = ("stage-two", "no-stage-one", "open-library-init", "popularity")
    done = study("unseen-codes", folder, "unseen", "--task", folder / "hidden", "--seeds", "1", "--models", *models)
    assert done.returncode == 0, done.stderr[-3000:]
    numbers = json.loads((folder / "unseen" / "study" / "study.json").read_text())
    task = load_task(folder / "hidden")
    for name in models:
        predictions = read_predictions(folder / "unseen" / "runs" / "seed-0" / name)
        places = []
        for row, column in zip(*np.nonzero(predictions.targets & task.hidden), strict=True):
            order = np.argsort(-predictions.scores[row], kind="stable")
            places.append(1 + int(np.flatnonzero(order == column)[0]))
        value = numbers["models"][name]["hidden_mrr"]
        assert value["value"] == pytest.approx(np.mean(1 / np.array(places)))
        assert len(places) == task.info["hidden_codes"]["test_targets"]
        assert "hidden_by_code" in numbers["models"][name]
    config = read_predictions(folder / "unseen" / "runs" / "seed-0" / "open-library-init").manifest["config"]
    assert (config["wide"], config["loss"]["untrained"], config["initialisation"]) == ("none", "ignore", "library")
    assert config["model"]["base"] is None
    assert numbers["chance"]["hidden_recall@20"] == pytest.approx(20 / len(task.codes))
    page = (folder / "unseen" / "study" / "study.md").read_text()
    assert "> Stage one on codes never seen: " in page
    assert "| chance |" in page
    assert "| popularity |" in page


def test_unseen_codes_wants_hidden_codes(folder):
    done = study("unseen-codes", folder, "none", "--task", folder / "whole")
    assert done.returncode == 1
    assert "hides no code; prepare it with `mera prepare SOURCE --hide-codes 0.1`" in " ".join(done.stderr.split())


def test_hierarchy(folder):
    checkpoint = folder / "unseen" / "memorize" / "checkpoint"
    assert checkpoint.is_dir(), "trained by the study above"
    options = ("--task", folder / "whole", "--seeds", "2", "--memorize", checkpoint, "--training.min_steps", "20")
    done = study("hierarchy", folder, "levels", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    levels = {}
    for name in ("full", "none", "chapter-only", "finest-only"):
        config = read_predictions(folder / "levels" / "runs" / "seed-1" / name).manifest["config"]
        levels[name] = tuple(config["loss"]["levels"])
        assert config["training"]["seed"] == 1
        assert config["training"]["min_steps"] == 20
        assert config["model"]["base"] == str(checkpoint)
    assert levels == {
        "full": ("all", "chapter", "category"),
        "none": ("all",),
        "chapter-only": ("chapter",),
        "finest-only": ("category",),
    }
    numbers = json.loads((folder / "levels" / "study" / "study.json").read_text())
    assert len(numbers["sentences"]) == 3
    assert all(sentence.startswith("The hierarchy (") for sentence in numbers["sentences"])
    assert (folder / "levels" / "study" / "study.png").stat().st_size > 5000
    text = (folder / "levels" / "study" / "study.md").read_text()
    assert "| full hierarchy − chapter only |" in text
    assert "Share of what training changed" in text
