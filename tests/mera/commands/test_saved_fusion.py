"""A fusion read back from its run scores what its parts say as it did; parts that moved or changed are noticed."""

import json
import shutil

import numpy as np
import pytest
from fused_parts import write_part
from tiny_task import make_tiny_task

from mera.commands.fusion.fuse import fuse_runs
from mera.commands.fusion.saved import MARK, TREES, read_fusion
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=150)


@pytest.fixture
def runs(task, tmp_path):
    return [write_part(task, tmp_path / "runs" / name, 1.0, 1.0, seed, folds=4) for seed, name in enumerate("ab")]


@pytest.mark.parametrize("form", ["sum", "trees"])
def test_it_scores_as_it_did(task, runs, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fused = fuse_runs([run.relative_to(tmp_path) for run in runs], "runs/fused", form=form)
    test = np.stack([read_predictions(run).scores for run in runs])
    for folder in (fused, tmp_path / "runs" / "fused"):
        fusion = read_fusion(folder)
        assert [part.resolve() for part in fusion.parts] == runs
        expected = read_predictions(fused)
        np.testing.assert_array_equal(fusion.scores(test, task.train_counts), expected.scores)
        assert np.float32(fusion.threshold) == expected.thresholds[0]
    assert (fused / TREES).is_file() == (form == "trees")
    (tmp_path / "linked").symlink_to(tmp_path / "runs" / "fused")
    assert [part.resolve() for part in read_fusion(tmp_path / "linked").parts] == runs


def test_the_runs_may_move_together(runs, tmp_path):
    fuse_runs(runs, tmp_path / "runs" / "more" / "fused")
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    parts = read_fusion(tmp_path / "elsewhere" / "more" / "fused").parts
    assert parts == [tmp_path / "elsewhere" / name for name in "ab"]


def test_what_does_not_fit_any_more_is_one_sentence(task, runs, tmp_path):
    fused = fuse_runs(runs, tmp_path / "runs" / "fused", form="trees")

    def refused():
        with pytest.raises(UserError) as refusal:
            read_fusion(fused)
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    shutil.move(runs[1], tmp_path / "away")
    assert refused() == f"{fused} was fused of {runs[1]}, which is not there; move it back, or fuse the runs again"
    write_part(task, runs[1], 1.0, 1.0, 7)
    (runs[1] / "predictions" / "manifest.json").open("a").write("\n")
    assert refused() == f"{runs[1]} is another run than the one that {fused} was fused of; fuse the runs again"
    shutil.rmtree(runs[1])
    shutil.move(tmp_path / "away", runs[1])
    assert read_fusion(fused).trees is not None

    record = json.loads((fused / MARK).read_text())
    for changed in ({"offsets": {}}, {"threshold": None}, {"parts": [{"path": "../a"}]}, {"parts": 3}):
        (fused / MARK).write_text(json.dumps(record | changed))
        assert refused() == f"{fused / MARK} is damaged, or of a later version; fuse the runs again"
    (fused / MARK).write_text(json.dumps(record))
    (fused / TREES).write_text("no trees")
    assert "is damaged, or of a later version" in refused()
    (fused / TREES).unlink()
    assert "is damaged, or of a later version" in refused()
