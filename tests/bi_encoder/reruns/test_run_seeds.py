"""A recipe trained with several seeds, and their fusion."""

import json
from pathlib import Path

import numpy as np
import pytest
from bi_encoder_runs import SMALL
from ready_python import run_ready
from tiny_task import make_tiny_task

from bi_encoder.reruns.run_seeds import seed_steps
from mera.commands.programs import shown
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError

RECIPE = ROOT / "configs" / "bi_encoder" / "tiny.yaml"


def test_each_seed_is_a_training_of_its_own():
    steps = seed_steps(RECIPE, Path("task"), Path("runs/laa"), 2, ["--variant", "laa_mrl"])
    assert [shown(step.command) for step in steps] == [
        f"accelerate launch bi_encoder/train.py --config configs/bi_encoder/tiny.yaml --task task "
        f"--output runs/laa/seed-{seed} --variant laa_mrl --training.seed {seed}"
        for seed in (0, 1)
    ]
    assert [step.results for step in steps] == [(Path("runs/laa/seed-0"),), (Path("runs/laa/seed-1"),)]


def test_the_recipe_is_named_as_that_of_mera_retrieve():
    asked = ["-m", "mera.cli", "seeds", "--task", "task", "--output", "runs/laa", "--seeds", "1", "--dry-run"]
    for words, recipe in ((), "tiny"), (("--recipe", "minilm"), "minilm"):
        done = run_ready([*asked, *words], cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert f"configs/bi_encoder/{recipe}.yaml --task task --output runs/laa/seed-0" in done.stdout
    done = run_ready([*asked, "--recipe", "huge"], cwd=ROOT)
    assert "--recipe is a YAML file or one of" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("recipe", "seeds", "overrides", "message"),
    [
        (RECIPE, 0, [], "--seeds must be 1 or more, got 0"),
        (RECIPE, 2, ["--variant"], "options come in pairs"),
        (RECIPE, 2, ["--training.seed", "4"], "--training.seed is what --seeds counts"),
        (RECIPE, 2, ["--training.seed=4"], "--training.seed is what --seeds counts"),
        (ROOT / "configs" / "rank" / "tiny.yaml", 2, [], "is no recipe of the bi-encoder"),
    ],
)
def test_what_cannot_be_trained_is_refused(recipe, seeds, overrides, message):
    with pytest.raises(UserError, match=message):
        seed_steps(recipe, Path("task"), Path("runs"), seeds, overrides)


def test_the_command_trains_reports_and_can_be_fused(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding", patients=60)
    small = SMALL | {"training.epochs": 1, "variant": "mean_mrl"}
    keys = [part for key, value in small.items() for part in (f"--{key}", json.dumps(value))]
    engine = ROOT / "launch" / "accelerate" / "cpu.yaml"
    command = ["-m", "mera.cli", "seeds", "--config", RECIPE, "--task", task.path, "--seeds", "2"]
    command += ["--output", tmp_path / "runs", "--engine", engine, *keys]
    done = run_ready(command, cwd=ROOT, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["seed-0", "seed-1"]
    (group,) = json.loads((tmp_path / "runs-report" / "report.json").read_text())["tasks"][0]["seeds"]
    assert (group["model"], group["seeds"]) == ("bi-encoder mean_mrl", ["0", "1"])
    first, second = (read_predictions(tmp_path / "runs" / f"seed-{seed}") for seed in (0, 1))
    assert not np.allclose(first.scores, second.scores)

    seeds = [tmp_path / "runs" / f"seed-{seed}" for seed in (0, 1)]
    fuse = ["-m", "mera.cli", "fuse", *seeds, "--output", tmp_path / "ensemble"]
    fused = run_ready(fuse, cwd=ROOT)
    assert fused.returncode == 0, fused.stderr
    assert read_predictions(tmp_path / "ensemble").manifest["config"] == {"parts": ["seed-0", "seed-1"], "form": "sum"}
