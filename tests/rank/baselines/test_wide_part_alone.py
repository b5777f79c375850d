"""The baseline `wide`: what stage two ranks by before its first step."""

import numpy as np
from ready_python import run_ready
from tiny_task import make_tiny_task

from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.config import LossConfig, RankConfig
from rank.start import fitted_wide_part


def test_it_scores_as_the_fitted_start_of_stage_two(tmp_path):
    task = make_tiny_task(tmp_path / "task")
    command = ["rank/run_baselines.py", "--task", task.path, "--output", tmp_path, "--only", "wide", "--seed", "2"]
    done = run_ready(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    loss = LossConfig(threshold_form="probability", threshold_probability=0.15, threshold_weight=0.3)
    settings = {"model": {"base": "none"}, "training": {"seed": 2}}
    start = fitted_wide_part(RankConfig(task="t", output="o", wide="full", loss=loss, **settings), task)
    tables = start.scorer.tables
    expected = start.scorer.bonus([tables.patient(row, task.column) for row in task.splits["test"]])[:, :-1]
    made = read_predictions(tmp_path / "wide")
    # The fit ends after so many steps on a flat floor: the last bits of sums in another process move it by a hundredth.
    np.testing.assert_allclose(made.scores, expected, rtol=0, atol=0.05)
    assert np.ptp(expected) > 5
    assert made.manifest["model"] == "wide part alone"
