"""report.schema.json: it is that of the dataclasses, real reports keep to it, and what is no report does not."""

import json
from copy import deepcopy

import jsonschema_rs
import pytest
from made_up_runs import change_run, make_rich_runs, make_runs

from mera.report import write_report
from mera.report.report_schema import SCHEMA_FILE, schema_text
from mera.runs.predictions import read_predictions


@pytest.fixture(scope="module")
def validator():
    return jsonschema_rs.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A report on everything that a folder may hold, on seeds, and on a second task."""
    folder = tmp_path_factory.mktemp("schema")
    runs = make_rich_runs(folder / "rich")
    for seed in (1, 2):
        manifest = {"config": {"training": {"seed": seed}, "recipe": 1}, "model": "seeded"}
        runs.append(change_run(runs[1], folder / f"seed-{seed}", manifest=manifest))
    other = make_runs(folder / "other", fingerprint="e" * 64, task="other")
    task = read_predictions(other[1]).manifest["task"] | {"source": "codiesp", "kind": "coding"}
    runs += [change_run(path, folder / f"coding-{path.name}", manifest={"task": task}) for path in other[1:3]]
    page = write_report(runs, folder / "report", by_task=True, bootstrap_samples=10)
    return json.loads((page.parent / "report.json").read_text(encoding="utf-8"))


def test_the_shipped_schema_is_that_of_the_dataclasses():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "write it anew: mera/report/report_schema.py"


def test_a_report_keeps_to_it(content, validator):
    assert [error.message for error in validator.iter_errors(content)] == []
    assert len(content["tasks"]) == 2
    assert content["tasks"][0]["averaged"] is not None
    assert content["tasks"][1]["published"]


def test_the_smallest_report_keeps_to_it(tmp_path, validator):
    page = write_report(make_runs(tmp_path)[4:], tmp_path / "report", bootstrap_samples=2)
    validator.validate(json.loads((page.parent / "report.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "three"),
        (("bootstrap", "samples"), 2.5),
        (("tasks", 0, "runs", 1, "metrics", "map", "value"), "0.5"),
        (("tasks", 0, "pairs", 0, "difference"), None),
        (("tasks", 0, "signatures"), None),
        (("tasks", 0, "runs", 1, "set_size", "curve", 0), [1.0]),
        (("tasks", 0, "unheard_of"), 1),
    ],
)
def test_what_is_no_report_does_not(content, validator, path, value):
    changed = deepcopy(content)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not validator.is_valid(changed)


def test_a_missing_key_is_an_error_and_a_runs_own_record_is_free(content, validator):
    changed = deepcopy(content)
    del changed["tasks"][0]["runs"][0]["guarantees"]
    assert not validator.is_valid(changed)
    changed = deepcopy(content)
    changed["tasks"][0]["runs"][0]["manifest"]["anything"] = {"else": [1]}
    assert validator.is_valid(changed)


def test_it_says_what_the_fields_say():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    difference = schema["$defs"]["MetricDifference"]
    assert "First run minus second" in difference["description"]
    assert "95% interval of the paired difference" in difference["properties"]["low"]["description"]
    assert difference["properties"]["low"]["type"] == ["number", "null"]
    assert schema["$defs"]["TaskReport"]["properties"]["candidates_rule"]["type"] == "string", "inline"
    assert "codes" not in schema["$defs"]["TaskReport"]["properties"], "in tables/codes.csv"
