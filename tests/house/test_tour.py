"""docs/tour.ipynb: its form, and each of its cells run in order on a small task and a model that was never trained."""

import json
import re

import numpy as np
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from mera.root import ROOT
from mera.runs.predictions import predictions_for_task, write_predictions

NOTEBOOK = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(names)) == len(names)
    for cell in NOTEBOOK["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    task = make_tiny_task(tmp_path / "demo" / "prepared" / "synthetic-diagnosis")
    runs = tmp_path / "demo" / "runs" / "diagnosis"
    make_checkpoint(task, runs / "stage-two" / "checkpoint")
    for seed, name in enumerate(("stage-two", "own-history")):
        scores = np.random.default_rng(seed).normal(size=task.targets("test").shape)
        manifest = {"run": name, "model": name, "kind": "baseline", "task": {"fingerprint": task.fingerprint}}
        write_predictions(runs / name / "predictions", predictions_for_task(task, "test", scores, 0.0, manifest))
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    ranked, ranker = names["ranked"], names["ranker"]
    assert ranked.columns[:3].tolist() == ["patient", "place", "code"]
    row = task.splits["test"][0]
    expected = ranker.rank(
        [visit["codes"] for visit in row["history"]],
        days_before=[visit["days_before"] or 0 for visit in row["history"]],
        age=row["age"],
        sex=row["sex"],
        top=3,
    )
    assert ranked["code"][:3].tolist() == [code.code for code in expected]
    printed = capsys.readouterr().out
    assert "30 candidate codes" in printed
    assert printed.count("recall@10") == 2
    assert len(re.findall(r"^visit \d: [+-]", printed, re.M)) == len(row["history"])
