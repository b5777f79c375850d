"""Models that were fitted again, on validation too, before they scored test: said beside their figures, and nothing is
promised for them, since the validation scores are of another model."""

import json

import pytest
from fused_parts import write_part
from tiny_task import make_tiny_task

from mera.commands.fusion.fuse import fuse_runs
from mera.report import write_report
from mera.report.measures.sets.guarantees import OTHER_MODEL


def refit(run):
    """Have a run say that its model was fitted again."""
    for folder in ("predictions", "validation"):
        file = run / folder / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"refitted": True}))
    return run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    task = make_tiny_task(folder / "task", patients=150)
    once, again = (
        write_part(task, folder / name, 1.0, 1.0 + seed, seed) for seed, name in enumerate(("once", "again"))
    )
    fused = fuse_runs([once, refit(again)], folder / "fused", name="both")
    return write_report([once, again, fused], folder / "report", bootstrap_samples=20).parent


def test_they_are_named_below_the_main_table(report):
    sentence = "Fitted again, on validation too, before they scored this split (or fused of such): "
    for name in ("index.html", "report.md"):
        (after,) = (report / name).read_text(encoding="utf-8").split(sentence)[1:]
        assert {"again", "both"} == set(after.split(".")[0].split(", ")), name


def test_nothing_is_promised_for_them(report):
    runs = json.loads((report / "report.json").read_text(encoding="utf-8"))["tasks"][0]["runs"]
    assert {run["run"]: run["guarantees"]["reason"] for run in runs} == {
        "once": None,
        "again": OTHER_MODEL,
        "fused": OTHER_MODEL,
    }
    assert f"Left out for having {OTHER_MODEL}: " in (report / "report.md").read_text(encoding="utf-8")
