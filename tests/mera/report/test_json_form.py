"""report.json: the one door from the report's dataclasses, the keys that it has, and the report's rooms."""

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import find_run, make_rich_runs

from mera import report
from mera.report import write_report
from mera.report.json_form import AS_RECORDED, INLINE, OMITTED, as_json, called, without_nan

ROOMS = {"measures": {"measures"}, "comparison": {"measures", "comparison"}, "page": {"measures", "comparison", "page"}}
FOLDER = Path(report.__file__).parent
ESTIMATE = ["value", "low", "high"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    width: int
    record: dict = field(metadata=AS_RECORDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    name: str = field(metadata=called("run"))
    ends: Ends = field(metadata=INLINE)
    secret: object = field(metadata=OMITTED)
    widths: tuple[Recorded, ...]
    by_group: dict[str, Ends]
    inner: Ends | None


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    write_report(make_rich_runs(folder / "runs"), folder / "report", bootstrap_samples=20)
    return json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))


def test_a_dataclass_becomes_json_by_the_words_of_its_fields():
    numbers = Numbers(
        name="a",
        ends=Ends(low=0.5, high=None),
        secret=object(),
        widths=(Recorded(width=3, record={"width": 3, "other": [1]}),),
        by_group={"x": Ends(low=1.0, high=2.0)},
        inner=None,
    )
    entries = as_json(numbers)
    assert entries == {
        "run": "a",
        "low": 0.5,
        "high": None,
        "widths": [{"width": 3, "other": [1]}],
        "by_group": {"x": {"low": 1.0, "high": 2.0}},
        "inner": None,
    }
    assert list(entries) == ["run", "low", "high", "widths", "by_group", "inner"]


def test_a_record_loses_its_nan_and_its_numpy_numbers_and_nothing_else():
    record = {"a": float("nan"), "b": [np.float32(0.5), float("inf")], "c": {"d": (1, "x", None, True)}}
    assert without_nan(record) == {"a": None, "b": [0.5, None], "c": {"d": [1, "x", None, True]}}
    assert type(without_nan(record)["b"][0]) is float


def test_the_keys_of_report_json_and_their_order(content):
    """They are read by others: a change here is a change of format."""
    assert list(content) == ["format", "bootstrap", "metrics", "tasks"]
    assert content["bootstrap"] == {"unit": "patient", "samples": 20, "seed": 0, "level": 0.95}
    assert list(content["metrics"][0]) == ["key", "label", "meaning"]
    (task,) = content["tasks"]
    assert list(task) == [
        "task",
        "examples",
        "patients",
        "candidates",
        "candidates_rule",
        "candidates_file",
        "outside_candidates",
        "random_recall@20",
        "targets",
        "targets_per_example",
        "leading_metric",
        "runs",
        "pairs",
        "strata",
        "oracle_share",
        "published",
        "ablations",
        "seeds",
        "averaged",
        "families",
        "true_set_rules",
        "signatures",
        "summary",
        "cautions",
        "answers",
    ]
    assert list(task["answers"]) == ["best", "new", "rare", "whom", "sets", "errors"]
    assert list(task["outside_candidates"]) == ["targets", "share", "codes", "examples"]
    assert list(task["pairs"][0]) == ["metric", "first", "second", "difference", "low", "high", "p", "p_holm"]
    assert list(task["oracle_share"]) == ["run", "oracle", *ESTIMATE]
    stratum = task["strata"][0]
    assert list(stratum) == ["key", "title", "definition", "groups", "values", "pairs"]
    assert list(stratum["groups"][0]) == ["label", "targets", "codes", "examples", "patients"]
    assert list(stratum["values"]["oracle"][0]) == ESTIMATE
    assert list(stratum["pairs"][0]) == ["group", "first", "second", "difference", "low", "high", "p", "p_holm"]


def test_the_keys_of_a_run_and_their_order(content):
    (task,) = content["tasks"]
    run = find_run(task, "rank-tiny")
    assert list(run) == [
        "run",
        "label",
        "kind",
        "metrics",
        "recall_curve",
        "rows_without_threshold",
        "set_size",
        "new_set_size",
        "precision_recall",
        "hierarchy",
        "coarse_levels",
        "reliability",
        "training",
        "memorization",
        "stage_one_seconds",
        "widths",
        "coding_rules",
        "hidden_codes",
        "guarantees",
        "variety",
        "manifest",
    ]
    assert list(run["metrics"]) == [metric["key"] for metric in content["metrics"]]
    assert list(run["metrics"]["map"]) == [*ESTIMATE, "best"]
    assert list(run["set_size"]) == [
        "mean_true",
        "mean_predicted",
        "mean_absolute_error",
        "rows_without_prediction",
        "micro_precision",
        "micro_recall",
        "spearman",
        "curve",
    ]
    assert list(run["precision_recall"]) == ["recall", "precision"]
    assert list(run["hierarchy"]) == ["levels", "predicted", "wrong_predictions", "accuracy", "wrong"]
    assert list(run["reliability"]) == ["ece", "ece_first", "brier", "curve"]
    assert list(run["reliability"]["curve"][0]) == ["predicted", "observed", "pairs"]
    assert run["memorization"] == [{"kind": "code to definition", "before": 0.1, "after": 0.99}]
    assert list(find_run(task, "bi-encoder")["widths"][0]) == ["width", "metrics"], "as it was recorded"
    assert run["manifest"]["threshold"]["eov_share"] == 0.75


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_import_one_way(room):
    for path in (FOLDER / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("mera.report."):
                other = node.module.split(".")[2]
                assert other in ROOMS[room] or other not in ROOMS, f"{path} imports {node.module}"


def test_the_top_of_the_report_is_short():
    assert len([path for path in FOLDER.iterdir() if path.name != "__pycache__"]) <= 12
